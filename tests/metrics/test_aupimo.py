"""AUPIMO image by image: known answers, the peer's figures, and what cannot be resolved."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from edge_ad_metrics.aupimo import Aupimo

Values = NDArray[np.float32]

NORMALS = [np.arange(start, 1_000_000, 4, dtype=np.float32) for start in range(4)]
"""Four images that hold 0 to 999,999 between them: the value 999,999 - n has n normal pixels above it."""


def aupimo(normals: list[Values], defects: list[Values]) -> float | None:
    found = Aupimo(len(normals))
    for values in normals:
        found.add_normal(values)
    for values in defects:
        found.add_defect(values)
    return found.mean


def roc_auc(normals: list[Values], defects: list[Values]) -> float:
    labels = np.repeat([0, 1], [sum(map(len, normals)), sum(map(len, defects))])
    return float(roc_auc_score(labels, np.concatenate([*normals, *defects])))


def flat(value: float) -> Values:
    return np.full(50, value, np.float32)


@pytest.mark.parametrize(
    ("defects", "expected"),
    [
        pytest.param([flat(2e6)], 1.0, id="above-all-normals"),
        pytest.param([flat(5.0)], 0.0, id="among-the-normals"),
        pytest.param([np.concatenate([flat(2e6), flat(5.0)])], 0.5, id="half-of-the-defect"),
        pytest.param([flat(2e6), flat(5.0), flat(5.0), flat(5.0)], 0.25, id="one-defect-of-four"),
        pytest.param([flat(999_999 - 20.5)], 1 - np.log10(21 / 10), id="above-all-but-21-in-a-million"),
        pytest.param([flat(999_999 - 49.5)], 1 - np.log10(50 / 10), id="above-all-but-50-in-a-million"),
        pytest.param([flat(999_999 - 99.5)], 0.0, id="above-all-but-100-in-a-million"),
        pytest.param([flat(2e6), np.empty(0, np.float32)], 1.0, id="a-defect-that-nobody-inspects"),
    ],
)
def test_known_answers(defects: list[Values], expected: float) -> None:
    assert aupimo(NORMALS, defects) == pytest.approx(expected, abs=0.01)


def test_without_defects_there_is_no_figure() -> None:
    assert aupimo(NORMALS, []) is None


def test_without_normals_there_is_no_figure() -> None:
    found = Aupimo(3)
    found.add_defect(flat(1.0))

    assert found.mean is None


def test_one_bright_normal_spot_costs_what_correlation_and_roc_auc_hardly_see() -> None:
    random = np.random.default_rng(0)
    normals = [random.normal(0, 1, 40_000).astype(np.float32) for _ in range(10)]
    defects = [random.normal(6, 1, 500).astype(np.float32) for _ in range(10)]
    spoilt = [*normals[:-1], normals[-1].copy()]
    spoilt[-1][:24] = 9 + np.arange(24) / 24

    whole, lost = aupimo(normals, defects), aupimo(spoilt, defects)

    assert whole is not None
    assert lost is not None
    assert whole > 0.97
    assert whole - lost > 0.5
    assert np.corrcoef(normals[-1], spoilt[-1])[0, 1] > 0.97
    assert roc_auc(normals, defects) - roc_auc(spoilt, defects) < 1e-4


def test_a_pixel_that_is_not_inspected_is_no_normal_one_and_a_defect_missed() -> None:
    padded = [np.append(values, np.full(9000, np.nan, np.float32)) for values in NORMALS]

    assert aupimo(padded, [flat(2e6)]) == aupimo(NORMALS, [flat(2e6)])
    assert aupimo(NORMALS, [np.append(flat(2e6), np.full(50, np.nan, np.float32))]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("normals", "resolved"),
    [
        pytest.param([np.arange(400_000, dtype=np.float32)], True, id="36-rates-between-the-bounds"),
        pytest.param([np.arange(300_000, dtype=np.float32)], False, id="27-rates-between-the-bounds"),
        pytest.param([np.arange(4000, dtype=np.float32)], False, id="no-rate-as-low"),
        pytest.param([np.zeros(1_000_000, np.float32)], False, id="one-value"),
        pytest.param([np.empty(0, np.float32)], False, id="no-pixel"),
    ],
)
def test_rates_that_cannot_be_told_apart_give_no_figure(normals: list[Values], resolved: bool) -> None:
    assert (aupimo(normals, [flat(2e6)]) is not None) is resolved


def test_the_figures_are_those_of_the_peer() -> None:
    """anomalib 2.7.0 with torch 2.13.0, on the same maps stacked as ``maps`` and ``masks``, (12, 256, 256):

    ``metric = anomalib.metrics.pimo.pimo._AUPIMO(num_thresholds=1_000_000, return_average=False)``,
    ``metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())``, ``metric.compute()[1].aupimos``.
    """
    random = np.random.default_rng(20)
    normals, defects = [], []
    for index in range(12):
        mask = np.zeros((256, 256), np.bool_)
        if index % 3 == 2:
            y, x = random.integers(0, 190, 2)
            mask[y : y + 20 + 3 * index, x : x + 30] = True
        noise = gaussian_filter(random.standard_normal(mask.shape), 2) * 7
        made = (noise + index * 0.4 * gaussian_filter(mask * 1.0, 3)).astype(np.float32)
        if mask.any():
            defects.append(made[mask])
        else:
            normals.append(made)

    found = [aupimo(normals, [defect]) for defect in defects]

    assert found == pytest.approx([0.0, 0.009917441, 0.103752957, 0.293040198], abs=1e-4)


@pytest.mark.parametrize("coarse", [2, 5])
@pytest.mark.parametrize("missed", [-1, 30.5, 60.5, 120.5])
def test_coarse_values_move_the_figure_little(coarse: int, missed: float) -> None:
    """Normal pixels that share a value in groups, as maps of few bits have them."""
    normal = np.arange(2_000_000, dtype=np.float32)
    defect = np.concatenate([flat(2e6 - 1 - missed), flat(5.0)])

    whole, grouped = aupimo([normal], [defect]), aupimo([np.floor(normal / coarse) * coarse], [defect])

    assert grouped == pytest.approx(whole, abs=0.05)


def test_one_highest_value_of_many_normal_pixels_gives_no_figure() -> None:
    saturated = np.minimum(np.arange(2_000_000, dtype=np.float32), 2e6 - 30)

    assert aupimo([saturated], [flat(3e6)]) is None
