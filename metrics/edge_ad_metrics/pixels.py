"""How well anomaly maps point at the defect: pixel ROC-AUC, AUPRO and AUPIMO.

Two passes over the maps, one map in memory at a time. The first chooses the thresholds, the second counts what lies
above them. With fewer different values among the normal pixels than thresholds the areas are exact, else a curve is
straight between thresholds that are some 1/16,000 of the normal pixels apart.

What is not inspected raises no false alarm, so it does not count as normal; a defect there is a defect missed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from edge_ad_metrics.aupimo import PimoTail
from edge_ad_metrics.sampling import evenly_spaced_to_the_last

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from edge_ad_metrics.aupimo import PimoThresholds

    Samples = Callable[[], Iterable["PixelSample"]]

__all__ = ["PRO_FPR_LIMIT", "PixelAreas", "PixelSample", "measure_pixels"]

PRO_FPR_LIMIT: Final = 0.3
_THRESHOLDS: Final = 16_384
_FEWEST_PER_MAP: Final = 256
_GOLDEN: Final = (5**0.5 - 1) / 2
_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), np.int64)


@dataclass(frozen=True, slots=True)
class PixelSample:
    """``anomaly_map``: float32 ``(H, W)``, NaN where nothing is inspected. ``mask``: bool ``(H, W)``, the defect.

    ``type``: which kind of defect; a normal image has an empty mask and any type.
    """

    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    type: str


@dataclass(frozen=True, slots=True)
class PixelAreas:
    """``roc_auc`` (pixels), ``aupro``; ``aupimo``: float64, one per anomalous image, ``None`` if not resolved."""

    images: int
    regions: int
    roc_auc: float
    aupro: float
    aupimo: NDArray[np.float64] | None


@dataclass(slots=True)
class _Counts:
    """What lies above each threshold, highest first: ``(2K,)``, above it and then from it on."""

    images: int = 0
    regions: int = 0
    normal_pixels: int = 0
    defect_pixels: int = 0
    normal: NDArray[np.float64] | float = 0.0
    defect: NDArray[np.float64] | float = 0.0
    overlap: NDArray[np.float64] | float = 0.0
    aupimo: list[float] = field(default_factory=list)

    def add(self, other: _Counts) -> None:
        self.images += other.images
        self.regions += other.regions
        self.normal_pixels += other.normal_pixels
        self.defect_pixels += other.defect_pixels
        self.normal = self.normal + other.normal
        self.defect = self.defect + other.defect
        self.overlap = self.overlap + other.overlap
        self.aupimo.extend(other.aupimo)

    @classmethod
    def of(cls, parts: Iterable[_Counts]) -> _Counts:
        """All of them together; they stay as they are."""
        total = cls()
        for part in parts:
            total.add(part)
        return total


@dataclass(frozen=True, slots=True)
class _Survey:
    """``thresholds``: float32 ``(K,)`` ascending. ``pimo``: ``None`` where AUPIMO cannot be resolved."""

    thresholds: NDArray[np.float32]
    pimo: PimoThresholds | None


def measure_pixels(samples: Samples, *, images: int, normals: int) -> dict[str | None, PixelAreas]:
    """The areas over all types (key ``None``) and for each type against the normal images.

    Args:
        samples: gives the same maps each time it is called; some normal and some anomalous.
        images: how many maps there are.
        normals: how many of them have an empty mask.

    AUPRO (Bergmann et al. 2021): the mean share of each connected defect (8 neighbours) that lies above the
    threshold, over the false-positive rate of all normal pixels up to 0.3, divided by 0.3.
    AUPIMO: see :mod:`edge_ad_metrics.aupimo`.
    """
    survey = _survey(samples(), images, normals)
    by_type: defaultdict[str, _Counts] = defaultdict(_Counts)
    normal = _Counts()
    for sample in samples():
        counted = _count(sample, survey)
        (by_type[sample.type] if counted.regions else normal).add(counted)
    areas: dict[str | None, PixelAreas] = {None: _areas(_Counts.of([normal, *by_type.values()]), survey)}
    areas |= {name: _areas(_Counts.of([normal, one]), survey) for name, one in by_type.items()}
    return areas


def _survey(samples: Iterable[PixelSample], images: int, normals: int) -> _Survey:
    per_map = max(_FEWEST_PER_MAP, -(-_THRESHOLDS // images))
    tail = PimoTail(normals)
    taken = []
    for index, sample in enumerate(samples):
        values = np.sort(sample.anomaly_map[~sample.mask & ~np.isnan(sample.anomaly_map)])
        # Other ranks from map to map: where maps are alike, their thresholds fall between one another.
        ranks = (np.arange(per_map) + (index * _GOLDEN) % 1) * (values.size / per_map)
        taken.append(values if values.size <= per_map else values[ranks.astype(np.intp)])
        taken.append(values[-1:])
        if not sample.mask.any():
            tail.add(values)
    thresholds = np.unique(np.concatenate(taken))
    return _Survey(_thinned(thresholds), tail.thresholds())


def _thinned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    thinned: NDArray[np.float32] = values[evenly_spaced_to_the_last(values.size, _THRESHOLDS)]
    return thinned


def _count(sample: PixelSample, survey: _Survey) -> _Counts:
    normal = np.sort(sample.anomaly_map[~sample.mask & ~np.isnan(sample.anomaly_map)])
    counted = _Counts(images=1, normal_pixels=normal.size, normal=_above(normal, survey.thresholds))
    if not sample.mask.any():
        return counted
    from scipy.ndimage import label

    labels, counted.regions = label(sample.mask, _EIGHT_NEIGHBOURS)
    region = labels[sample.mask]
    seen = np.nan_to_num(sample.anomaly_map[sample.mask], nan=-np.inf)
    order = np.argsort(seen)
    defect, weights = seen[order], 1 / np.bincount(region)[region[order]]
    counted.defect_pixels = defect.size
    counted.defect = _above(defect, survey.thresholds)
    counted.overlap = _above(defect, survey.thresholds, weights)
    counted.aupimo = [survey.pimo.area(defect)] if survey.pimo else []
    return counted


def _above(
    ascending: NDArray[np.float32], thresholds: NDArray[np.float32], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How many values, or how much weight, lies above each threshold and from it on; highest threshold first."""
    rest = np.arange(ascending.size, -1, -1.0) if weights is None else np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    sides = [rest[np.searchsorted(ascending, thresholds, side)] for side in ("right", "left")]
    pairs: NDArray[np.float64] = np.stack(sides, axis=-1)[::-1].reshape(-1)
    return pairs


def _areas(counts: _Counts, survey: _Survey) -> PixelAreas:
    from sklearn.metrics import auc

    ends = np.array([0.0]), np.array([1.0])
    false = np.concatenate([ends[0], counts.normal / counts.normal_pixels, ends[1]])
    true = np.concatenate([ends[0], counts.defect / counts.defect_pixels, ends[1]])
    overlap = np.concatenate([ends[0], counts.overlap / counts.regions, ends[1]])
    return PixelAreas(
        images=counts.images,
        regions=counts.regions,
        roc_auc=float(auc(false, true)),
        aupro=_limited_area(false, overlap),
        aupimo=np.array(counts.aupimo) if survey.pimo else None,
    )


def _limited_area(false: NDArray[np.float64], overlap: NDArray[np.float64]) -> float:
    from sklearn.metrics import auc

    inside = int(np.searchsorted(false, PRO_FPR_LIMIT, "right"))
    at_limit = np.interp(PRO_FPR_LIMIT, false, overlap)
    x, y = np.append(false[:inside], PRO_FPR_LIMIT), np.append(overlap[:inside], at_limit)
    return float(auc(x, y)) / PRO_FPR_LIMIT
