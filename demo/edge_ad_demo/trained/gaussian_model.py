"""A small anomaly model in closed form: one Gaussian of filter responses at every place of the part.

After PaDiM (Defard et al. 2021), with a fixed filter bank in place of a pretrained network: a part that always lies
at about the same place needs no more, and fitting it takes seconds and no training framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import InputError
from edge_ad_demo.trained.features import COLOURS, FilterBank, compress, filter_bank, responses

__all__ = ["INPUT_HEIGHT", "INPUT_WIDTH", "SMOOTHING", "DemoModel", "ModelOutput", "fit", "to_model_size"]

INPUT_WIDTH, INPUT_HEIGHT = 320, 240
SMOOTHING = 3
# How much of the covariance is the mean one of all places, against too few images at a single place.
_SHRINKAGE = 0.1
# Added to every variance: a quarter of a gray level, which no camera's colour is steadier than. Without it the
# distances hang on digits that half precision does not have.
_LEAST_VARIANCE = 1e-6
_FEWEST_IMAGES = 20


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """``score``: the largest value of ``map`` (60, 80) float32, which is about 1 where all is normal."""

    score: float
    map: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DemoModel:
    """``mean`` (F, 60, 80) and ``whitening`` (60, 80, F, F), float32: whitened deviations have unit covariance."""

    bank: FilterBank
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    def measure(self, image: NDArray[np.uint8]) -> ModelOutput:
        """Score one BGR image (240, 320, 3) in NumPy: what the ONNX graph must reproduce.

        The map is the root mean square of the whitened deviation, the Mahalanobis distance over sqrt(F).
        """
        deviation = compress(responses(self.bank, image)) - self.mean
        white = np.einsum("hwij,jhw->ihw", self.whitening, deviation)
        distance = np.sqrt(np.mean(white * white, axis=0))
        ones = _box_sum(np.ones_like(distance))
        anomaly_map = np.asarray(_box_sum(distance) / ones, np.float32)
        return ModelOutput(float(anomaly_map.max()), anomaly_map)


def fit(images: Sequence[NDArray[np.uint8]]) -> DemoModel:
    """Fit to good parts: BGR images (240, 320, 3) uint8.

    Raises:
        InputError: fewer than 20 images, or images of another size.
    """
    if len(images) < _FEWEST_IMAGES:
        raise InputError(f"expected at least {_FEWEST_IMAGES} images to fit the model, found {len(images)}")
    for image in images:
        if image.shape != (INPUT_HEIGHT, INPUT_WIDTH, 3):
            raise InputError(f"expected images of shape {(INPUT_HEIGHT, INPUT_WIDTH, 3)}, found {image.shape}")
    bank = filter_bank()
    pooled = np.stack([responses(bank, image) for image in images])
    scale = 1 / pooled[:, COLOURS:].std(axis=(0, 2, 3))
    pooled[:, COLOURS:] *= scale[:, None, None]
    samples = compress(pooled)
    mean = samples.mean(axis=0)
    return DemoModel(bank.scaled(scale), mean, _whitening(samples - mean))


def to_model_size(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A camera frame as the model takes it, averaged down: (240, 320, 3) uint8."""
    small = cv2.resize(image, (INPUT_WIDTH, INPUT_HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _whitening(deviations: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse Cholesky factor of the covariance at every place, from (N, F, h, w)."""
    count = deviations.shape[0]
    covariance = np.einsum("nchw,ndhw->hwcd", deviations, deviations, dtype=np.float64, optimize=True) / (count - 1)
    everywhere = covariance.mean(axis=(0, 1))
    blend = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * everywhere + _LEAST_VARIANCE * np.eye(len(everywhere))
    return np.linalg.inv(np.linalg.cholesky(blend)).astype(np.float32)


def _box_sum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    window = (SMOOTHING, SMOOTHING)
    sums = cv2.boxFilter(values, cv2.CV_32F, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.float32)
