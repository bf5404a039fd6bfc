"""Annotated pictures: colours that mean the same everywhere, sizes that depend on the frame alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ad.outputs import ColourRange, ColourScale, annotate
from edge_ad.outputs.anomaly_map import overlay
from edge_ad.outputs.draw_text import fit_text, text_width
from edge_ad.verdict import Box, Point, Reason, Region, State, Verdict

RANGE = ColourRange(low=1.0, middle=2.0, high=3.0)
GRAY_400 = np.full((400, 400, 3), 100, np.uint8)


def verdict(state: State = State.ACCEPT, reason: Reason | None = None, *regions: Region) -> Verdict:
    return Verdict(
        state=state,
        reason=reason,
        detail="why",
        score=1.0,
        threshold=2.0,
        p_value=0.5,
        regions=regions,
        captured_at=0.0,
        bundle="b",
        variant="v",
    )


def region(x: int, y: int, width: int, height: int) -> Region:
    return Region(
        box=Box(x=x, y=y, width=width, height=height), area_px=width * height, peak=Point(x=x, y=y), peak_score=9.0
    )


def anomaly_map(*values: float, size: int = 400) -> NDArray[np.float32]:
    """A map of vertical stripes, one for each value."""
    stripes = np.array(values, np.float32)[np.arange(size) * len(values) // size]
    return np.tile(stripes, (size, 1))


def picture_of(annotated: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The 400 x 400 frame inside its annotated picture."""
    line = (annotated.shape[1] - 400) // 2
    return annotated[line : line + 400, line : line + 400]


@pytest.mark.parametrize(
    ("state", "reason", "strongest"),
    [
        pytest.param(State.ACCEPT, None, [1], id="accept-green"),
        pytest.param(State.REJECT, None, [2], id="reject-red"),
        pytest.param(State.INVALID, Reason.UNREADABLE, [2, 1], id="invalid-amber"),
    ],
)
def test_the_frame_line_has_the_colour_of_the_state(state: State, reason: Reason | None, strongest: list[int]) -> None:
    colour = annotate(GRAY_400, verdict(state, reason))[0, 0].astype(int)
    order = np.argsort(-colour).tolist()
    assert order[: len(strongest)] == strongest
    assert colour[order[len(strongest) - 1]] > colour[order[len(strongest)]] + 60


def test_without_a_calibration_the_frame_line_is_gray() -> None:
    assert np.ptp(annotate(GRAY_400, verdict(State.INVALID, Reason.UNCALIBRATED))[0, 0]) == 0


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    channels=st.sampled_from([(), (3,)]),
    box=st.tuples(*[st.integers(0, 700)] * 4),
    seed=st.integers(0, 99),
)
def test_any_frame_can_be_annotated_and_its_size_alone_sets_the_size(
    height: int, width: int, channels: tuple[int, ...], box: tuple[int, int, int, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, *channels), dtype=np.uint8)
    values = random.normal(2, 1, (height, width)).astype(np.float32)
    before = image.copy(), values.copy()
    full = annotate(image, verdict(State.REJECT, None, region(*box)), values, RANGE)
    bare = annotate(image, verdict(State.INVALID, Reason.UNREADABLE))
    assert full.dtype == np.uint8
    assert full.shape == bare.shape
    assert full.shape[2] == 3
    assert max(full.shape) >= 360
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(values, before[1])


def test_a_calm_part_looks_like_its_photograph() -> None:
    inside = picture_of(annotate(GRAY_400, verdict(), anomaly_map(0.2, 0.9, 1.0), RANGE))
    np.testing.assert_array_equal(inside[20:-20, 20:-20], 100)


def test_colours_turn_warm_just_above_the_pixel_threshold() -> None:
    inside = overlay(GRAY_400, anomaly_map(1.9, 2.0, 2.01, 2.5, 3.0), RANGE)
    blue, _, red = (inside[200, 40::80, channel].astype(int) for channel in range(3))
    warmth = red - blue
    assert (warmth[:2] < 0).all()
    assert (warmth[2:] > 60).all()


def test_what_was_not_inspected_is_dark() -> None:
    inside = overlay(GRAY_400, anomaly_map(0.0, float("nan"), 9.0, float("inf")), RANGE)
    assert inside[200, 50::100].max(axis=1).tolist() == pytest.approx([100, 40, 200, 40], abs=60)
    assert inside[200, 150].tolist() == inside[200, 350].tolist() == [40, 40, 40]


def test_a_box_surrounds_its_region_and_hides_none_of_it() -> None:
    plain = picture_of(annotate(GRAY_400, verdict()))
    boxed = picture_of(annotate(GRAY_400, verdict(State.ACCEPT, None, region(100, 150, 60, 40))))
    rows, columns = np.nonzero((plain != boxed).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((147, 192, 97, 162), abs=3)
    np.testing.assert_array_equal(boxed[150:190, 100:160], plain[150:190, 100:160])


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"frame's \(400, 400\) pixels, found \(32, 32\)"):
        annotate(GRAY_400, verdict(), anomaly_map(1.0, size=32), RANGE)


def test_a_small_frame_is_enlarged_in_whole_pixels() -> None:
    image = np.arange(64 * 64, dtype=np.uint32).astype(np.uint8).reshape(64, 64)
    annotated = annotate(image, verdict())
    line = (annotated.shape[1] - 384) // 2
    np.testing.assert_array_equal(
        annotated[line + 3 : line + 384 : 6, line + 3 : line + 384 : 6, 0][1:-1, 1:-1], image[1:-1, 1:-1]
    )


@pytest.mark.parametrize("text", ["short", "a remark that is far too long to fit into any small picture " * 3])
@pytest.mark.parametrize("width", [40, 200, 2000])
def test_text_fits_into_its_room(text: str, width: int) -> None:
    fitted, height = fit_text(text, 20, width)
    assert text_width(fitted, height) <= width
    assert height >= 9


def test_one_scale_for_all_pictures_of_a_run() -> None:
    scale = ColourScale()
    first = scale.fit(anomaly_map(1.0, 1.0, 3.0), 2.0)
    assert first is not None
    assert (first.low, first.middle) == (1.0, 2.0)
    assert scale.fit(anomaly_map(1.9, 1.9, 50.0), 2.0) == first


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        pytest.param((5.0, 6.0), 2.0, id="all-anomalous"),
        pytest.param((5.0, 6.0), 0.0, id="threshold-zero"),
        pytest.param((-9.0, -8.0), -5.0, id="negative"),
        pytest.param((2.0, 2.0), 2.0, id="constant-at-the-threshold"),
    ],
)
def test_the_threshold_is_where_warm_colours_begin(values: tuple[float, ...], threshold: float) -> None:
    found = ColourScale().fit(anomaly_map(*values), threshold)
    assert found is not None
    assert found.low < found.middle == threshold < found.high


def test_a_frame_that_is_all_anomalous_does_not_set_the_scale() -> None:
    scale = ColourScale()
    scale.fit(anomaly_map(5.0, 6.0), 2.0)
    assert scale.fit(anomaly_map(1.0), 2.0) == ColourScale().fit(anomaly_map(1.0), 2.0)


def test_without_a_threshold_a_picture_is_relative_to_itself() -> None:
    found = ColourScale().fit(anomaly_map(10.0, 20.0), None)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((10.0, 20.0))
    assert ColourScale().fit(anomaly_map(7.0), None) is not None


def test_nothing_inspected_has_no_scale() -> None:
    assert ColourScale().fit(anomaly_map(float("nan")), 1.0) is None


def test_a_range_ascends() -> None:
    with pytest.raises(ValueError, match="expected low < middle < high, found 1, 1, 2"):
        ColourRange(1, 1, 2)
