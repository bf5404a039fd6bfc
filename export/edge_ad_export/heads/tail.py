"""From a local anomaly map to the bundle's map and score: smoothing, then one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.errors import InputError
from edge_ad_export.heads.base import Array, Built, Scored
from edge_ad_export.heads.planes import gaussian_matrix

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.heads.builder import GraphBuilder

__all__ = ["MapScore", "MapTail", "parse_map_score"]


@dataclass(frozen=True)
class MapScore:
    """``max``; ``top``: the mean of the ``amount`` largest cells; ``quantile``: the smallest cell that a share of at
    least ``amount`` of all cells does not exceed."""

    kind: Literal["max", "top", "quantile"] = "max"
    amount: float = 1.0

    def largest(self, cells: int) -> int:
        """How many of the largest cells decide the score. Raises :class:`InputError`: more than there are."""
        count = cells - math.ceil(self.amount * cells) + 1 if self.kind == "quantile" else int(self.amount)
        if count > cells:
            raise InputError(f"--map-score top:{count}: the map has {cells} cells, expected a number up to that")
        return count


def parse_map_score(text: str) -> MapScore:
    """Reads ``max``, ``top:K`` or ``quantile:Q``. Raises :class:`ValueError` for anything else."""
    kind, _, amount = text.partition(":")
    if text == "max":
        return MapScore()
    if kind == "top" and amount.isdecimal() and int(amount) > 0:
        return MapScore("top", int(amount))
    if kind == "quantile" and 0 < float(amount) <= 1:
        return MapScore("quantile", float(amount))
    raise ValueError(text)


@dataclass(frozen=True)
class MapTail:
    """``rows`` and ``columns``: cells of the map; ``sigma_rows`` and ``sigma_columns``: of the blur, in cells."""

    rows: int
    columns: int
    sigma_rows: float = 0.0
    sigma_columns: float = 0.0
    score: MapScore = MapScore()

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
