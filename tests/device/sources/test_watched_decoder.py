"""Pictures that a decoder gives although it complains, and sizes that a file only declares."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.field_media import line

from edge_ad.errors import FrameError
from edge_ad.sources import read_image
from edge_ad.sources.declared_size import MOST_PIXELS, declared_size
from edge_ad.sources.image_file import decode_image
from edge_ad.sources.stored import damaged_strip
from edge_ad.sources.watched_decoder import decode_watched

NAME = Path("a")


def encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, line(3), list(options))[1].tobytes()


def with_noise(data: bytes, place: float = 0.6, count: int = 60) -> bytes:
    start = int(len(data) * place)
    noise = np.random.default_rng(3).integers(1, 255, count, np.uint8).tobytes()
    return data[:start] + noise + data[start + count :]


JPEG = encoded(".jpg")
DAMAGED = JPEG[:-40] + JPEG[-2:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(DAMAGED, id="jpeg-premature-end"),
        pytest.param(with_noise(encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), id="progressive-jpeg"),
        pytest.param(JPEG[:-2] + bytes(range(1, 90)) + JPEG[-2:], id="jpeg-with-data-left-over"),
        pytest.param(with_noise(encoded(".tif")), id="tiff-lzw"),
        pytest.param(with_noise(encoded(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 8)), id="tiff-deflate"),
        pytest.param(with_noise(encoded(".png")), id="png"),
    ],
)
def test_a_damaged_picture_is_refused(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FrameError, match="damaged") as refused:
        decode_image(NAME, data)
    assert refused.value.reason == "unreadable"
    assert "Corrupt" not in capfd.readouterr().err


def test_the_checksum_of_a_deflated_strip_counts() -> None:
    data = bytearray(encoded(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 8))
    assert not damaged_strip(bytes(data))
    with Image.open(io.BytesIO(bytes(data))) as picture:
        tags = dict(getattr(picture, "tag_v2"))  # noqa: B009  of TIFF files alone
    place, size = tags[273][0], tags[279][0]
    data[place + size - 4 : place + size] = struct.pack(">I", zlib.adler32(b"another"))
    assert damaged_strip(bytes(data)).startswith("deflated data")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".jp2", ".ppm"])
def test_a_whole_picture_is_read(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert decode_image(NAME, encoded(suffix)).shape == line(3).shape
    assert capfd.readouterr().err == ""


def test_what_others_print_meanwhile_comes_out() -> None:
    code = (
        "import os, sys; from edge_ad.sources.watched_decoder import _listener\n"
        "with _listener.together() as heard:\n"
        "    os.write(2, b'Corrupt JPEG data: bad Huffman code\\nsomething else\\n')\n"
        "os.write(2, b'afterwards\\n'); print(heard.complaints)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "something else\nafterwards\n"
    assert done.stdout == "['Corrupt JPEG data: bad Huffman code']\n"


def test_a_process_without_standard_error_reads_pictures() -> None:
    code = (
        "import os, sys; os.close(2); from edge_ad.sources.watched_decoder import decode_watched\n"
        "print(decode_watched(sys.stdin.buffer.read()).complaints)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=DAMAGED, stdout=subprocess.PIPE, check=True)
    assert b"premature end" in done.stdout


def test_threads_do_not_hear_of_the_pictures_of_others() -> None:
    pictures = [JPEG, DAMAGED] * 40
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with ThreadPoolExecutor(4) as pool:
        complaints = [bool(decoded.complaints) for decoded in pool.map(decode_watched, pictures)]
    assert complaints == [False, True] * 40
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


SIZE = (53, 37)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp", ".avif", ".gif", ".ppm", ".pam", ".jp2"])
def test_a_header_declares_the_size(suffix: str) -> None:
    data = cv2.imencode(suffix, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))[1].tobytes()
    found = declared_size(data)
    assert found is not None
    assert sorted(found) == sorted(SIZE)


HEADERS: dict[str, Callable[[int, int], bytes]] = {
    ".png": lambda width, height: struct.pack(">II", width, height),
    ".jpg": lambda width, height: struct.pack(">HH", height, width),
    ".bmp": lambda width, height: struct.pack("<ii", width, height),
    ".tif": lambda width, height: struct.pack("<HHIHHHHIHH", 256, 3, 1, width, 0, 257, 3, 1, height, 0),
    ".pgm": lambda width, height: b"%d %d" % (width, height),
}


def huge(suffix: str) -> bytes:
    """A small picture that declares 60000 x 60000 pixels."""
    data = cv2.imencode(suffix, np.zeros((SIZE[1], SIZE[0]), np.uint8))[1].tobytes()
    assert data.count(HEADERS[suffix](*SIZE)) == 1
    data = data.replace(HEADERS[suffix](*SIZE), HEADERS[suffix](60_000, 60_000))
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:] if suffix == ".png" else data


@pytest.mark.parametrize("suffix", HEADERS)
def test_a_huge_picture_is_refused_before_it_is_decoded(suffix: str) -> None:
    with pytest.raises(FrameError, match=f"at most {MOST_PIXELS} pixels, found 60000 x 60000"):
        decode_image(NAME, huge(suffix))


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from(
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM", b"RIFFxxxxWEBP", b"GIF89a", b"II*\0", b"MM\0*", b"P5 "]
    ),
    rest=st.binary(max_size=80),
)
def test_garbage_behind_a_signature_ends_in_a_frame_error_or_a_picture(head: bytes, rest: bytes) -> None:
    declared_size(head + rest)
    with contextlib.suppress(FrameError):
        assert decode_image(NAME, head + rest).dtype == np.uint8


def test_a_large_picture_is_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4096, 8192), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert read_image(tmp_path / "a.png").shape == (4096, 8192)
