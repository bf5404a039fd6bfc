"""Scored rows -> the figures over all of them and type by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad_calibration.evaluation.records import PixelMetrics, ScoredRow, TypeMetrics
from edge_ad_metrics.ranking import Scores, estimate_average_precision, estimate_mean, estimate_roc_auc, operate

if TYPE_CHECKING:
    from edge_ad_metrics.pixels import PixelAreas

__all__ = ["by_type", "observations", "pixel_metrics", "scores_of"]


def observations(rows: tuple[ScoredRow, ...]) -> tuple[ScoredRow, ...]:
    """What is counted: each part once, as the frame of it that scores highest, anomalous if any frame of it is."""
    parts: dict[str, ScoredRow] = {}
    for index, row in enumerate(rows):
        key = f"frame {index}" if row.part is None else f"part {row.part}"
        held = parts.setdefault(key, row)
        highest = max(held, row, key=lambda one: one.score)
        worst = max(held, row, key=lambda one: one.label)
        parts[key] = msgspec.structs.replace(highest, label=worst.label, type=worst.type)
    return tuple(parts.values())


def scores_of(rows: tuple[ScoredRow, ...], kind: str | None = None) -> Scores:
    return Scores(
        normal=np.array([row.score for row in rows if row.label == 0]),
        anomalous=np.array([row.score for row in rows if row.label == 1 and kind in (None, row.type)]),
    )


def by_type(
    rows: tuple[ScoredRow, ...], areas: dict[str | None, PixelAreas], threshold: float | None
) -> tuple[TypeMetrics, ...]:
    kinds = sorted({row.type for row in rows if row.label == 1})
    return tuple(_one_type(kind, scores_of(rows, kind), areas.get(kind), threshold) for kind in kinds)


def _one_type(kind: str, scores: Scores, areas: PixelAreas | None, threshold: float | None) -> TypeMetrics:
    return TypeMetrics(
        type=kind,
        count=scores.anomalous.size,
        roc_auc=estimate_roc_auc(scores),
        average_precision=estimate_average_precision(scores),
        recall=None if threshold is None else operate(scores, threshold).recall,
        pixel=pixel_metrics(areas),
    )


def pixel_metrics(areas: PixelAreas | None) -> PixelMetrics | None:
    if areas is None:
        return None
    return PixelMetrics(
        images=areas.images,
        regions=areas.regions,
        roc_auc=areas.roc_auc,
        aupro=areas.aupro,
        aupimo=None if areas.aupimo is None else estimate_mean(areas.aupimo),
    )
