"""AUPIMO: how much of each defect is found at false-positive rates that a factory can live with.

The per-image overlap curve of an anomalous image is the share of its defect pixels at or above a threshold, over the
mean share of the pixels of normal images at or above it. The area is taken between false-positive rates of 1e-5 and
1e-4 on a logarithmic axis and divided by the width of that axis (Bertoldo, Ayache, Rebaud, Ameln, 2024,
arXiv:2401.01984; anomalib's ``AUPIMO``). A value of 1 says that the whole defect lies above all but one normal pixel in
100,000.

Only the highest values of the normal maps matter, and these are kept exactly. As in anomalib the bounds are the
attained rates nearest to 1e-5 and 1e-4, so that both give the same figure; with N normal pixels that moves it by some
1e5 / (4.6 N) at most. Where several normal pixels have the same value, as in maps of 8 or 16 bits, the curve is
straight across them and a bound may lie among them: else the width would depend on how coarse the values are.

One rule for what cannot be resolved, in ``evaluate``, ``export`` and ``compare``: there is no figure unless the normal
pixels attain both bounds, no more of them than the lower bound share the highest value, and 30 of them lie between the
bounds, which takes about 333,000 normal pixels. A figure from fewer would say more about their number than about the
model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FPR_BOUNDS", "RESOLVABLE_PIXELS", "Aupimo", "PimoTail", "PimoThresholds"]

FPR_BOUNDS: Final = (1e-5, 1e-4)
_FEWEST_POINTS: Final = 30
_MOST_POINTS: Final = 4096

RESOLVABLE_PIXELS: Final = round(_FEWEST_POINTS / (FPR_BOUNDS[1] - FPR_BOUNDS[0]))
"""How many pixels of normal images it takes to have enough of them between the two bounds."""


@dataclass(frozen=True, slots=True)
class PimoThresholds:
    """``values``: float32 ``(K,)``, thresholds, descending. ``rates``: float64 ``(K,)``, ascending: the shared
    false-positive rates there; ``before``: the one above the first threshold. ``bounds``: what is integrated over, from
    above ``before`` to the first rate, up to the last rate."""

    values: NDArray[np.float32]
    rates: NDArray[np.float64]
    before: float
    bounds: tuple[float, float]

    def area(self, defect: NDArray[np.float32]) -> float:
        """AUPIMO of one image, from 0 to 1.

        Args:
            defect: float32 ``(n,)``, the values of its defect pixels, ascending; ``-inf`` if not inspected.
        """
        from sklearn.metrics import auc

        # Between two normal values the overlap grows while the rate stands still: two points per value.
        above, at = (np.searchsorted(defect, self.values, side) for side in ("right", "left"))
        missed = np.stack([above, at], axis=-1).ravel()
        rates = np.log(np.append(self.before, np.repeat(self.rates, 2)[:-1]))
        low, high = np.log(self.bounds)
        inside = slice(int(self.rates[0] <= self.bounds[0]), None)  # the first threshold's point, or the one before it
        x, y = rates[inside], (1 - missed / defect.size)[inside]
        first, last = _between(low, x[:2], y[:2]), _between(high, x[-2:], y[-2:])
        x, y = np.concatenate([[low], x[1:-1], [high]]), np.concatenate([[first], y[1:-1], [last]])
        width = np.log(FPR_BOUNDS[1] / FPR_BOUNDS[0])
        return float(np.clip(auc(x, y) / width, 0, 1))


class PimoTail:
    """Gathers the highest values of normal maps, as many as the upper bound needs and no more."""

    def __init__(self, normals: int) -> None:
        self._share = 1 / max(normals, 1)
        self._values = np.empty(0, np.float32)
        self._weights = np.empty(0)

    def add(self, ascending: NDArray[np.float32]) -> None:
        """Takes in the inspected pixels of one normal image, float32 ``(n,)``; of none at all, nothing."""
        if not ascending.size:
            return
        # More of one image than this lies beyond the bound whatever the others hold.
        most = int(np.ceil(FPR_BOUNDS[1] / self._share * ascending.size)) + 1
        highest = ascending[-most:]
        values = np.concatenate([self._values, highest])
        weights = np.concatenate([self._weights, np.full(highest.size, self._share / ascending.size)])
        order = np.argsort(-values, kind="stable")
        rates = np.cumsum(weights[order])
        last = int(np.searchsorted(rates, FPR_BOUNDS[1]))
        keep = order[values[order] >= values[order[min(last, order.size - 1)]]]  # with all that are equal to the last
        self._values, self._weights = values[keep], weights[keep]

    def thresholds(self) -> PimoThresholds | None:
        """``None`` if the normal pixels cannot resolve the rates, see the module's text."""
        if not self._values.size:
            return None
        of_pixels = np.cumsum(self._weights)
        last = np.append(self._values[1:] != self._values[:-1], [True])
        values, rates = self._values[last], of_pixels[last]
        nearest = [int(np.abs(of_pixels - bound).argmin()) for bound in FPR_BOUNDS]
        if rates[0] > FPR_BOUNDS[0] or rates[-1] < FPR_BOUNDS[1] * (1 - 1e-9):
            return None
        if nearest[1] - nearest[0] < _FEWEST_POINTS:
            return None
        low, high = (float(of_pixels[place]) for place in nearest)
        first, end = (int(np.searchsorted(rates, bound)) for bound in (low, high))
        before = float(rates[first - 1]) if first else low
        values, rates = _thinned(values[first : end + 1], rates[first : end + 1])
        return PimoThresholds(values, rates, before, (low, high))


class Aupimo:
    """The mean AUPIMO of one model's maps, image by image: takes in all normal images, then the defects."""

    def __init__(self, normals: int) -> None:
        self._tail = PimoTail(normals)
        self._thresholds: PimoThresholds | None = None
        self._areas: list[float] = []

    def add_normal(self, values: NDArray[np.float32]) -> None:
        """Takes in the map values of one normal image, float32 of any shape; NaN is not inspected and left out."""
        self._tail.add(np.sort(values[~np.isnan(values)]))
        self._thresholds = None

    def add_defect(self, values: NDArray[np.float32]) -> None:
        """Takes in the map values of one defect, float32 ``(n,)``; NaN is not inspected, so missed."""
        self._thresholds = self._thresholds or self._tail.thresholds()
        if values.size and self._thresholds:
            self._areas.append(self._thresholds.area(np.sort(np.nan_to_num(values, nan=-np.inf))))

    @property
    def mean(self) -> float | None:
        """From 0 to 1; ``None`` without defects, or where the normal pixels cannot resolve the rates."""
        return float(np.mean(self._areas)) if self._areas else None


def _thinned(
    values: NDArray[np.float32], rates: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    if rates.size <= _MOST_POINTS:
        return values, rates
    wanted = np.geomspace(rates[0], rates[-1], _MOST_POINTS)
    keep = np.unique(np.searchsorted(rates, wanted).clip(max=rates.size - 1))
    return values[keep], rates[keep]


def _between(place: float, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The straight line through two points, at a place between them; the second point where they are one above the
    other."""
    return float(y[1]) if x[0] == x[1] else float(np.interp(place, x, y))
