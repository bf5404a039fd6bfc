"""Damages pictures and recordings at random, and counts what is noticed.

``cd tests; python -m support.media_fuzz`` prints the table of docs/sources.md.

A frame is wrong where a block of 4 x 4 pixels is off by more than ``VISIBLE`` grey levels from the undamaged one: a
decoder gives the same pixels each time, so that any difference is damage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import FrameError
from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.ffmpeg import StoredJpegs, WatchedStream, open_stream
from edge_ad.sources.image_file import decode_image

__all__ = ["FORMATS", "Count", "count_damage", "has_encoder", "mutated"]

Picture = NDArray[np.uint8]
VISIBLE = 8.0
FRAMES, WIDTH, HEIGHT = 24, 160, 120
KINDS = ("bit", "zeros", "noise", "swap", "hole", "cut")
# A recording that is cut off is told by the number of its frames, as in edge_ad.sources.decoder.
MISSING = 3
# A frame that is lost may be replaced by one before it.
NEIGHBOURS = 4
SECONDS_A_FILE = 20.0


def scene(index: int) -> Picture:
    """Smooth colours, some noise, a disc that moves."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    waves = (120 + 60 * np.sin(x / 17 + index / 9), 110 + 50 * np.sin((x + y) / 23), 100 + 45 * np.cos(y / 13))
    noise = np.random.default_rng(index).normal(0, 3, (HEIGHT, WIDTH, 3))
    image = np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    cv2.circle(image, (20 + 5 * index, 60), 18, (40, 180, 220), -1)
    return image


@dataclass(frozen=True)
class Format:
    """``suffix`` of the file, and how OpenCV or ``ffmpeg`` encodes it. ``group``: what the documentation calls it."""

    suffix: str
    options: tuple[int, ...] = ()
    codec: str = ""
    ffmpeg: str = ""

    @property
    def is_video(self) -> bool:
        return bool(self.codec or self.ffmpeg)


X265 = "-c:v libx265 -pix_fmt yuv420p -x265-params log-level=none:keyint=12"
FORMATS = {
    "PNG": Format(".png"),
    "TIFF, deflate": Format(".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 8)),
    "TIFF, LZW": Format(".tif"),
    "TIFF, not compressed": Format(".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
    "JPEG, baseline": Format(".jpg"),
    "JPEG, progressive": Format(".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "AVIF": Format(".avif"),
    "WebP, lossless": Format(".webp"),
    "WebP, lossy": Format(".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
    "JPEG 2000": Format(".jp2"),
    "BMP": Format(".bmp"),
    "PGM, PPM": Format(".ppm"),
    "Motion JPEG in AVI": Format(".avi", codec="MJPG"),
    "Motion JPEG in Matroska": Format(".mkv", codec="MJPG"),
    "Motion JPEG without container": Format(".mjpeg", ffmpeg="-c:v mjpeg -q:v 4"),
    "MPEG-4 (Xvid) in AVI": Format(".avi", codec="XVID"),
    "MPEG-4 in MP4": Format(".mp4", codec="mp4v"),
    "MPEG-4 in Matroska": Format(".mkv", codec="XVID"),
    "MPEG-2": Format(".mpg", ffmpeg="-c:v mpeg2video -g 12"),
    "FFV1 in Matroska": Format(".mkv", codec="FFV1"),
    "H.264 in MP4": Format(".mp4", ffmpeg="-c:v libx264 -g 12 -pix_fmt yuv420p"),
    "H.264 in a transport stream": Format(".ts", ffmpeg="-c:v libx264 -g 12 -pix_fmt yuv420p"),
    "H.264 in Matroska": Format(".mkv", ffmpeg="-c:v libx264 -g 12 -pix_fmt yuv420p"),
    "HEVC in MP4": Format(".mp4", ffmpeg=X265),
    "HEVC in Matroska": Format(".mkv", ffmpeg=X265),
    "VP9 in WebM": Format(".webm", codec="VP90"),
    "VP9 in Matroska": Format(".mkv", codec="VP90"),
}


def has_encoder(name: str) -> bool:
    """Whether this machine can make the format: some need the program ``ffmpeg``."""
    return not FORMATS[name].ffmpeg or shutil.which("ffmpeg") is not None


def encode(form: Format, path: Path) -> None:
    """Write the undamaged file."""
    if not form.is_video:
        path.write_bytes(cv2.imencode(form.suffix, scene(5), list(form.options))[1].tobytes())
    elif form.codec:
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*form.codec), 25, (WIDTH, HEIGHT))
        for index in range(FRAMES):
            writer.write(scene(index))
        writer.release()
    else:
        raw = f"ffmpeg -y -v error -f rawvideo -pix_fmt bgr24 -s {WIDTH}x{HEIGHT} -r 25 -i -"
        frames = b"".join(scene(index).tobytes() for index in range(FRAMES))
        subprocess.run([*raw.split(), *form.ffmpeg.split(), str(path)], input=frames, check=True, capture_output=True)


def mutated(data: bytes, seed: int) -> bytes:
    """The bytes with one fault somewhere behind the first twentieth, where the headers are."""
    kind, rng = KINDS[seed % len(KINDS)], np.random.default_rng(seed)
    out, count = bytearray(data), int(rng.integers(4, 60))
    place = int(rng.integers(len(data) // 20, len(data) - count))
    if kind == "bit":
        out[place] ^= 1 << int(rng.integers(8))
    elif kind == "zeros":
        out[place : place + count] = bytes(count)
    elif kind == "noise":
        out[place : place + count] = rng.integers(0, 256, count, np.uint8).tobytes()
    elif kind == "swap":
        out[place], out[place + count - 1] = out[place + count - 1], out[place]
    elif kind == "hole":  # such as a packet that was lost
        del out[place : place + count * 20]
    else:
        del out[place:]
    return bytes(out)


@dataclass
class Count:
    """Of one format. ``damaged``: files with a fault. Files with a wrong frame are ``caught`` when every wrong frame is
    refused, else ``silent``; ``unharmed``: the rest. ``frames_caught`` and ``frames_silent`` count the wrong frames.
    ``false_alarms``: frames of the undamaged file that are refused. ``crashed``: files that ended or hung a decoder."""

    damaged: int = 0
    unharmed: int = 0
    caught: int = 0
    silent: int = 0
    frames_caught: int = 0
    frames_silent: int = 0
    false_alarms: int = 0
    crashed: int = 0

    def add(self, other: Count) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def off(found: Picture, right: Picture) -> float:
    if found.shape != right.shape:
        return 255.0
    difference = np.abs(found.astype(np.float32) - right).reshape(*right.shape[:2], -1).max(-1)
    return float(cv2.blur(difference, (4, 4)).max())


def judged(wrong: list[bool], refused: list[bool], *, is_refused: bool = False) -> Count:
    """From what is wrong with each frame and whether it is refused. ``is_refused``: the whole file is."""
    silent = sum(a and not b for a, b in zip(wrong, refused, strict=True))
    caught = sum(wrong) - silent
    is_caught = (caught > 0 or is_refused) and not silent
    return Count(1, not (silent or is_caught), is_caught, silent > 0, caught, silent)


def read_still(data: bytes) -> Picture | None:
    try:
        return decode_image(Path("damaged"), data)
    except FrameError:
        return None


def judge_still(data: bytes, right: Picture) -> Count:
    found = read_still(data)
    if found is not None:
        return judged([off(found, right) > VISIBLE], [False])
    plain = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    is_wrong = plain is None or off(np.asarray(plain, np.uint8), right) > VISIBLE
    return judged([is_wrong], [True], is_refused=True)


def watched_frames(path: Path, watch: DamageWatch) -> Iterator[tuple[Picture | None, bool]]:
    """The pixels of each frame, of a damaged one too, and whether it is refused."""
    capture = open_stream(str(path))
    stream = WatchedStream(capture, watch, StoredJpegs.open(str(path), capture))
    while stream.grab():
        pixels = stream.fetch() if stream.has_pixels else None
        yield None if pixels is None else np.asarray(pixels, np.uint8), stream.complaint is not None or pixels is None


def judge_video(path: Path, right: list[Picture], watch: DamageWatch) -> Count:
    wrong, refused = [], []
    for index, (found, is_refused) in enumerate(watched_frames(path, watch)):
        # Any number of frames may be missing before it; most often none is.
        near = sorted(range(max(0, index - NEIGHBOURS), len(right)), key=lambda other: abs(other - index))
        wrong.append(found is None or not any(off(found, right[other]) <= VISIBLE for other in near))
        refused.append(is_refused)
    return judged(wrong, refused, is_refused=len(wrong) < len(right) - MISSING)


def judge_videos(right_path: Path, paths: list[Path]) -> None:
    """In a process of its own, which may crash: one line of JSON a file."""
    watch = DamageWatch()
    right = [picture for picture, _ in watched_frames(right_path, watch) if picture is not None]
    for path in paths:
        _say(json.dumps(asdict(judge_video(path, right, watch))))


def damaged_videos(right: Path, paths: list[Path]) -> Count:
    total, left = Count(), paths
    while left:
        command = [sys.executable, "-m", "support.media_fuzz", "--judge", str(right), *map(str, left)]
        try:
            output = subprocess.run(
                command,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=Path(__file__).parent.parent,
                timeout=SECONDS_A_FILE * len(left),
            ).stdout
        except subprocess.TimeoutExpired as hung:
            output = hung.stdout or b""
        lines = output.splitlines()[: len(left)]
        for line in lines:
            total.add(Count(**json.loads(line)))
        if len(lines) < len(left):  # in edge-ad that ends a process, and the file with one clear line
            total.add(Count(damaged=1, caught=1, crashed=1))
        left = left[len(lines) + 1 :]
    return total


def count_damage(name: str, seeds: range) -> Count:
    """What becomes of as many damaged files of one format as there are seeds."""
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        right = Path(folder) / f"right{form.suffix}"
        encode(form, right)
        data = right.read_bytes()
        if not form.is_video:
            picture = read_still(data)
            if picture is None:
                return Count(false_alarms=1)
            total = Count()
            for seed in seeds:
                total.add(judge_still(mutated(data, seed), picture))
            return total
        paths = [Path(folder) / f"{seed}{form.suffix}" for seed in seeds]
        for path, seed in zip(paths, seeds, strict=True):
            path.write_bytes(mutated(data, seed))
        total = damaged_videos(right, paths)
        whole = subprocess.run(
            [sys.executable, "-m", "support.media_fuzz", "--alarms", str(right)],
            stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent, check=True,
        )  # fmt: skip
        total.false_alarms = int(whole.stdout)
        return total


COLUMNS: tuple[tuple[str, Callable[[Count], int]], ...] = (
    ("damaged files", lambda count: count.damaged),
    ("no visible change", lambda count: count.unharmed),
    ("all wrong frames refused", lambda count: count.caught),
    ("a wrong frame scored", lambda count: count.silent),
    ("wrong frames refused", lambda count: count.frames_caught),
    ("wrong frames scored", lambda count: count.frames_silent),
    ("false alarms", lambda count: count.false_alarms),
)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--judge", nargs="+", type=Path)
    parser.add_argument("--alarms", type=Path)
    parser.add_argument("--files", type=int, default=80)
    arguments = parser.parse_args()
    if arguments.judge:
        judge_videos(arguments.judge[0], arguments.judge[1:])
    elif arguments.alarms:
        _say(str(sum(refused for _, refused in watched_frames(arguments.alarms, DamageWatch()))))
    else:
        _say("| format |" + "".join(f" {title} |" for title, _ in COLUMNS))
        _say("|---|" + "---:|" * len(COLUMNS))
        for name in filter(has_encoder, FORMATS):
            count = count_damage(name, range(arguments.files))
            _say(f"| {name} |" + "".join(f" {value(count)} |" for _, value in COLUMNS))


if __name__ == "__main__":
    main()
