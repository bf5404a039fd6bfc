"""Every pixel format becomes uint8 gray or BGR, by known answers."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad.cameras.settings import PixelFormat
from edge_ad.capture.backends.pixels import FORMATS, BitDepthRule, RawImage, convert
from edge_ad.capture.backends.protocol import CameraRefusedError, FetchedPicture

HEIGHT, WIDTH = 6, 8
BLUE, GREEN, RED = 10, 100, 200


def converted(
    name: str, values: NDArray[np.generic], rule: BitDepthRule = "high-bits", padding: int = 0
) -> NDArray[np.uint8]:
    """The pixels in the slot; what lies behind them stays untouched."""
    rows = values.reshape(values.shape[0], -1)
    data = np.pad(np.frombuffer(rows.tobytes(), np.uint8).reshape(len(rows), -1), ((0, 0), (0, padding)))
    slot = np.full(1 << 12, 77, np.uint8)
    raw = RawImage(data.reshape(-1), name, values.shape[0], values.shape[1], padding)
    picture = convert(raw, rule, slot)
    size = picture.height * picture.width * picture.channels
    assert set(slot[size:].tolist()) == {77}
    assert picture.damaged is None
    shape = (picture.height, picture.width, picture.channels)
    return slot[:size].reshape(shape if picture.channels == 3 else shape[:2])


def test_the_settings_name_the_formats_that_can_be_converted() -> None:
    assert set(get_args(PixelFormat)) == set(FORMATS)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("name", "channels"),
    [
        pytest.param("Mono8", 1, id="Mono8"),
        pytest.param("BGR8", 3, id="BGR8"),
    ],
)
def test_what_has_the_right_form_is_only_copied(name: str, channels: int, padding: int) -> None:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, 3)
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert converted(name, values, padding=padding).tolist() == values.tolist()


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("name", "order"),
    [
        pytest.param("RGB8", (RED, GREEN, BLUE), id="RGB8"),
        pytest.param("RGBa8", (RED, GREEN, BLUE, 33), id="RGBa8"),
        pytest.param("BGRa8", (BLUE, GREEN, RED, 33), id="BGRa8"),
    ],
)
def test_colours_come_in_the_order_blue_green_red(name: str, order: tuple[int, ...], padding: int) -> None:
    values = np.tile(np.array(order, np.uint8), (HEIGHT, WIDTH, 1))
    assert np.unique(converted(name, values, padding=padding).reshape(-1, 3), axis=0).tolist() == [[BLUE, GREEN, RED]]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        pytest.param("BayerRG", [[RED, GREEN], [GREEN, BLUE]], id="RG"),
        pytest.param("BayerBG", [[BLUE, GREEN], [GREEN, RED]], id="BG"),
        pytest.param("BayerGR", [[GREEN, RED], [BLUE, GREEN]], id="GR"),
        pytest.param("BayerGB", [[GREEN, BLUE], [RED, GREEN]], id="GB"),
    ],
)
def test_a_bayer_pattern_of_one_colour_becomes_this_colour(name: str, cells: list[list[int]], bits: int) -> None:
    mosaic = np.tile(np.array(cells), (HEIGHT // 2, WIDTH // 2)) << (bits - 8)
    image = converted(f"{name}{bits}", mosaic.astype(np.uint8 if bits == 8 else "<u2"))
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[BLUE, GREEN, RED]]


@pytest.mark.parametrize(
    ("bits", "rule", "value", "gray"),
    [
        (10, "high-bits", 1023, 255),
        (10, "high-bits", 1020, 255),
        (10, "high-bits", 1019, 254),
        (10, "high-bits", 3, 0),
        (10, "high-bits", 4, 1),
        (12, "high-bits", 4095, 255),
        (12, "high-bits", 15, 0),
        (12, "high-bits", 16, 1),
        (12, "high-bits", 4096, 255),
        (16, "high-bits", 65535, 255),
        (16, "high-bits", 255, 0),
        (16, "high-bits", 256, 1),
        (10, "low-bits", 255, 255),
        (10, "low-bits", 256, 255),
        (12, "low-bits", 17, 17),
        (16, "low-bits", 65535, 255),
    ],
)
def test_more_than_eight_bits_become_eight_by_the_stated_rule(
    bits: int, rule: BitDepthRule, value: int, gray: int
) -> None:
    assert np.unique(converted(f"Mono{bits}", np.full((HEIGHT, WIDTH), value, "<u2"), rule, 2)).tolist() == [gray]


@pytest.mark.parametrize(("name", "per_pixel"), [("Mono8", 1), ("Mono12", 2), ("RGB8", 3), ("BayerRG8", 1)])
def test_a_frame_with_missing_bytes_is_damaged(name: str, per_pixel: int) -> None:
    data = np.zeros(HEIGHT * WIDTH * per_pixel - 1, np.uint8)
    picture = convert(RawImage(data, name, HEIGHT, WIDTH), "high-bits", np.zeros(1000, np.uint8))
    assert picture == FetchedPicture(
        0, 0, 0, f"expected {len(data) + 1} bytes, found {len(data)}: the frame did not arrive whole"
    )


def test_a_format_that_is_not_understood_is_refused_with_those_that_are() -> None:
    with pytest.raises(CameraRefusedError, match="sends YUV422_8, which is not understood: set one of Mono8, Mono10"):
        convert(RawImage(np.zeros(9, np.uint8), "YUV422_8", 1, 1), "high-bits", np.zeros(1000, np.uint8))


def test_a_slot_that_is_too_small_says_which_setting_helps() -> None:
    raw = RawImage(np.zeros(1200 * 1000 * 3, np.uint8), "RGB8", 1200, 1000)
    with pytest.raises(CameraRefusedError, match="set max_frame_mib to 4"):
        convert(raw, "high-bits", np.zeros(1 << 20, np.uint8))
