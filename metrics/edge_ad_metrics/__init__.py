"""What export and calibration both measure with: labelled data sets, masks and the metrics of the field.

Names are loaded when they are first used, as scipy and scikit-learn take a while.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_metrics.aupimo import FPR_BOUNDS, Aupimo
    from edge_ad_metrics.datasets.dataset import GOOD, LabelledClip, LabelledImage, LabelledSet
    from edge_ad_metrics.datasets.frame_labels import read_frame_labels
    from edge_ad_metrics.datasets.layouts import LAYOUTS, read_dataset, read_labelled_images
    from edge_ad_metrics.datasets.masks import read_defect, read_mask
    from edge_ad_metrics.machine import Cpu, core_count, describe_cpu
    from edge_ad_metrics.pixels import PixelAreas, PixelSample, measure_pixels
    from edge_ad_metrics.ranking import (
        Confusion,
        Estimate,
        OperatingPoint,
        Scores,
        average_precision,
        best_threshold,
        estimate_average_precision,
        estimate_mean,
        estimate_roc_auc,
        operate,
        roc_auc,
    )
    from edge_ad_metrics.sampling import evenly_spaced, evenly_spaced_to_the_last, evenly_stepped

__all__ = [
    "FPR_BOUNDS",
    "GOOD",
    "LAYOUTS",
    "Aupimo",
    "Confusion",
    "Cpu",
    "Estimate",
    "LabelledClip",
    "LabelledImage",
    "LabelledSet",
    "OperatingPoint",
    "PixelAreas",
    "PixelSample",
    "RatePoint",
    "Scores",
    "average_precision",
    "best_threshold",
    "caught_at",
    "core_count",
    "describe_cpu",
    "estimate_average_precision",
    "estimate_mean",
    "estimate_roc_auc",
    "evenly_spaced",
    "evenly_spaced_to_the_last",
    "evenly_stepped",
    "measure_pixels",
    "operate",
    "read_dataset",
    "read_defect",
    "read_frame_labels",
    "read_labelled_images",
    "read_mask",
    "roc_auc",
    "spearman",
    "spearman_low",
]

_HOMES = {
    "Aupimo": "aupimo",
    "Confusion": "ranking",
    "Cpu": "machine",
    "Estimate": "ranking",
    "FPR_BOUNDS": "aupimo",
    "GOOD": "datasets.dataset",
    "LAYOUTS": "datasets.layouts",
    "LabelledClip": "datasets.dataset",
    "LabelledImage": "datasets.dataset",
    "LabelledSet": "datasets.dataset",
    "OperatingPoint": "ranking",
    "PixelAreas": "pixels",
    "PixelSample": "pixels",
    "RatePoint": "ranking",
    "Scores": "ranking",
    "average_precision": "ranking",
    "best_threshold": "ranking",
    "caught_at": "ranking",
    "core_count": "machine",
    "describe_cpu": "machine",
    "estimate_average_precision": "ranking",
    "estimate_mean": "ranking",
    "estimate_roc_auc": "ranking",
    "evenly_spaced": "sampling",
    "evenly_spaced_to_the_last": "sampling",
    "evenly_stepped": "sampling",
    "measure_pixels": "pixels",
    "operate": "ranking",
    "read_dataset": "datasets.layouts",
    "read_defect": "datasets.masks",
    "read_frame_labels": "datasets.frame_labels",
    "read_labelled_images": "datasets.layouts",
    "read_mask": "datasets.masks",
    "roc_auc": "ranking",
    "spearman": "rank_correlation",
    "spearman_low": "rank_correlation",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad_metrics.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
