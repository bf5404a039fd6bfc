"""Anomaly maps of several levels as one, at the size of the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.heads.separable import linear_matrix
from edge_ad_export.model.head import Array
from edge_ad_export.model.head_options import Combine

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["Combination"]


@dataclass(frozen=True)
class Combination:
    """Every map is resampled linearly to ``rows`` x ``columns``, then all are multiplied, added or averaged."""

    rows: int
    columns: int
    how: Combine

    def build(self, graph: GraphBuilder, heats: Sequence[ir.Value], sizes: Sequence[tuple[int, int]]) -> ir.Value:
        """``heats``: ``[1, 1, h, w]`` of the ``sizes`` (h, w)."""
        maps = [
            graph.along_planes(
                heat,
                None if rows == self.rows else linear_matrix(rows, self.rows),
                None if columns == self.columns else linear_matrix(columns, self.columns),
            )
            for heat, (rows, columns) in zip(heats, sizes, strict=True)
        ]
        joined = reduce(lambda a, b: graph.op("Mul" if self.how == "product" else "Add", a, b), maps)
        if self.how == "mean" and len(maps) > 1:
            return graph.op("Mul", joined, graph.number("share", 1 / len(maps)))
        return joined

    def reference(self, heats: Sequence[Array]) -> Array:
        """The same of maps ``(h, w)``, by OpenCV."""
        import cv2

        maps = np.stack([cv2.resize(heat, (self.columns, self.rows), interpolation=cv2.INTER_LINEAR) for heat in heats])
        if self.how == "product":
            return np.asarray(maps.prod(axis=0))
        return np.asarray(maps.sum(axis=0) if self.how == "sum" else maps.mean(axis=0))
