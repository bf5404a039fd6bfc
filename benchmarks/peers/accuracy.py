"""How well scores and maps tell defects from normal parts, and how far their order is from the untouched model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad_metrics.pixels import PixelSample, measure_pixels
from edge_ad_metrics.rank_correlation import spearman

if TYPE_CHECKING:
    from benchmarks.peers.comparison import Result
    from benchmarks.peers.images import MaskedImage

__all__ = ["Accuracy", "measure_accuracy"]


@dataclass(frozen=True)
class Accuracy:
    """``image`` and ``pixel``: areas under the ROC curve over images and over the pixels of all maps. ``aupimo``: the
    mean over the defects, ``None`` if there are too few normal pixels. ``rank``: Spearman's correlation of the scores
    with those of the reference."""

    image: float
    pixel: float
    aupimo: float | None
    rank: float


def measure_accuracy(result: Result, images: Sequence[MaskedImage], reference: Result) -> Accuracy:
    """Masks are brought to the size of the maps, nearest pixel. ``reference``: the untouched model in float32."""
    from sklearn.metrics import roc_auc_score

    defect = [image.mask is not None for image in images]
    samples = [
        PixelSample(anomaly_map, _mask(image, anomaly_map.shape), "defect" if image.mask else "good")
        for image, anomaly_map in zip(images, result.maps, strict=True)
    ]
    pixels = measure_pixels(lambda: samples, images=len(images), normals=len(images) - sum(defect))[None]
    return Accuracy(
        image=float(roc_auc_score(defect, result.scores)),
        pixel=pixels.roc_auc,
        aupimo=None if pixels.aupimo is None else float(np.mean(pixels.aupimo)),
        rank=spearman(np.asarray(result.scores), np.asarray(reference.scores)),
    )


def _mask(image: MaskedImage, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if image.mask is None:
        return np.zeros(shape, np.bool_)
    mask = cv2.imread(str(image.mask), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)) > 127
