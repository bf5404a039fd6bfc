"""Closed-form fits of the embedding heads to normal images: no gradients, the same result every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import InputError
from edge_ad_export.heads.embedding_data import Gaussians
from edge_ad_export.model.head import Array

if TYPE_CHECKING:
    from edge_ad_export.heads.features import FeatureStack
    from edge_ad_export.model.head import Head

__all__ = ["BankFit", "CentreFit", "FitOptions", "GaussianFit"]

# PaDiM's own: what keeps a covariance of few images from being singular.
_REGULARISATION = 0.01
_SEED = 0


@dataclass(frozen=True)
class FitOptions:
    """``channels``: how many of the stacked features are used, drawn at random as in PaDiM. ``shared``: one Gaussian
    for all places. ``bank``: how many patches are kept, drawn at random."""

    channels: int = 100
    shared: bool = False
    bank: int = 4096


@dataclass(frozen=True)
class GaussianFit:
    """A mean and a covariance at every place, or of all places together."""

    features: FeatureStack
    make: Callable[[Gaussians], Head]
    options: FitOptions

    @property
    def taps(self) -> tuple[str, ...]:
        return self.features.taps

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        count = self.features.channels
        channels = np.sort(np.random.default_rng(_SEED).permutation(count)[: self.options.channels])
        samples = _samples(self.features, images, channels)  # (n, C, places)
        if self.options.shared:
            samples = np.moveaxis(samples, 1, 2).reshape(-1, len(channels), 1)
        if len(samples) < 2:
            raise InputError("--fit of a covariance takes two images or more, better 100: found one")
        mean = samples.mean(axis=0).T
        deviation = np.ascontiguousarray(samples.transpose(2, 1, 0)) - mean[:, :, None]
        covariance = deviation @ deviation.transpose(0, 2, 1) / np.float32(len(samples) - 1)
        precision = np.linalg.inv(covariance.astype(np.float64) + _REGULARISATION * np.eye(len(channels)))
        chosen = None if len(channels) == count else channels.astype(np.int64)
        symmetric = (precision + precision.swapaxes(1, 2)) / 2
        return self.make(Gaussians(mean.astype(np.float64), symmetric, chosen))


@dataclass(frozen=True)
class BankFit:
    """A random choice of the patches of all images."""

    features: FeatureStack
    make: Callable[[Array], Head]
    options: FitOptions

    @property
    def taps(self) -> tuple[str, ...]:
        return self.features.taps

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        samples = _samples(self.features, images)
        patches = np.moveaxis(samples, 1, 2).reshape(-1, self.features.channels)
        kept = np.sort(np.random.default_rng(_SEED).permutation(len(patches))[: self.options.bank])
        return self.make(patches[kept].astype(np.float64))


@dataclass(frozen=True)
class CentreFit:
    """The mean of all images and places."""

    features: FeatureStack
    make: Callable[[Array], Head]

    @property
    def taps(self) -> tuple[str, ...]:
        return self.features.taps

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        samples = _samples(self.features, images)
        return self.make(samples.mean(axis=(0, 2), dtype=np.float64))


def _samples(
    features: FeatureStack, images: Iterable[Sequence[NDArray[Any]]], channels: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """``(images, C, places)``. Raises :class:`InputError` where a feature is no finite number."""
    stacked = (features.reference(values).reshape(features.channels, -1) for values in images)
    samples = np.stack([(one if channels is None else one[channels]).astype(np.float32) for one in stacked])
    if not np.isfinite(samples).all():
        raise InputError(
            f"{' and '.join(features.taps)} hold values that are no finite numbers: check scale, mean and colour order"
        )
    return samples
