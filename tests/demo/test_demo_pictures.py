"""The contact sheet and the histogram."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ad.verdict import Box, Point, Region, State
from edge_ad_demo.line.defects import Kind
from edge_ad_demo.result.contact_sheet import SheetFrame, draw_sheet
from edge_ad_demo.result.figures import Asked, FrameVerdict, summarise
from edge_ad_demo.result.histogram import bin_edges, draw_histogram
from edge_ad_demo.result.palette import ACCEPTED, REJECTED

BOX = Box(x=300, y=200, width=80, height=60)


def frame(folder: str, score: float, *, regions: tuple[Region, ...] = ()) -> FrameVerdict:
    return FrameVerdict(
        source=f"{folder}/000.png",
        state=State.REJECT if score > 2 else State.ACCEPT,
        score=score,
        threshold=2.0,
        regions=regions,
        captured_at=0.0,
        bundle="b@1",
        variant="onnx-fp32",
    )


def entry(verdict: FrameVerdict, *, value: float = 0.0) -> SheetFrame:
    return SheetFrame("Part", verdict, np.full((480, 640, 3), 90, np.uint8), np.full((480, 640), value, np.float32))


def decode(png: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def pixels_of(image: NDArray[np.uint8], colour: str) -> int:
    red, green, blue = bytes.fromhex(colour[1:])
    return int(np.all(image == (blue, green, red), axis=2).sum())


@pytest.mark.parametrize(
    ("score", "shown", "absent"),
    [
        pytest.param(1.0, ACCEPTED, REJECTED, id="accepted"),
        pytest.param(3.0, REJECTED, ACCEPTED, id="rejected"),
    ],
)
def test_the_tag_has_the_verdicts_colour(score: float, shown: str, absent: str) -> None:
    image = decode(draw_sheet([entry(frame("good", score))]))
    assert pixels_of(image, shown) > 500
    assert pixels_of(image, absent) == 0


def test_entries_go_two_to_a_row() -> None:
    two, four = (decode(draw_sheet([entry(frame("good", 1.0))] * count)) for count in (2, 4))
    assert two.shape[1] == four.shape[1]
    assert two.shape[0] < four.shape[0] < 2 * two.shape[0]


def test_regions_are_boxed() -> None:
    region = Region(box=BOX, area_px=4800, peak=Point(x=340, y=230), peak_score=5.0)
    plain = decode(draw_sheet([entry(frame("blob", 3.0))]))
    boxed = decode(draw_sheet([entry(frame("blob", 3.0, regions=(region,)))]))
    rows, columns = np.nonzero(np.any(plain != boxed, axis=2))
    # 640 camera pixels are 594 cropped ones on 280: the box and its margin, and a stroke of 3 pixels.
    assert np.ptp(columns) == pytest.approx((BOX.width + 6) * 280 / 594, abs=6)
    assert np.ptp(rows) == pytest.approx((BOX.height + 6) * 196 / 416, abs=6)


def test_a_map_below_half_the_threshold_leaves_the_picture_gray() -> None:
    cold, warm = (decode(draw_sheet([entry(frame("stain", 1.0), value=heat)])) for heat in (0.9, 3.0))
    assert np.any(cold != warm)
    np.testing.assert_array_equal(cold, decode(draw_sheet([entry(frame("stain", 1.0))])))


def test_the_histogram_shows_both_sides_of_the_threshold() -> None:
    frames = [frame("good", 1.0 + 0.01 * n) for n in range(50)] + [frame(kind.value, 4.0) for kind in Kind]
    figures = summarise(frames, Asked(fpr=0.01, confidence=0.95))
    image = decode(draw_histogram(frames, figures))
    assert image.shape[1] > 800
    assert pixels_of(image, REJECTED) > 500
    only_good = [*frames[:50], *(msgspec.structs.replace(one, score=1.0, state=State.ACCEPT) for one in frames[50:])]
    assert pixels_of(decode(draw_histogram(only_good, figures)), REJECTED) == 0


@given(
    scores=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30),
    threshold=st.floats(1e-2, 1e2),
)
def test_every_score_has_a_bin_and_no_bin_is_on_both_sides(scores: list[float], threshold: float) -> None:
    counts, edges = np.histogram(scores, bin_edges(np.array(scores), threshold))
    assert counts.sum() == len(scores)
    assert counts[edges[:-1] > threshold].sum() == sum(score > threshold for score in scores)
