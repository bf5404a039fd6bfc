"""Real scenes by role, and the anomalies that are put into them: nobody labelled these videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.sources import open_source

__all__ = ["Scene", "Spoilt", "read_frames", "scenes", "spoil", "write_video"]

_EVENT = 12


@dataclass(frozen=True)
class Scene:
    """A video whose frames from ``train[0]`` to ``train[1]`` teach, and so on; the three never overlap."""

    name: str
    path: Path
    train: tuple[int, int]
    held_out: tuple[int, int]
    test: tuple[int, int]


def scenes(shared: Path) -> tuple[Scene, ...]:
    """Two surveillance-like scenes, cut in time."""
    root = shared / "data" / "video"
    return (
        Scene("video02", root / "video02.avi", (0, 350), (360, 520), (530, 750)),
        Scene("video03", root / "video03.avi", (0, 600), (610, 900), (910, 1300)),
    )


def read_frames(scene: Scene, span: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Frames ``span[0]`` up to, without, ``span[1]``."""
    with closing(open_source(scene.path)) as source:
        return [f.image for f in source if span[0] <= f.index < span[1] and f.image is not None]


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    """A lossless video."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@dataclass(frozen=True)
class Spoilt:
    """Frames, and which of them are anomalous."""

    frames: list[NDArray[np.uint8]]
    labels: NDArray[np.bool_]


def spoil(frames: Sequence[NDArray[np.uint8]], seed: int = 0) -> Spoilt:
    """Puts events of 12 frames in, 36 frames apart, in turn: a textured object that crosses the picture fast, frames
    in shuffled order, a scene upside down for a part of the picture."""
    random = np.random.default_rng(seed)
    changed, labels = [frame.copy() for frame in frames], np.zeros(len(frames), np.bool_)
    for number, start in enumerate(range(24, len(frames) - _EVENT, 3 * _EVENT)):
        kind = (_cross, _shuffle, _flip)[number % 3]
        event = slice(start, start + _EVENT)
        changed[event] = kind(frames[event], random)
        labels[event] = True
    return Spoilt(changed, labels)


def _cross(frames: Sequence[NDArray[np.uint8]], random: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    height, width = frames[0].shape[:2]
    side = height // 4
    patch = random.integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    patch = np.asarray(cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    y = int(random.integers(0, height - side))
    for index, frame in enumerate(frames):
        x = index * (width - side) // _EVENT
        out = frame.copy()
        out[y : y + side, x : x + side] = patch
        yield out


def _shuffle(frames: Sequence[NDArray[np.uint8]], random: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    return (frames[index] for index in random.permutation(len(frames)))


def _flip(frames: Sequence[NDArray[np.uint8]], random: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    height, width = frames[0].shape[:2]
    x, y = int(random.integers(0, width // 2)), int(random.integers(0, height // 2))
    for frame in frames:
        out = frame.copy()
        out[y : y + height // 2, x : x + width // 2] = frame[y : y + height // 2, x : x + width // 2][::-1]
        yield out
