"""From a local anomaly map to the bundle's map and score: smoothing, then one number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.heads.separable import gaussian_matrix
from edge_ad_export.model.head import Array, Built, Scored
from edge_ad_export.model.head_options import MapScore

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["MapTail"]


@dataclass(frozen=True)
class MapTail:
    """``rows`` and ``columns``: cells of the map; ``sigma_rows`` and ``sigma_columns``: of the blur, in cells."""

    rows: int
    columns: int
    sigma_rows: float = 0.0
    sigma_columns: float = 0.0
    score: MapScore = field(default_factory=MapScore)

    def __post_init__(self) -> None:
        self.score.largest(self.rows * self.columns)

    def smooth(self, graph: GraphBuilder, heat: ir.Value) -> ir.Value:
        """The blur alone, of a map ``[1, 1, h, w]``."""
        rows = gaussian_matrix(self.rows, self.sigma_rows) if self.sigma_rows else None
        columns = gaussian_matrix(self.columns, self.sigma_columns) if self.sigma_columns else None
        return graph.along_planes(heat, rows, columns)

    def build(self, graph: GraphBuilder, heat: ir.Value) -> Built:
        """Adds blur and score to a map ``[1, 1, h, w]``."""
        heat = self.smooth(graph, heat)
        return Built(self._score(graph, heat), heat)

    def _score(self, graph: GraphBuilder, heat: ir.Value) -> ir.Value:
        cells = self.rows * self.columns
        count = self.score.largest(cells)
        flat = graph.reshape(heat, 1, cells)
        if count == 1:
            return graph.reduce("ReduceMax", flat, [1])
        largest = graph.first_of("TopK", 2, flat, graph.constant("count", np.array([count], np.int64)), axis=1)
        # A quantile is the smallest of the largest cells.
        return graph.reduce("ReduceMean" if self.score.kind == "top" else "ReduceMin", largest, [1])

    def smooth_reference(self, heat: Array) -> Array:
        """The blur alone, of a map ``(h, w)``, by SciPy."""
        from scipy.ndimage import gaussian_filter

        smoothed: Array = gaussian_filter(heat, (self.sigma_rows, self.sigma_columns), mode="mirror", truncate=4.0)
        return smoothed

    def reference(self, heat: Array) -> Scored:
        """What :meth:`build` makes of a map ``(h, w)``."""
        heat = self.smooth_reference(np.asarray(heat, np.float64))
        ascending = np.sort(heat, axis=None)
        if self.score.kind == "max":
            return Scored(float(ascending[-1]), heat)
        if self.score.kind == "top":
            return Scored(float(ascending[-int(self.score.amount) :].mean()), heat)
        return Scored(float(np.quantile(heat, self.score.amount, method="inverted_cdf")), heat)
