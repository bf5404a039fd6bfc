"""AUPIMO of maps: known answers, invariances, memory, and which camera pixels are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_ad.bundle.records import Geometry, MapSize, ModelInput, Resize, Roi, Tiles
from edge_ad.geometry import Preprocessor, map_in_camera_pixels
from edge_ad_export.fidelity.localisation import FPR_BOUNDS, Aupimo, sample_pixels

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


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6), size=st.integers(1, 40_000))
@settings(max_examples=20, deadline=None)
def test_the_highest_normal_values_suffice(seed: int, count: int, size: int) -> None:
    """As if all had been kept, whatever their order; only the order of values matters."""
    random = np.random.default_rng(seed)
    normals = [random.integers(0, 500, size + index).astype(np.float32) for index in range(count)]
    defects = [random.integers(480, 510, 40).astype(np.float32) for _ in range(3)]
    values = np.concatenate(normals)
    weights = np.concatenate([np.full(part.size, 1 / part.size / count) for part in normals])
    rates = np.geomspace(*FPR_BOUNDS, 101)
    candidates = np.append(np.unique(values), np.inf)
    above = np.array([weights[values > level].sum() for level in candidates])
    levels = [candidates[above <= rate * (1 + 1e-9)].min() for rate in rates]
    expected = np.mean([np.mean([(part > level).mean() for level in levels]) for part in defects])

    assert aupimo(normals, defects) == pytest.approx(expected, abs=1e-6)
    assert aupimo(normals[::-1], defects[::-1]) == pytest.approx(expected, abs=1e-6)
    assert aupimo([part * 3 - 7 for part in normals], [part * 3 - 7 for part in defects]) == pytest.approx(expected)


def test_one_bright_normal_spot_costs_what_correlation_and_roc_auc_hardly_see() -> None:
    random = np.random.default_rng(0)
    normals = [random.normal(0, 1, 10_000).astype(np.float32) for _ in range(10)]
    defects = [random.normal(6, 1, 500).astype(np.float32) for _ in range(10)]
    spoilt = [*normals[:-1], normals[-1].copy()]
    spoilt[-1][:6] = 9

    whole, lost = aupimo(normals, defects), aupimo(spoilt, defects)

    assert whole is not None
    assert lost is not None
    assert whole > 0.97
    assert whole - lost > 0.5
    assert np.corrcoef(normals[-1], spoilt[-1])[0, 1] > 0.97
    assert roc_auc(normals, defects) - roc_auc(spoilt, defects) < 1e-4


@pytest.mark.parametrize("side", [30, 200], ids=["thinned", "every-pixel"])
@pytest.mark.parametrize(
    ("geometry", "ignored"),
    [
        pytest.param(Geometry(resize=Resize(width=32, height=32)), False, id="stretch"),
        pytest.param(Geometry(resize=Resize(width=32, height=32)), True, id="ignore-mask"),
        pytest.param(Geometry(resize=Resize(width=32, height=32, mode="letterbox")), False, id="letterbox"),
        pytest.param(Geometry(resize=Resize(width=32, height=32, mode="center_crop")), False, id="center-crop"),
        pytest.param(
            Geometry(resize=Resize(width=64, height=48), tiles=Tiles(overlap=8)), False, id="tiles"
        ),
        pytest.param(
            Geometry(roi=Roi(x=11, y=5, width=70, height=44), resize=Resize(width=32, height=32)), False, id="roi"
        ),
    ],
)  # fmt: skip
def test_pixels_are_those_of_the_heatmap(geometry: Geometry, ignored: bool, side: int) -> None:
    frame = np.zeros((60, 90, 3), np.uint8)
    mask = np.zeros((60, 90), np.uint8)
    mask[:20] = 255
    preprocessor = Preprocessor(
        geometry, ModelInput(width=32, height=32, channels=3), mask if ignored else None,
        map_size=MapSize(width=16, height=16),
    )  # fmt: skip
    layout = preprocessor.layout(frame)
    heat = np.random.default_rng(0).random((layout.y.map_length, layout.x.map_length), np.float32)
    valid = preprocessor.valid(frame)
    heat = heat if valid is None else np.where(valid, heat, np.float32(-np.inf))
    defect = np.zeros((60, 90), bool)
    defect[25:45, 30:70] = True

    found = sample_pixels(heat, defect, layout, side)

    step = max(90 // side, 1)
    region = np.s_[layout.y.offset : 60 : step, layout.x.offset : 90 : step]
    whole = np.zeros((60, 90), bool)
    whole[layout.y.offset : layout.y.offset + layout.y.length, layout.x.offset : layout.x.offset + layout.x.length] = 1
    expected, inside = map_in_camera_pixels(heat, layout)[region], whole[region]
    seen = np.isfinite(expected) & inside
    np.testing.assert_allclose(found.values, expected[seen], atol=1e-4)
    np.testing.assert_array_equal(found.defect, defect[region][seen])
    assert 0 < found.defect.sum() < found.defect.size
