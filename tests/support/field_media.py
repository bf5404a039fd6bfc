"""Pictures and videos with faults in them, written byte by byte where no encoder writes such."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LINE_FRAMES", "damage_jpeg", "decode", "line", "turned", "write_line"]

LINE_FRAMES = 60
WIDTH, HEIGHT = 96, 64


def line(index: int) -> NDArray[np.uint8]:
    """Frame ``index`` of a recording: noise and a bar that moves."""
    image = np.random.default_rng(index).integers(60, 110, (HEIGHT, WIDTH, 3), np.uint8)
    image[:, index % WIDTH : index % WIDTH + 8] = (40, 180, 220)
    return image


def write_line(path: Path, codec: str, frames: int = LINE_FRAMES) -> Path:
    """A recording of that many frames. Fails the test where OpenCV has no such encoder."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise RuntimeError(f"no encoder {codec} for {path.suffix}")
    for index in range(frames):
        writer.write(line(index))
    writer.release()
    return path


def jpegs(data: bytes) -> list[tuple[int, int]]:
    """Where the JPEGs in a file begin and end."""
    starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", data)]
    return [(start, data.index(b"\xff\xd9", data.index(b"\xff\xda", start)) + 2) for start in starts]


def damage_jpeg(path: Path, index: int) -> Path:
    """Zeroes the second half of one picture's scan data; its markers and everything else stay."""
    data = bytearray(path.read_bytes())
    start, end = jpegs(bytes(data))[index]
    scan = data.index(b"\xff\xda", start)
    first = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    middle = (first + end - 2) // 2
    data[middle : end - 2] = bytes(end - 2 - middle)
    path.write_bytes(data)
    return path


def mpeg4_pictures(data: bytes) -> list[tuple[int, bool]]:
    """Where the coded pictures of MPEG-4 part 2 begin, and whether each is a key frame."""
    return [(found.end(), data[found.end()] >> 6 == 0) for found in re.finditer(b"\x00\x00\x01\xb6", data)]


def damage_mpeg4(path: Path, index: int, count: int = 40) -> tuple[Path, int]:
    """Puts random bytes into the middle of a picture; gives the first key frame after it, or the number of frames."""
    data = bytearray(path.read_bytes())
    pictures = mpeg4_pictures(bytes(data))
    begin, end = pictures[index][0], pictures[index + 1][0]
    middle = begin + (end - begin) // 3
    noise = np.random.default_rng(1).integers(1, 255, count, np.uint8).tobytes()
    data[middle : middle + min(count, end - 8 - middle)] = noise[: min(count, end - 8 - middle)]
    path.write_bytes(data)
    keys = [number for number, (_, is_key) in enumerate(pictures) if is_key and number > index]
    return path, keys[0] if keys else len(pictures)


def boxes(data: bytes, name: bytes) -> list[int]:
    """Where the MP4 boxes of that name begin, their size first."""
    return [found.start() - 4 for found in re.finditer(re.escape(name), data)]


def show_part(path: Path, first: float, share: float) -> Path:
    """Edits an MP4's edit list so that from ``first`` on only this ``share`` of its frames are shown."""
    data = bytearray(path.read_bytes())
    (start,) = boxes(bytes(data), b"elst")
    (count,) = struct.unpack_from(">I", data, start + 12)
    if data[start + 8] != 0 or count != 1:
        raise RuntimeError("expected one edit of 32 bits")
    (duration,) = struct.unpack_from(">I", data, start + 16)
    mdhd = boxes(bytes(data), b"mdhd")[0]
    (media_duration,) = struct.unpack_from(">I", data, mdhd + 24)
    struct.pack_into(">Ii", data, start + 16, int(duration * share), int(media_duration * first))
    path.write_bytes(data)
    return path


def turn_track(path: Path) -> Path:
    """Writes a rotation by 90 degrees into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    (start,) = boxes(bytes(data), b"tkhd")
    matrix = start + 8 + 40
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30)
    path.write_bytes(data)
    return path


def upright(*, gray: bool = False) -> NDArray[np.uint8]:
    """Wider than high, so that a turn shows; ``HEIGHT`` x ``WIDTH``."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[:20, :30] = 200
    return image[..., 0] if gray else image


def write_turned(path: Path, *, gray: bool = False, orientation: int = 6) -> Path:
    """A still picture whose metadata say that it is to be turned."""
    picture = Image.fromarray(upright(gray=gray))
    if path.suffix in (".tif", ".tiff"):
        picture.save(path, tiffinfo={274: orientation})
        return path
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    picture.save(path, exif=exif, **options)
    return path


def decode(path: Path) -> list[NDArray[np.uint8]]:
    """The frames of a picture or recording as they reach a model; those that cannot be read are left out."""
    from edge_ad.sources import open_source

    with open_source(str(path)) as source:
        return [frame.image for frame in source if frame.image is not None]


def turned(path: Path) -> bool:
    """Whether the picture comes higher than wide."""
    image = decode(path)[0]
    return bool(image.shape[0] > image.shape[1])
