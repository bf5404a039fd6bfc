"""Regions of a smallest area: what the calibration counts is what the device shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle.records import Geometry, Resize
from edge_ad.geometry import find_regions, plan
from edge_ad.geometry.mapping import area_peak

LAYOUT = plan(Geometry(resize=Resize(width=32, height=32)), tiny.INPUT, tiny.MAP, 48, 64)
CELL_PX = 192  # 48 x 64 pixels in 4 x 4 cells

maps = arrays(np.float32, (4, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, float("-inf")]))


@given(heat=maps, min_area_px=st.integers(0, 17 * CELL_PX), level=st.sampled_from([-1.0, 0.0, 0.25, 0.7, 1.0, 2.0]))
def test_a_region_shows_exactly_below_the_peak(heat: NDArray[np.float32], min_area_px: int, level: float) -> None:
    shown = find_regions(heat, level, LAYOUT, min_area_px=min_area_px) != ()
    assert shown == (level < area_peak(heat, LAYOUT, min_area_px))


def test_small_regions_are_not_shown_and_do_not_crowd_out_large_ones() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 9.0
    heat[2:, 2:] = 1.0
    assert [region.peak_score for region in find_regions(heat, 0.5, LAYOUT)] == [9.0, 1.0]
    assert [region.peak_score for region in find_regions(heat, 0.5, LAYOUT, min_area_px=CELL_PX + 1)] == [1.0]


@pytest.mark.parametrize(
    ("min_area_px", "expected"),
    [
        pytest.param(0, 9.0, id="any"),
        pytest.param(CELL_PX, 9.0, id="one cell"),
        pytest.param(CELL_PX + 1, 4.0, id="two cells, corner to corner"),
        pytest.param(4 * CELL_PX, 1.0, id="four cells"),
        pytest.param(16 * CELL_PX, 0.0, id="everything"),
        pytest.param(16 * CELL_PX + 1, -np.inf, id="more than there is"),
    ],
)
def test_the_peak_of_an_area(min_area_px: int, expected: float) -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[1, 1], heat[1, 2], heat[2, 2] = 9.0, 4.0, 1.0, 1.0
    assert area_peak(heat, LAYOUT, min_area_px) == expected
