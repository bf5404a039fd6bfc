"""Image files: which pixels come out, and what is said about those that give none."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import list_images, open_source, read_image
from edge_ad.sources.image_file import is_whole_jpeg
from edge_ad.verdict import Reason

COLOUR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GRAY = COLOUR[..., 0].copy()


def encoded(suffix: str, image: NDArray[np.generic], *options: int) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    assert done
    return bytes(data)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF segment that holds an orientation and, as cameras do, a thumbnail."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    thumbnail = encoded(".jpg", COLOUR[:8, :8])
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0) + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def read(tmp_path: Path, data: bytes, name: str = "image.png") -> NDArray[np.uint8]:
    (tmp_path / name).write_bytes(data)
    return read_image(tmp_path / name)


def alpha(image: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    plane = np.full((*image.shape[:2], 1), 255, np.uint8)
    plane[0, 0] = value
    return np.concatenate([image, plane], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp"])
def test_colour_pixels_come_out_as_they_went_in(tmp_path: Path, suffix: str) -> None:
    lossless = {".webp": (cv2.IMWRITE_WEBP_QUALITY, 101)}
    image = read(tmp_path, encoded(suffix, COLOUR, *lossless.get(suffix, ())))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, COLOUR)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".pgm"])
def test_gray_pixels_stay_two_dimensional(tmp_path: Path, suffix: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, encoded(suffix, GRAY)), GRAY)


def test_an_opaque_alpha_channel_is_dropped_exactly(tmp_path: Path) -> None:
    image = read(tmp_path, encoded(".png", alpha(COLOUR, 255)))
    np.testing.assert_array_equal(image, COLOUR)
    assert image.flags.c_contiguous


def test_an_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    plain = encoded(".jpg", COLOUR)
    np.testing.assert_array_equal(
        read(tmp_path, with_exif(plain, orientation=6), "turned.jpg"), read(tmp_path, plain, "plain.jpg")
    )


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        pytest.param(b"", Reason.UNREADABLE, "found an empty file", id="empty"),
        pytest.param(b"no image\n" * 9, Reason.UNREADABLE, "not an image", id="text"),
        pytest.param(encoded(".png", COLOUR)[:-20], Reason.UNREADABLE, "cut off", id="png-cut"),
        pytest.param(encoded(".jpg", COLOUR)[:-20], Reason.UNREADABLE, "JPEG file is cut off", id="jpeg-cut"),
        pytest.param(encoded(".tif", COLOUR)[:-200], Reason.UNREADABLE, "cut off", id="tiff-cut"),
        pytest.param(encoded(".bmp", COLOUR)[:-200], Reason.UNREADABLE, "cut off", id="bmp-cut"),
        pytest.param(encoded(".png", COLOUR.astype(np.uint16)), Reason.WRONG_TYPE, "found uint16", id="16-bit"),
        pytest.param(encoded(".tif", GRAY.astype(np.float32)), Reason.WRONG_TYPE, "found float32", id="float"),
        pytest.param(encoded(".png", alpha(COLOUR, 254)), Reason.WRONG_TYPE, "not opaque", id="transparent"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path: Path, data: bytes, reason: Reason, message: str) -> None:
    with pytest.raises(FrameError, match=message) as caught:
        read(tmp_path, data)
    assert caught.value.reason == reason
    assert str(tmp_path / "image.png") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("absent.png", "No such file", id="missing"),
        pytest.param("file.txt/a.png", "Not a directory", id="file-as-folder"),
        pytest.param(".", "found a folder", id="folder"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(FrameError, match=message) as caught:
        read_image(tmp_path / name)
    assert caught.value.reason == Reason.UNREADABLE


JPEGS = {
    "baseline": encoded(".jpg", COLOUR),
    "progressive": encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "exif-thumbnail": with_exif(encoded(".jpg", COLOUR), orientation=1),
    "gray": encoded(".jpg", GRAY),
    "fill-bytes": encoded(".jpg", COLOUR).replace(b"\xff\xda", b"\xff\xff\xff\xda", 1),
}


@pytest.mark.parametrize("trailer", [b"", b"\0" * 100, JPEGS["gray"]], ids=["bare", "padded", "preview"])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_is_known_as_whole(kind: str, trailer: bytes) -> None:
    assert is_whole_jpeg(JPEGS[kind] + trailer)


@given(kind=st.sampled_from(sorted(JPEGS)), keep=st.floats(0, 1, exclude_max=True))
@example(kind="baseline", keep=0.999999)
def test_no_beginning_of_a_jpeg_is_whole(kind: str, keep: float) -> None:
    data = JPEGS[kind]
    assert not is_whole_jpeg(data[: int(keep * len(data))])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    start=st.sampled_from([b"", *(encoded(s, COLOUR)[:100] for s in (".png", ".jpg", ".bmp", ".tif", ".webp"))]),
    rest=st.binary(max_size=300),
)
def test_garbage_gives_one_kind_of_error(tmp_path: Path, start: bytes, rest: bytes) -> None:
    with pytest.raises(FrameError):
        read(tmp_path, start + rest)


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEGS["gray"])


def test_a_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, "b10.jpg", "b9.PNG", "B1.jpeg", ".hidden.png", "notes.txt", "sub/mask.png", "010.bmp", "10.bmp")
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["010.bmp", "10.bmp", "B1.jpeg", "b9.PNG", "b10.jpg"]


@given(numbers=st.lists(st.integers(0, 10**9), min_size=1, unique=True))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_numbered_images_come_by_number(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    folder = tmp_path_factory.mktemp("numbered")
    for number in numbers:
        (folder / f"shot {number}.png").touch()
    assert [int(path.stem.split()[1]) for path in list_images(folder)] == sorted(numbers)


LOTS = ["lot2/good/5.png", "lot2/good/masks/5.png", "lot10/good/4.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("*.jpg", ["1.jpg"], id="one-level"),
        pytest.param("**/*", ["1.jpg", "bad/2.jpg", "good/3.png", *LOTS], id="recursive"),
        pytest.param("*/[0-9].*", ["bad/2.jpg", "good/3.png"], id="set"),
        pytest.param("good/3.png", ["good/3.png"], id="file"),
        pytest.param("lot*/good", ["lot2/good/5.png", "lot10/good/4.png"], id="folders-of-one-name"),
    ],
)
def test_globs_and_files(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    fill(tmp_path, "1.jpg", "bad/2.jpg", "good/3.png", "good/readme.txt", "lot10/good/4.png", "lot2/good/5.png")
    fill(tmp_path, "lot2/good/masks/5.png")
    assert list_images(tmp_path / pattern) == [tmp_path / name for name in expected]


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    fill(tmp_path, "lot[1].png", "lot1.png")
    assert list_images(str(tmp_path / "lot[1].png")) == [tmp_path / "lot[1].png"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param("absent", "no such file or folder", id="missing"),
        pytest.param("empty", "no image in this folder", id="empty-folder"),
        pytest.param(
            "nested",
            r"it has 2 subfolders \(bad, good\): name one of them, or .*, masks and defects too, with '.*nested/\*\*",
            id="subfolders-only",
        ),
        pytest.param("nested/*/*.txt", "matches 1 file, none of them an image", id="glob-of-others"),
        pytest.param("nested/*", "matches 2 files, none of them an image", id="any-folder-may-hold-masks"),
        pytest.param("clip.avi", "found a video", id="video"),
        pytest.param("n" * 300, "File name too long|no such file", id="name-too-long"),
    ],
)
def test_nothing_found_is_an_input_error(tmp_path: Path, spec: str, message: str) -> None:
    fill(tmp_path, "nested/good/1.png", "nested/bad/1.png", "nested/bad/notes.txt", "clip.avi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        list_images(tmp_path / spec)


def test_an_empty_name_is_not_the_working_directory() -> None:
    with pytest.raises(InputError, match="found an empty name"):
        open_source("")


def test_a_damaged_image_does_not_end_the_stream(tmp_path: Path) -> None:
    fill(tmp_path, "1.jpg", "3.jpg")
    (tmp_path / "2.jpg").write_bytes(JPEGS["baseline"][:-30])
    with open_source(tmp_path) as source:
        frames = list(source)
    assert source.length == 3
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.image is None for frame in frames] == [False, True, False]
    assert [frame.source for frame in frames] == [str(tmp_path / f"{n}.jpg") for n in (1, 2, 3)]
    error = frames[1].error
    assert error is not None
    assert error.reason == Reason.UNREADABLE


@pytest.mark.shared
def test_real_photographs(shared: Path) -> None:
    with open_source(shared / "data" / "cookies" / "test" / "good") as source:
        shapes = {frame.image.shape for frame in source if frame.image is not None}
    assert source.length == 14
    assert shapes == {(768, 576, 3)}


GRAY_JPEG = cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))[1].tobytes()
EIGHT_BITS = b"\xff\xc0\0\x0b\x08"  # the head of a frame


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC", id="heic"),
        pytest.param(
            cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))[1]
            .tobytes()
            .replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c"),
            "12 bits",
            id="jpeg-of-12-bits",
        ),
    ],
)
def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path, data: bytes, cause: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(FrameError, match=cause):
        read_image(tmp_path / "a.jpg")
