"""Videos, folders of frames and files of feature vectors whose frames are labelled one by one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError
from edge_ad.sources import list_images
from edge_ad.sources.listing import VECTOR_SUFFIX, VIDEO_SUFFIXES
from edge_ad_metrics.datasets.dataset import LabelledClip, LabelledSet
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.masks import marks_anything
from edge_ad_metrics.datasets.names import (
    folded,
    folders_of,
    is_data,
    is_image,
    is_normal,
    is_weak_mask_folder,
    mask_folder_of,
    mask_stem,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_clips", "read_frame_labels"]

_LABEL_SUFFIXES = (".npy", ".csv", ".txt", ".mat")
_LABEL_FOLDERS = frozenset(
    {"labels", "testframemask", "framemask", "framelabels", "testlabel", "testlabels"}
    | {"pixelmask", "testpixelmask", "testinglabelmask"}
)
_AVENUE_LABELS = "ground_truth_demo"
# Where the clips of a data set lie below its folder: UCSD, ShanghaiTech, Avenue.
_CLIP_FOLDERS = (
    "frames", "videos", "Test", "test/frames", "test/videos", "testing", "testing/frames", "testing/videos",
    "testing_videos",
)  # fmt: skip


def read_clips(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """Every video, folder of frames or ``.npy`` file of vectors that has a label file of its name, beside it or in
    ``labels``, or a folder ``<name>_gt`` with a mask for each frame. An ``.npy`` file that a video or folder has the
    name of holds labels; any other holds vectors.

    Raises:
        InputError: some clips have labels and others have none.
    """
    del masks  # of frames they are labels
    if not root.is_dir():
        return None
    for place in (root, *(root / name for name in _CLIP_FOLDERS)):
        found = _read_place(place) if place.is_dir() else None
        if found is not None:
            return found
    return None


def read_frame_labels(path: Path, frames: int) -> NDArray[np.bool_]:
    """Which frames of a clip are anomalous: bool ``(frames,)``.

    A ``.npy`` vector or a text file with one 0 or 1 per frame; or lines ``first,last`` of anomalous frames, counted
    from 0, both included, under the header ``first,last``; or masks of all frames, ``(frames, H, W)`` in a ``.npy``
    file, as pictures in a folder, or in a ``.mat`` file of CUHK Avenue: a frame is anomalous where anything is marked.

    Raises:
        InputError: not readable, other values, or not as many labels as the clip has frames.
    """
    try:
        labels = _from_path(path, frames)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as frame labels: {error}") from error
    if labels.shape != (frames,):
        raise InputError(f"{path}: expected a label for each of the clip's {frames} frames, found {labels.size}")
    return labels


def _read_place(place: Path) -> LabelledSet | None:
    """The clips that lie in one folder."""
    entries = sorted(filter(is_data, place.iterdir()))
    names = {folded(_stem(entry)) for entry in entries if _may_be_clip(entry)}
    pictures = [entry for entry in entries if _may_be_clip(entry) and not _is_ground_truth(entry, names)]
    known = {folded(_stem(entry)) for entry in pictures}
    vectors = [entry for entry in entries if entry.suffix.lower() == VECTOR_SUFFIX]
    known |= {folded(entry.stem) for entry in vectors}
    clips = [e for e in entries if e in pictures or (e in vectors and not _labels_another(e, pictures, known))]
    files = _label_files(place)
    labels = [_labels_of(clip, files) for clip in clips]
    if not any(labels):
        return None
    lacking = [clip.name for clip, found in zip(clips, labels, strict=True) if found is None]
    if lacking:
        raise InputError(
            f"{place}: no frame labels for {named(lacking)}: add a file of the same name (.csv, .txt, .npy), or a "
            "folder of the same name and _gt with a mask for each frame"
        )
    pairs = zip(clips, labels, strict=True)
    return LabelledSet(
        layout="video", clips=tuple(LabelledClip(path=clip, labels=found) for clip, found in pairs if found is not None)
    )


def _may_be_clip(entry: Path) -> bool:
    if entry.is_dir():
        return not _is_label_folder(entry)
    return entry.suffix.lower() in VIDEO_SUFFIXES


def _is_label_folder(folder: Path) -> bool:
    plain = re.sub(r"[\W_]+", "", folder.name.lower())
    return plain in _LABEL_FOLDERS or mask_folder_of(folder.name) == "" or is_weak_mask_folder(folder.name)


def _is_ground_truth(entry: Path, names: set[str]) -> bool:
    """Whether ``Test001_gt`` has the masks of a clip ``Test001``."""
    of = mask_folder_of(entry.name) if entry.is_dir() else None
    return of is not None and folded(of) in names


def _labels_another(vectors: Path, pictures: list[Path], known: set[str]) -> bool:
    """Whether an ``.npy`` file has the labels of a clip: it has its name, or its name and ``_label``."""
    tagged = mask_stem(vectors.stem)
    is_pictured = folded(vectors.stem) in {folded(_stem(entry)) for entry in pictures}
    return is_pictured or (tagged is not None and folded(tagged[0]) in known)


def _label_files(place: Path) -> list[Path]:
    """What may hold labels, files first: in folders of labels among the clips and beside their folder, and among the
    clips themselves."""
    folders = [folder for folder in (*folders_of(place), *folders_of(place.parent)) if _is_label_folder(folder)]
    if (place.parent / _AVENUE_LABELS).is_dir():
        folders += folders_of(place.parent / _AVENUE_LABELS)
    entries = [entry for folder in (*folders, place) for entry in sorted(filter(is_data, folder.iterdir()))]
    files = [
        entry for suffix in _LABEL_SUFFIXES for entry in entries if entry.suffix.lower() == suffix and entry.is_file()
    ]
    if any(is_normal(folder.name) for folder in folders_of(place)):
        return files  # folders of classes, whose masks are no labels of frames
    return files + [entry for entry in entries if entry.is_dir() and any(map(is_image, entry.iterdir()))]


def _labels_of(clip: Path, files: Sequence[Path]) -> Path | None:
    stem = folded(_stem(clip))
    others = [file for file in files if file != clip]
    same = [file for file in others if folded(_stem(file)) == stem]
    tagged = [file for file in others if _labelled_by(file) == stem]
    numbered = [file for file in others if stem.isdecimal() and _number(_labelled_by(file)) == int(stem)]
    return next(iter((*same, *tagged, *numbered)), None)


def _labelled_by(file: Path) -> str:
    """The clip that a file or folder of labels names beside a word that says what it is: ``Test001_gt``."""
    if file.is_dir():
        return folded(mask_folder_of(file.name) or "")
    tagged = mask_stem(file.stem)
    return "" if tagged is None else folded(tagged[0])


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _stem(clip: Path) -> str:
    return clip.name if clip.is_dir() else clip.stem


def _from_path(path: Path, frames: int) -> NDArray[np.bool_]:
    if path.is_dir():
        return np.array([marks_anything(mask) for mask in list_images(path)])
    if path.suffix.lower() == ".mat":
        return _from_matlab(path)
    return _from_array(path) if path.suffix.lower() == ".npy" else _from_text(path, frames)


def _from_matlab(path: Path) -> NDArray[np.bool_]:
    """The masks of all frames as CUHK Avenue has them: ``volLabel``, a cell for each."""
    from scipy.io import loadmat

    try:
        masks = loadmat(str(path), variable_names=["volLabel"]).get("volLabel")
    except Exception as error:  # of many kinds, where the file is damaged or of MATLAB 7.3
        raise ValueError(f"no MATLAB file that can be opened: {error}") from error
    if masks is None or masks.dtype != object:
        raise ValueError("expected volLabel, a cell array with a mask for each frame, as CUHK Avenue has it")
    return np.array([bool(np.any(mask)) for mask in masks.ravel()])


def _from_array(path: Path) -> NDArray[np.bool_]:
    loaded = np.asarray(np.load(path, allow_pickle=False))
    if loaded.ndim == 3:
        return np.asarray(loaded.astype(np.bool_).any(axis=(1, 2)))
    return _as_flags(loaded.ravel())


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
