"""Videos, folders of frames and files of feature vectors whose frames are labelled one by one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError
from edge_ad.sources.listing import VECTOR_SUFFIX, VIDEO_SUFFIXES
from edge_ad_metrics.datasets.dataset import LabelledClip, LabelledSet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_clips", "read_frame_labels"]

_LABEL_SUFFIXES = (".npy", ".csv", ".txt")
_LABEL_FOLDERS = ("labels", "test_frame_mask", ".")


def read_clips(root: Path) -> LabelledSet | None:
    """Every video, folder of frames or ``.npy`` file of vectors that has a label file of its name, beside it or in
    ``labels``. An ``.npy`` file that a video or folder has the name of holds labels; any other holds vectors.

    Raises:
        InputError: some clips have labels and others have none.
    """
    if not root.is_dir():
        return None
    entries = sorted(root.iterdir())
    pictures = [entry for entry in entries if _is_clip(entry)]
    named = {_stem(entry) for entry in pictures}
    places = [e for e in entries if e in pictures or (e.suffix.lower() == VECTOR_SUFFIX and e.stem not in named)]
    labels = [_labels_of(root, entry) for entry in places]
    if not any(labels):
        return None
    lacking = [entry.name for entry, found in zip(places, labels, strict=True) if found is None]
    if lacking:
        raise InputError(
            f"{root}: no frame labels for {', '.join(lacking)}: add a file of the same name (.csv, .txt, .npy)"
        )
    pairs = zip(places, labels, strict=True)
    clips = tuple(LabelledClip(path=clip, labels=found) for clip, found in pairs if found is not None)
    return LabelledSet(layout="video", clips=clips)


def read_frame_labels(path: Path, frames: int) -> NDArray[np.bool_]:
    """Which frames of a clip are anomalous: bool ``(frames,)``.

    A ``.npy`` vector or a text file with one 0 or 1 per frame; or lines ``first,last`` of anomalous frames, counted
    from 0, both included, under the header ``first,last``.

    Raises:
        InputError: not readable, other values, or not as many labels as the clip has frames.
    """
    try:
        labels = _from_array(path) if path.suffix.lower() == ".npy" else _from_text(path, frames)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as frame labels: {error}") from error
    if labels.shape != (frames,):
        raise InputError(f"{path}: expected a label for each of the clip's {frames} frames, found {labels.size}")
    return labels


def _is_clip(entry: Path) -> bool:
    if entry.name.startswith(".") or entry.name in _LABEL_FOLDERS:
        return False
    return entry.is_dir() or entry.suffix.lower() in VIDEO_SUFFIXES


def _labels_of(root: Path, clip: Path) -> Path | None:
    stem = _stem(clip)
    files = (root / folder / f"{stem}{suffix}" for folder in _LABEL_FOLDERS for suffix in _LABEL_SUFFIXES)
    return next((file for file in files if file.is_file() and file != clip), None)


def _stem(clip: Path) -> str:
    return clip.name if clip.is_dir() else clip.stem


def _from_array(path: Path) -> NDArray[np.bool_]:
    loaded = np.load(path, allow_pickle=False)
    return _as_flags(np.asarray(loaded).ravel())


def _from_text(path: Path, frames: int) -> NDArray[np.bool_]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if lines and re.sub(r"\s", "", lines[0].lower()) == "first,last":
        return _from_ranges(lines[1:], frames)
    if lines and lines[0].lower() == "label":
        lines = lines[1:]
    return _as_flags(np.array([int(line) for line in lines]))


def _from_ranges(lines: list[str], frames: int) -> NDArray[np.bool_]:
    flags = np.zeros(frames, np.bool_)
    for line in lines:
        first, last = (int(cell) for cell in line.split(","))
        if not 0 <= first <= last < frames:
            raise ValueError(f"expected frames from 0 to {frames - 1}, found {line!r}")
        flags[first : last + 1] = True
    return flags


def _as_flags(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    if not np.isin(values, (0, 1)).all():
        raise ValueError("expected only 0 and 1")
    return values.astype(np.bool_)
