"""What image files say of their own pixels, read from bytes."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from edge_ad.errors import FrameError
from edge_ad.sources import read_image
from edge_ad.sources.stored import has_key_colour, has_unnamed_channel, scaled_netpbm, without_turn


def tiff(orientation: int, *, big: bool = False, order: str = "II") -> bytes:
    """A TIFF file that Pillow has written, or one of a directory with nothing but the orientation."""
    if not big and order == "II":
        data = io.BytesIO()
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(data, "TIFF", tiffinfo=tags)
        return data.getvalue()
    sign = "<" if order == "II" else ">"
    if big:
        head = struct.pack(sign + "2sHHHQ", order.encode(), 43, 8, 0, 16)
        return head + struct.pack(sign + "QHHQH6xQ", 1, 274, 3, 1, orientation, 0)
    head = struct.pack(sign + "2sHI", order.encode(), 42, 8)
    return head + struct.pack(sign + "HHHIH2xI", 1, 274, 3, 1, orientation, 0)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize(("big", "order"), [(False, "II"), (False, "MM"), (True, "II"), (True, "MM")])
def test_the_orientation_of_a_tiff_is_taken_out(orientation: int, *, big: bool, order: str) -> None:
    assert without_turn(tiff(orientation, big=big, order=order)) == tiff(1, big=big, order=order)


@given(start=st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b"P5\n"]), rest=st.binary())
def test_garbage_ends_in_no_error(start: bytes, rest: bytes) -> None:
    data = start + rest
    assert len(without_turn(data)) == len(data)
    scaled_netpbm(data)
    has_key_colour(data)
    has_unnamed_channel(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"P5 3 1 100\n\x00\x32\x64", b"P5 3 1 255\n\x00\x32\x64", id="binary"),
        pytest.param(b"P2\n#c 9\n3 1\n# d\n7\n0 3 7\n", b"P2\n#c 9\n3 1\n# d\n255\n0 3 7\n", id="text-with-comments"),
        pytest.param(b"P5 3 1 255\n\x00\x32\x64", b"P5 3 1 255\n\x00\x32\x64", id="full"),
        pytest.param(b"P5 3 1 1000\n", b"P5 3 1 1000\n", id="16-bit"),
        pytest.param(b"P5 3 1 0\n", b"P5 3 1 0\n", id="zero"),
    ],
)
def test_the_largest_value_is_rewritten(data: bytes, expected: bytes) -> None:
    assert scaled_netpbm(data).data == expected


def pictures() -> list[Image.Image]:
    """Three pictures, new ones each time: Pillow keeps in a picture how it was written last."""
    return [Image.fromarray(np.full((24, 32, 3), 40 * index, np.uint8)) for index in range(1, 4)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("a.tif", {}, id="pages"),
        pytest.param("a.tif", {"big_tiff": True}, id="pages-of-bigtiff"),
        pytest.param("a.png", {}, id="animated-png"),
        pytest.param("a.webp", {"lossless": True}, id="animated-webp"),
        pytest.param("a.gif", {}, id="animated-gif"),
    ],
)
def test_a_file_of_several_pictures_is_refused(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    first, *others = pictures()
    first.save(tmp_path / name, save_all=True, append_images=others, **options)
    with pytest.raises(FrameError, match="several pages or an animation"):
        read_image(tmp_path / name)
    pictures()[0].save(tmp_path / name, **options)
    assert read_image(tmp_path / name).shape == (24, 32, 3)


def test_a_smaller_copy_and_what_is_appended_to_a_jpeg_are_no_further_pictures(tmp_path: Path) -> None:
    small = pictures()[1].resize((8, 6))
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), new=True) as file:
        pictures()[0].save(file, "TIFF")
        file.newFrame()
        small.save(file, "TIFF", tiffinfo={254: 1})
    first, *others = pictures()
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=others)
    assert read_image(tmp_path / "a.tif").shape == (24, 32, 3)
    assert read_image(tmp_path / "a.jpg").shape == (24, 32, 3)
