"""How well scores and maps tell defects from normal parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from benchmarks.peers.cases import MaskedImage
    from benchmarks.peers.comparison import Result

__all__ = ["Accuracy", "measure_accuracy"]


@dataclass(frozen=True)
class Accuracy:
    """Areas under the ROC curve over images and over the pixels of all maps."""

    image: float
    pixel: float


def measure_accuracy(result: Result, images: Sequence[MaskedImage]) -> Accuracy:
    """Masks are brought to the size of the maps, nearest pixel."""
    from sklearn.metrics import roc_auc_score

    defect = [image.mask is not None for image in images]
    pixels = [_mask(image, anomaly_map.shape) for image, anomaly_map in zip(images, result.maps, strict=True)]
    values = np.concatenate([one.ravel() for one in result.maps])
    return Accuracy(
        image=float(roc_auc_score(defect, result.scores)),
        pixel=float(roc_auc_score(np.concatenate([p.ravel() for p in pixels]), values)),
    )


def _mask(image: MaskedImage, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if image.mask is None:
        return np.zeros(shape, np.bool_)
    mask = cv2.imread(str(image.mask), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)) > 127
