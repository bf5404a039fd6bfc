"""Faults from the field, kind 8: pictures, read by one rule."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import tiny
from support.field_cli import edge_ad
from support.field_media import decode, turn_track, turned, upright, write_line, write_turned
from support.paths import DOCS


def write_mp4(path: Path) -> Path:
    return turn_track(write_line(path, "mp4v", 12))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda folder: write_turned(folder / "a.jpg", gray=True), id="control-gray-jpeg"),
        pytest.param(lambda folder: write_turned(folder / "a.png"), id="control-png"),
        pytest.param(lambda folder: write_turned(folder / "a.webp"), id="control-webp"),
        pytest.param(lambda folder: write_turned(folder / "a.tif"), id="tiff"),
        pytest.param(
            lambda folder: write_turned(folder / "a.tiff", gray=True),
            id="tiff-gray",
        ),
        pytest.param(
            lambda folder: write_turned(folder / "a.tif", orientation=8),
            id="tiff-the-other-way",
        ),
        pytest.param(
            lambda folder: write_turned(folder / "a.tif", orientation=5),
            id="tiff-mirrored-and-turned",
        ),
        pytest.param(lambda folder: write_mp4(folder / "a.mp4"), id="mp4"),
        pytest.param(lambda folder: write_mp4(folder / "a.mov"), id="mov"),
    ],
)
def test_every_format_is_turned_or_none(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    rule = turned(write_turned(tmp_path / "rule.jpg"))
    assert turned(write(tmp_path)) is rule


@pytest.mark.parametrize(
    ("suffix", "orientation"),
    [
        pytest.param(".png", 3, id="png-3"),
        pytest.param(".png", 6, id="png-6"),
        pytest.param(".png", 8, id="png-8"),
        pytest.param(".tif", 1, id="tif-1"),
        pytest.param(".tif", 2, id="tif-2"),
        pytest.param(".tif", 3, id="tif-3"),
        pytest.param(".tif", 4, id="tif-4"),
        pytest.param(".tif", 5, id="tif-5"),
        pytest.param(".tif", 6, id="tif-6"),
        pytest.param(".tif", 7, id="tif-7"),
        pytest.param(".tif", 8, id="tif-8"),
        pytest.param(".webp", 3, id="webp-3"),
        pytest.param(".webp", 6, id="webp-6"),
        pytest.param(".webp", 8, id="webp-8"),
    ],
)
def test_pixels_are_turned_by_the_rule_of_jpeg(tmp_path: Path, suffix: str, orientation: int) -> None:
    (rule,) = decode(write_turned(tmp_path / "rule.jpg", orientation=orientation))
    (found,) = decode(write_turned(tmp_path / f"a{suffix}", orientation=orientation))
    assert found.shape == rule.shape
    assert np.abs(found.astype(int) - rule.astype(int)).mean() < 3


def test_the_rule_is_documented() -> None:
    pages = " ".join(page.read_text() for page in DOCS.glob("*.md"))
    assert re.search(r"orientation", pages)


def decoded_or_refused(path: Path, right: NDArray[np.uint8], *names: str, tolerance: int = 0) -> bool:
    """The picture is what it should be, or the line names the true cause."""
    from edge_ad.errors import FrameError
    from edge_ad.sources import read_image

    try:
        found = read_image(path)
    except FrameError as error:
        return any(name in str(error) for name in names)
    assert found.shape == right.shape
    assert int(np.abs(found.astype(int) - right.astype(int)).max()) <= tolerance
    return True


COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
RGB = Image.fromarray(COLOURS[..., ::-1].copy())


def extra_channel(path: Path, extra: NDArray[np.uint8]) -> Path:
    """A TIFF of four samples a pixel; of the last one nothing is said (``ExtraSamples`` 0)."""
    height, width = extra.shape
    pixels = np.dstack([COLOURS[:height, :width, ::-1], extra]).astype(np.uint8).tobytes()
    entries = [
        (256, 3, width), (257, 3, height), (258, 3, 8), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 4),
        (278, 3, height), (279, 4, len(pixels)), (284, 3, 1), (338, 3, 0),
    ]  # fmt: skip
    start = 8 + len(pixels)
    bits = start + 2 + 12 * len(entries) + 4
    head = struct.pack("<2sHI", b"II", 42, start)
    body = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHII", tag, kind, 4, bits) if tag == 258 else struct.pack("<HHII", tag, kind, 1, value)
    path.write_bytes(head + pixels + body + struct.pack("<I", 0) + struct.pack("<4H", 8, 8, 8, 8))
    return path


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(np.zeros((24, 32), np.uint8), id="zeros"),
        pytest.param(np.full((24, 32), 255, np.uint8), id="control-all-255"),
        pytest.param(
            np.random.default_rng(1).integers(0, 256, (24, 32), np.uint8),
            id="near-infrared",
        ),
        pytest.param(np.full((24, 32), 7, np.uint8), id="a-constant"),
    ],
)
def test_a_channel_of_which_nothing_is_said_is_no_transparency(tmp_path: Path, extra: NDArray[np.uint8]) -> None:
    path = extra_channel(tmp_path / "a.tif", extra)
    assert decoded_or_refused(path, COLOURS, "ExtraSamples", "fourth channel")


@pytest.mark.parametrize(
    ("picture", "key"),
    [
        pytest.param(
            RGB,
            tuple(int(value) for value in COLOURS[3, 4, ::-1]),
            id="a-colour",
        ),
        pytest.param(RGB, (1, 2, 3), id="a-colour-that-does-not-occur"),
        pytest.param(Image.fromarray(COLOURS[..., 0].copy()), int(COLOURS[5, 6, 0]), id="a-gray-level"),
        pytest.param(RGB.quantize(16), 3, id="an-index-of-a-palette"),
    ],
)
def test_a_key_colour_is_no_transparency(tmp_path: Path, picture: Image.Image, key: object) -> None:
    path = tmp_path / "a.png"
    picture.save(path, transparency=key)
    right = np.asarray(picture.convert("RGB"))[..., ::-1]
    gray = np.asarray(picture) if picture.mode == "L" else None
    if gray is not None and decode(path) and decode(path)[0].ndim == 2:
        right = gray
    assert decoded_or_refused(path, np.asarray(right, np.uint8), "tRNS", "key colour")


def netpbm(kind: str, maxval: int, pixels: NDArray[np.integer]) -> bytes:
    head = f"{kind}\n# a comment\n{pixels.shape[1]} {pixels.shape[0]}\n{maxval}\n".encode()
    if kind in ("P2", "P3"):
        return head + " ".join(map(str, pixels.reshape(-1))).encode() + b"\n"
    return head + pixels.astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    ("name", "kind", "maxval"),
    [
        pytest.param("a.pgm", "P5", 255, id="control"),
        pytest.param("a.pgm", "P5", 100, id="pgm-100"),
        pytest.param("a.pgm", "P5", 15, id="pgm-15"),
        pytest.param("a.ppm", "P6", 100, id="ppm-100"),
        pytest.param("a.pgm", "P2", 100, id="pgm-as-text"),
        pytest.param("a.ppm", "P3", 63, id="ppm-as-text"),
        pytest.param("a.pnm", "P5", 200, id="pnm-200"),
        pytest.param("a.pgm", "P5", 1, id="pgm-1"),
    ],
)
def test_a_netpbm_picture_is_scaled_or_refused(tmp_path: Path, name: str, kind: str, maxval: int) -> None:
    shape = (24, 32, 3) if kind in ("P3", "P6") else (24, 32)
    values = np.random.default_rng(2).integers(0, maxval + 1, shape)
    (tmp_path / name).write_bytes(netpbm(kind, maxval, values))
    right = np.round(values * 255 / maxval).astype(np.uint8)
    right = right[..., ::-1] if right.ndim == 3 else right
    assert decoded_or_refused(tmp_path / name, right, "maxval", "largest value", tolerance=1)


@settings(
    max_examples=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(maxval=st.integers(1, 254), seed=st.integers(0, 9))
def test_no_largest_value_is_read_unscaled(tmp_path: Path, maxval: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, maxval + 1, (5, 7))
    values[0, 0] = maxval
    (tmp_path / "a.pgm").write_bytes(netpbm("P5", maxval, values))
    right = np.round(values * 255 / maxval).astype(np.uint8)
    assert decoded_or_refused(tmp_path / "a.pgm", right, "maxval", "largest value", tolerance=1)


def test_small_depths_of_png_are_scaled(tmp_path: Path) -> None:
    picture = Image.fromarray(np.asarray(COLOURS[..., 0] > 127, np.uint8) * 255).convert("1")
    picture.save(tmp_path / "a.png")
    assert decoded_or_refused(tmp_path / "a.png", np.asarray(picture.convert("L"), np.uint8), "bit")


PICTURE = upright()


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        pytest.param("c.jpg", ".jpg", id="control"),
        pytest.param("c.jfif", ".jpg", id="jfif"),
        pytest.param("C.JFIF", ".jpg", id="jfif-in-capitals"),
        pytest.param("c.jfi", ".jpg", id="jfi"),
        pytest.param("c.jif", ".jpg", id="jif"),
        pytest.param("c.tga", ".jpg", id="a-jpeg-by-another-name"),
        pytest.param("c", ".png", id="no-suffix"),
        pytest.param("c.png_", ".png", id="a-suffix-with-something-behind"),
        pytest.param("c.heic", ".png", id="heic"),
    ],
)
def test_a_picture_of_a_folder_is_taken_or_said_to_be_left_out(
    tmp_path: Path, tiny_bundle: Path, name: str, encoding: str
) -> None:
    folder = tiny.write_images(tmp_path / "img", [PICTURE, PICTURE // 2])
    (folder / name).write_bytes(cv2.imencode(encoding, PICTURE)[1].tobytes())
    done = edge_ad("score", tiny_bundle, folder, "--json", "--no-self-test")
    is_taken = len(done.records) == 3
    is_said = re.search(r"\b1\b.*(left out|passed over|not read|ignored|skipped)", done.stderr) is not None
    assert is_taken or is_said
