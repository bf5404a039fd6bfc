"""Geometry: there, and exactly back."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ad.bundle.records import FrameSize, Geometry, MapSize, ModelInput, Resize, Roi, Tiles
from edge_ad.errors import FrameError, InputError
from edge_ad.geometry import Layout, Preprocessor, find_regions, map_in_camera_pixels, plan
from edge_ad.geometry.axis import tile_starts
from edge_ad.geometry.resample import Resampler

MODEL = ModelInput(width=32, height=24, channels=3)
MAP = MapSize(width=8, height=6)
Mode = Literal["stretch", "letterbox", "center_crop"]
MODES: list[Mode] = ["stretch", "letterbox", "center_crop"]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, channels)[: 2 + (channels > 1)]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def run(preprocessor: Preprocessor, frame: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Every tile that the model would see."""
    model = preprocessor.model_input
    out = np.zeros((model.height, model.width, model.channels), np.uint8)
    return [out.copy() for _ in preprocessor.tiles(frame, out)]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any frame, any region of interest in it, any way of resizing."""
    width, height = draw(st.integers(8, 400)), draw(st.integers(8, 400))
    roi = None
    if draw(st.booleans()):
        x, y = draw(st.integers(0, width - 8)), draw(st.integers(0, height - 8))
        roi = Roi(x=x, y=y, width=draw(st.integers(8, width - x)), height=draw(st.integers(8, height - y)))
    mode = draw(st.sampled_from(MODES))
    geometry = Geometry(roi=roi, resize=Resize(width=MODEL.width, height=MODEL.height, mode=mode))
    return plan(geometry, MODEL, MAP, height, width)


@given(layouts(), st.floats(0, 1), st.floats(0, 1))
def test_camera_to_map_and_back_is_the_identity(layout: Layout, u: float, v: float) -> None:
    for axis, position in ((layout.x, u * layout.width), (layout.y, v * layout.height)):
        assert axis.to_camera(axis.to_map(position)) == pytest.approx(position, abs=1e-6)


@given(layouts(), st.data())
def test_a_cell_span_covers_the_cell_and_stays_in_the_region(layout: Layout, data: st.DataObject) -> None:
    for axis in (layout.x, layout.y):
        first = data.draw(st.integers(0, axis.map_length - 1))
        count = data.draw(st.integers(1, axis.map_length - first))
        begin, end = axis.span(first, count)
        low, high = axis.offset, axis.offset + axis.length
        assert low <= begin < end <= high
        assert begin <= max(min(axis.to_camera(first), high - 1), low) + 1e-6
        assert end >= min(max(axis.to_camera(first + count), low + 1), high) - 1e-6
        assert end - begin <= max(axis.camera_per_cell * count + 2, 1)
        assert low <= axis.pixel(first) < high


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 60), st.data())
def test_tiles_cover_the_canvas_on_one_grid(cells: int, cell: int, steps: int, data: st.DataObject) -> None:
    tile = cells * cell
    canvas = tile + steps * cell
    overlap = data.draw(st.integers(0, tile - cell))
    starts = tile_starts(canvas, tile, overlap, cells, "width")
    assert starts[0] == 0
    assert starts[-1] + tile == canvas
    assert all(start % cell == 0 for start in starts)
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(starts))


@pytest.mark.parametrize(
    ("canvas", "overlap", "cells", "message"),
    [
        pytest.param(20, 0, 8, "smaller than the model's input", id="too-small"),
        pytest.param(65, 0, 8, "resize to 64 or 68 px", id="off-the-grid"),
        pytest.param(64, 32, 8, "leaves no step", id="no-step"),
        pytest.param(64, 0, 5, "whole pixels", id="fractional-cells"),
    ],
)
def test_a_tiling_that_cannot_be_says_why(canvas: int, overlap: int, cells: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tile_starts(canvas, 32, overlap, cells, "width")


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([1, 3]),
)
def test_a_flat_picture_stays_flat_at_any_size(source: tuple[int, int], target: tuple[int, int], channels: int) -> None:
    shape = (source[1], source[0], channels)[: 2 + (channels > 1)]
    out = np.zeros((target[1], target[0], channels)[: 2 + (channels > 1)], np.uint8)
    Resampler(source, target, channels, "area")(np.full(shape, 77, np.uint8), out)
    assert (out == 77).all()


def test_area_antialiases() -> None:
    board = np.indices((256, 256)).sum(0) % 2 * 255
    out = np.zeros((37, 41), np.uint8)
    Resampler((256, 256), (41, 37), 1, "area")(board.astype(np.uint8), out)
    assert abs(out.astype(int) - 127).max() <= 20  # a kernel that picks pixels would give 0 and 255


def test_area_is_nearer_to_antialiased_bilinear_than_opencv_alone() -> None:
    from PIL import Image

    frame = noise(1080, 1920)
    expected = np.asarray(Image.fromarray(frame).resize((256, 256), Image.Resampling.BILINEAR)).astype(float)
    out = np.zeros((256, 256, 3), np.uint8)
    Resampler((1920, 1080), (256, 256), 3, "area")(frame, out)
    alone = cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(out - expected).mean() < np.abs(alone - expected).mean()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frame_channels", [1, 3], ids=["gray-frame", "colour-frame"])
@pytest.mark.parametrize("model_channels", [1, 3], ids=["gray-model", "colour-model"])
def test_every_mode_and_colour_fills_the_input(mode: Mode, frame_channels: int, model_channels: Literal[1, 3]) -> None:
    model = ModelInput(width=32, height=24, channels=model_channels)
    geometry = Geometry(resize=Resize(width=32, height=24, mode=mode))
    frame = np.full(noise(90, 70, frame_channels).shape, 200, np.uint8)
    (tile,) = run(Preprocessor(geometry, model), frame)
    filled = 32 if mode != "letterbox" else round(70 * 24 / 90)
    assert tile.shape == (24, 32, model_channels)
    assert (tile == 200).sum() == filled * 24 * model_channels


def test_the_input_is_not_touched_and_buffers_do_not_leak() -> None:
    preprocessor = Preprocessor(Geometry(resize=Resize(width=32, height=24, mode="letterbox", fill=9)), MODEL)
    first, second = noise(60, 40, seed=1), noise(60, 40, seed=2)
    kept = first.copy()
    (before,) = run(preprocessor, first)
    run(preprocessor, second)
    (after,) = run(preprocessor, first)
    assert np.array_equal(first, kept)
    assert np.array_equal(before, after)


def test_a_region_of_interest_equals_a_crop() -> None:
    frame = noise(100, 120)
    resize = Resize(width=32, height=24)
    (tile,) = run(Preprocessor(Geometry(roi=Roi(x=11, y=7, width=64, height=48), resize=resize), MODEL), frame)
    (crop,) = run(Preprocessor(Geometry(resize=resize), MODEL), frame[7:55, 11:75].copy())
    assert np.array_equal(tile, crop)


def test_tiles_are_cuts_of_the_canvas() -> None:
    frame = noise(48, 80)
    preprocessor = Preprocessor(Geometry(resize=None, tiles=Tiles(overlap=8)), MODEL, map_size=MAP)
    layout = preprocessor.layout(frame)
    tiles = run(preprocessor, frame)
    corners = [(y, x) for y in layout.y.starts for x in layout.x.starts]
    assert len(tiles) == layout.tiles == len(corners)
    for tile, (y, x) in zip(tiles, corners, strict=True):
        assert np.array_equal(tile, frame[y : y + 24, x : x + 32])


@pytest.mark.parametrize(
    ("frame", "reason", "message"),
    [
        pytest.param(np.zeros((10, 10, 3), np.uint16), "wrong_type", "uint16", id="16-bit"),
        pytest.param(np.zeros((10, 10, 4), np.uint8), "wrong_shape", r"\(10, 10, 4\)", id="alpha"),
        pytest.param(np.zeros((0, 10, 3), np.uint8), "wrong_shape", r"\(0, 10, 3\)", id="empty"),
        pytest.param(np.zeros(10, np.uint8), "wrong_shape", r"\(10,\)", id="one-dimension"),
        pytest.param(np.zeros((40, 50, 3), np.uint8), "wrong_shape", "64x48 .* found 50x40", id="other-size"),
    ],
)
def test_a_frame_that_does_not_fit_says_why(frame: NDArray[np.uint8], reason: str, message: str) -> None:
    geometry = Geometry(frame=FrameSize(width=64, height=48), resize=Resize(width=32, height=24))
    with pytest.raises(FrameError, match=message) as caught:
        run(Preprocessor(geometry, MODEL), frame)
    assert caught.value.reason == reason


def test_a_frame_smaller_than_the_region_of_interest_is_refused() -> None:
    geometry = Geometry(roi=Roi(x=10, y=0, width=60, height=40), resize=Resize(width=32, height=24))
    with pytest.raises(FrameError, match=r"ends at \(70, 40\) but the frame is 64x48"):
        run(Preprocessor(geometry, MODEL), noise(48, 64))


@pytest.mark.parametrize("mode", MODES)
def test_a_bright_cell_comes_back_where_it_was(mode: Mode) -> None:
    geometry = Geometry(roi=Roi(x=20, y=10, width=160, height=90), resize=Resize(width=32, height=24, mode=mode))
    layout = plan(geometry, MODEL, MAP, 120, 200)
    x, y = 100, 60  # a camera pixel that every mode shows
    anomaly_map = np.zeros((6, 8), np.float32)
    anomaly_map[int(layout.y.to_map(y)), int(layout.x.to_map(x))] = 1
    (region,) = find_regions(anomaly_map, 0.5, layout)
    box = region.box
    assert box.x <= x < box.x + box.width
    assert box.y <= y < box.y + box.height
    assert region.peak_score == 1
    peak = map_in_camera_pixels(anomaly_map, layout)
    assert peak.shape == (120, 200)
    assert peak[region.peak.y, region.peak.x] > 0.9
    assert np.isnan(peak[0, 0])


def test_regions_are_told_apart_and_sorted_by_peak() -> None:
    layout = plan(Geometry(resize=Resize(width=32, height=24)), MODEL, MAP, 48, 64)
    anomaly_map = np.zeros((6, 8), np.float32)
    anomaly_map[0, 0] = 2
    anomaly_map[3:5, 5:7] = 3
    anomaly_map[4, 6] = 4
    regions = find_regions(anomaly_map, 1, layout)
    assert [r.peak_score for r in regions] == [4, 2]
    assert regions[0].area_px == 4 * 64
    assert (regions[0].box.x, regions[0].box.y, regions[0].box.width, regions[0].box.height) == (
        40,
        24,
        16,
        16,
    )
    assert find_regions(anomaly_map, 4, layout) == ()  # a value at the threshold is not above it


@given(layouts(), st.integers(0, 2**32 - 1))
def test_regions_lie_inside_the_region_of_interest(layout: Layout, seed: int) -> None:
    anomaly_map = np.random.default_rng(seed).random((layout.y.map_length, layout.x.map_length), np.float32)
    for region in find_regions(anomaly_map, 0.7, layout):
        box = region.box
        assert layout.x.offset <= box.x < box.x + box.width <= layout.x.offset + layout.x.length
        assert layout.y.offset <= box.y < box.y + box.height <= layout.y.offset + layout.y.length
        assert box.x <= region.peak.x < box.x + box.width
        assert box.y <= region.peak.y < box.y + box.height
        assert region.area_px >= 1


def test_an_ignore_mask_needs_a_map_and_something_left() -> None:
    geometry = Geometry(resize=Resize(width=32, height=24))
    mask = np.full((48, 64), 255, np.uint8)
    with pytest.raises(InputError, match="needs a model with an anomaly map"):
        Preprocessor(geometry, MODEL, mask)
    with pytest.raises(InputError, match="nothing is left"):
        Preprocessor(geometry, MODEL, mask, map_size=MAP).valid(noise(48, 64))


def test_an_ignore_mask_takes_the_cells_that_it_covers_by_half() -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :12] = 255  # one and a half cells of 8 px
    valid = Preprocessor(Geometry(resize=Resize(width=32, height=24)), MODEL, mask, map_size=MAP).valid(noise(48, 64))
    assert valid is not None
    assert valid[:, 2:].all()
    assert not valid[:, :2].any()
