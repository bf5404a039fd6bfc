"""Pixel metrics against closed forms and against their definitions written out."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter, label
from sklearn.metrics import roc_auc_score

from edge_ad_metrics.pixels import PixelAreas, PixelSample, measure_pixels

Heat = NDArray[np.float32]


def sample(heat: NDArray[np.generic], mask: NDArray[np.generic] | None = None, kind: str = "dent") -> PixelSample:
    marked = np.zeros(heat.shape, np.bool_) if mask is None else mask.astype(np.bool_)
    return PixelSample(heat.astype(np.float32), marked, kind)


def measure(samples: Sequence[PixelSample]) -> dict[str | None, PixelAreas]:
    normals = sum(not one.mask.any() for one in samples)
    return measure_pixels(lambda: samples, images=len(samples), normals=normals)


def square(size: int = 20, at: int = 5, side: int = 4) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), np.bool_)
    mask[at : at + side, at : at + side] = True
    return mask


def aupro_as_defined(samples: Sequence[PixelSample], limit: float = 0.3) -> float:
    """Every value as a threshold, one after the other."""
    values = np.unique(np.concatenate([one.anomaly_map.ravel() for one in samples]))[::-1]
    rates, overlaps = [0.0], [0.0]
    for value in values:
        false = sum(int((one.anomaly_map[~one.mask] >= value).sum()) for one in samples)
        rates.append(false / sum(int((~one.mask).sum()) for one in samples))
        shares = []
        for one in samples:
            regions, count = label(one.mask, np.ones((3, 3)))
            shares += [float((one.anomaly_map[regions == number] >= value).mean()) for number in range(1, count + 1)]
        overlaps.append(float(np.mean(shares)))
    x, y = np.array(rates), np.array(overlaps)
    inside = x <= limit
    return float(trapezoid([*y[inside], np.interp(limit, x, y)], [*x[inside], limit])) / limit


CORNERS = square(side=1) | square(at=6, side=1)
AUPRO = [
    pytest.param([sample(square() * 9.0, square())], 1.0, id="all of it above all else"),
    pytest.param([sample(-9.0 * square(), square())], 0.0, id="all of it below all else"),
    pytest.param([sample(np.zeros((20, 20)), square())], 0.15, id="a flat map: the diagonal"),
    pytest.param(
        [sample(9.0 * square(side=1), square(side=1)), sample(-9.0 * square(side=9), square(side=9))],
        0.5,
        id="a small and a large defect count the same",
    ),
    pytest.param([sample(9.0 * CORNERS - 9.0 * square(at=12), CORNERS | square(at=12))], 0.5, id="corners that touch"),
]


@pytest.mark.parametrize(("samples", "expected"), AUPRO)
def test_aupro_in_closed_form(samples: list[PixelSample], expected: float) -> None:
    assert measure([*samples, sample(np.zeros((20, 20)))])[None].aupro == pytest.approx(expected, abs=1e-2)


@given(
    arrays(np.float32, (3, 6, 7), elements=st.integers(-3, 3).map(float)),
    arrays(np.bool_, (2, 6, 7)).filter(lambda masks: bool(masks.any(axis=(1, 2)).all()) and not bool(masks.all())),
)
def test_areas_are_what_their_definitions_say(heats: Heat, masks: NDArray[np.bool_]) -> None:
    samples = [sample(heats[0]), sample(heats[1], masks[0]), sample(heats[2], masks[1])]
    found = measure(samples)[None]
    truth = np.concatenate([one.mask.ravel() for one in samples])
    assert found.roc_auc == pytest.approx(roc_auc_score(truth, heats.ravel()))
    assert found.aupro == pytest.approx(aupro_as_defined(samples), abs=1e-9)


def smooth(count: int, size: int, seed: int = 0) -> list[PixelSample]:
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        mask = np.zeros((size, size), np.bool_)
        y, x = random.integers(0, size // 2, 2)
        mask[y : y + size // 8, x : x + size // 5] = index % 2
        heat = gaussian_filter(random.standard_normal((size, size)), 3) * 12 + 4 * gaussian_filter(mask * 1.0, 5)
        made.append(sample(1000 + heat, mask, "ab"[index // 2 % 2]))
    return made


def test_many_values_are_thinned_and_the_area_stays() -> None:
    """A map with a large offset, too: single precision leaves few values, none of them may be lost."""
    samples = smooth(6, 256)
    found = measure(samples)[None]
    truth, heat = (np.concatenate([getattr(one, name).ravel() for one in samples]) for name in ("mask", "anomaly_map"))
    assert found.roc_auc == pytest.approx(roc_auc_score(truth, heat), abs=1e-5)


def test_types_are_measured_against_all_normals() -> None:
    samples = smooth(8, 128)
    found = measure(samples)
    of_a = [one for one in samples if one.type == "a" or not one.mask.any()]
    assert set(found) == {None, "a", "b"}
    assert found["a"].roc_auc == pytest.approx(measure(of_a)[None].roc_auc, abs=1e-4)
    assert found["a"].aupro == pytest.approx(measure(of_a)[None].aupro, abs=1e-4)
    assert found["a"].images == len(of_a)
    assert found[None].regions == 4


def test_what_is_not_inspected() -> None:
    """A defect there is missed; a normal pixel there neither raises an alarm nor dilutes the others."""
    mask = square()
    half = np.where(mask, 9.0, 0.0)
    half[:7] = np.nan  # the upper half of the defect, and normal pixels
    found = measure([sample(half, mask), sample(np.zeros((20, 20)))])[None]
    assert found.aupro == pytest.approx(0.5, abs=1e-2)
    alarms = np.where(np.arange(400).reshape(20, 20) < 360, np.nan, 9.0)
    assert measure([sample(9.0 * mask, mask), sample(alarms)])[None].roc_auc == pytest.approx(1 - 0.5 * 40 / 424)


def ranked(size: int = 1000) -> Heat:
    """A normal map of 1,000,000 different values."""
    values = np.random.default_rng(0).permutation(size * size).reshape(size, size)
    return values.astype(np.float32)


AUPIMO = [
    pytest.param([2e6], 1.0, id="above every normal"),
    pytest.param([-1.0], 0.0, id="below every normal"),
    pytest.param([2e6, -1.0], 0.5, id="half of it"),
    # found once 31 of a million normal pixels lie above the threshold
    pytest.param([1e6 - 31.5], np.log10(100 / 31), id="from a rate of 31e-6 on"),
    pytest.param([1e6 - 50], np.log10(100 / 50), id="equal to a normal pixel"),
    pytest.param([np.nan], 0.0, id="not inspected"),
]


@pytest.mark.parametrize(("defect", "expected"), AUPIMO)
def test_aupimo_in_closed_form(defect: list[float], expected: float) -> None:
    heat, mask = np.zeros((4, 4)), np.zeros((4, 4), np.bool_)
    heat.flat[: len(defect)] = defect
    mask.flat[: len(defect)] = True
    found = measure([sample(ranked()), sample(heat, mask)])[None]
    assert found.aupimo is not None
    # from one normal pixel to the next the curve is straight
    assert found.aupimo == pytest.approx([expected], abs=5e-3)


def aupimo_as_defined(samples: Sequence[PixelSample]) -> list[float]:
    """Every value of a normal map as a threshold, and one just above it."""
    normals = [np.sort(one.anomaly_map.ravel()) for one in samples if not one.mask.any()]
    values = np.unique(np.concatenate(normals))[::-1]
    values = np.stack([np.nextafter(values, np.float32(np.inf)), values], axis=-1).ravel()
    rates = np.mean([1 - np.searchsorted(one, values) / one.size for one in normals], axis=0)
    first = np.flatnonzero(np.abs(rates - 1e-5) == np.abs(rates - 1e-5).min())[-1]
    last = np.flatnonzero(np.abs(rates - 1e-4) == np.abs(rates - 1e-4).min())[-1]
    chosen = slice(first, last + 1)
    defects = [one.anomaly_map[one.mask] for one in samples if one.mask.any()]
    curves = [[float((defect >= value).mean()) for value in values[chosen]] for defect in defects]
    return [float(trapezoid(curve, np.log(rates[chosen])) / np.log(10)) for curve in curves]


def test_aupimo_is_what_its_definition_says_for_normals_of_several_sizes() -> None:
    random = np.random.default_rng(3)
    samples = [
        sample(gaussian_filter(random.standard_normal(shape), 2)) for shape in ((500, 400), (300, 700), (90, 80))
    ]
    for shift in (0.1, 0.3, 0.6):
        mask = square(200, 60, 50)
        samples.append(sample(gaussian_filter(random.standard_normal(mask.shape), 2) + shift * mask, mask))
    found = measure(samples)[None].aupimo
    assert found is not None
    assert found == pytest.approx(aupimo_as_defined(samples), abs=1e-6)
    assert 0 < found.min() < found.max() < 1


@pytest.mark.parametrize(
    "normal",
    [pytest.param(np.zeros((900, 900)), id="flat"), pytest.param(np.arange(400).reshape(20, 20), id="few pixels")],
)
def test_rates_that_cannot_be_told_apart_give_no_aupimo(normal: NDArray[np.generic]) -> None:
    assert measure([sample(normal), sample(9.0 * square(), square())])[None].aupimo is None


@pytest.mark.slow
def test_200_maps_of_a_million_pixels_take_under_30_s() -> None:
    samples = smooth(8, 1024) * 25
    start = time.process_time()  # of this process: others may be at work
    measure(samples)
    assert time.process_time() - start < 30
