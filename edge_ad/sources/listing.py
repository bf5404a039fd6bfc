"""From a file, a folder or a glob to the image files it names."""

from __future__ import annotations

import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, counted
from edge_ad.sources.signatures import holds_picture, holds_video

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "IMAGE_SUFFIXES",
    "VECTOR_SUFFIX",
    "VIDEO_SUFFIXES",
    "in_natural_order",
    "is_stream",
    "is_vectors",
    "is_video",
    "list_images",
    "list_vectors",
]

# Animations and formats of 32-bit pixels are left out: they are no frames of an inspection.
IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jif",
        ".jfi",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".webp",
        ".jp2",
        ".avif",
    }
    | {".pgm", ".ppm", ".pnm", ".pbm"}
)
VIDEO_SUFFIXES = frozenset(
    {".avi", ".divx", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".f4v"}
    | {".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts", ".m2t", ".m2ts", ".mts", ".ogv", ".ogm", ".mxf"}
    | {".mjpeg", ".mjpg", ".mjpe", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m"}
)

VECTOR_SUFFIX = ".npy"
# What lies beside pictures and is not opened to see whether it is one.
_NO_PICTURES = frozenset({VECTOR_SUFFIX, ".txt", ".csv", ".json", ".jsonl", ".xml", ".yml", ".yaml", ".md", ".npz"})
_NAMES_SHOWN = 4


def list_vectors(folder: Path) -> list[Path]:
    """The files of feature vectors in a folder that holds no image, in natural order; else none."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    if any(_is_image(entry) for entry in entries):
        return []
    return in_natural_order(entry for entry in entries if entry.suffix.lower() == VECTOR_SUFFIX)


def list_images(folder_file_or_glob: str | Path) -> list[Path]:
    """The image files that are named, in natural order (``9.png`` before ``10.png``).

    A folder gives its own images but not those of its subfolders: beside the pictures of a data set lie its
    masks, which are not to be scored. ``folder/**/*`` takes subfolders in; ``lot*/good`` takes the images of each
    folder of that name. Files without the suffix of an
    image and hidden files are passed over; a single file is taken whatever its name. Where some of them hold a
    picture all the same, a line on standard error says how many were left out.

    Raises:
        InputError: nothing of that name, no image in it, no permission.
    """
    if not str(folder_file_or_glob):
        raise InputError("expected the name of an image, a folder or a glob, found an empty name")
    path = Path(folder_file_or_glob)
    try:
        return _list(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from error


def _list(path: Path) -> list[Path]:
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [_no_video(path)]
    if not _is_glob(str(path)):
        raise InputError(f"{path}: no such file or folder")
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207  absolute ones too
    images = [match for match in matches if _is_image(match)]
    left_out = _left_out(matches)
    folders = in_natural_order(match for match in matches if match.is_dir())
    if folders and not images and not _is_glob(path.name):
        return [image for folder in folders for image in _in_folder(folder)]
    if not images:
        raise InputError(
            f"{path}: matches {counted(len(matches), 'file')}, none of them an image ({_suffixes()}){left_out}"
        )
    _say_left_out(path, left_out)
    return in_natural_order(images)


def _in_folder(folder: Path) -> list[Path]:
    entries = list(folder.iterdir())
    images = [entry for entry in entries if _is_image(entry)]
    left_out = _left_out(entries)
    if images:
        _say_left_out(folder, left_out)
        return in_natural_order(images)
    if vectors := list_vectors(folder):
        raise InputError(
            f"{folder}: no image in this folder, but {len(vectors)} files of vectors: name them one by one"
        )
    hint = _subfolders(folder, [entry.name for entry in in_natural_order(entries) if entry.is_dir()])
    raise InputError(f"{folder}: no image in this folder ({_suffixes()}){left_out}{hint}")


def _subfolders(folder: Path, names: list[str]) -> str:
    """What to do about a folder that has only subfolders: often one of them holds masks or defects."""
    if not names:
        return ""
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return (
        f"; it has {counted(len(names), 'subfolder')} ({shown}): name one of them, or take in what all of them hold, "
        f"masks and defects too, with '{folder}/**/*'"
    )


def _left_out(entries: Iterable[Path]) -> str:
    """How many of the files are pictures without the suffix of one, and what the first is called; empty: none is."""
    names = sorted(
        entry.name
        for entry in entries
        if not entry.name.startswith(".")
        and entry.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES | _NO_PICTURES
        and holds_picture(entry)
    )
    if not names:
        return ""
    pictures = "1 picture" if len(names) == 1 else f"{len(names)} pictures"
    return f"; {pictures} left out because of names that do not end like those of images, such as {names[0]}"


def _say_left_out(place: Path, left_out: str) -> None:
    if left_out:
        print(f"edge-ad: {place}{left_out}", file=sys.stderr)  # noqa: T201


def _no_video(path: Path) -> Path:
    if is_video(path):
        raise InputError(f"{path}: expected an image, a folder or a glob, found a video")
    return path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _suffixes() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES))


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted so that digits compare as numbers (``9.png`` before ``10.png``) and the rest without regard to case."""
    import natsort

    # Sorted by the plain name first, which then decides between equals.
    return natsort.natsorted(sorted(paths, key=str), key=str, alg=natsort.ns.IGNORECASE)


def is_video(path: Path) -> bool:
    """Whether a file is a video: by its suffix, or by its first bytes where the suffix is of no known kind."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    return suffix not in IMAGE_SUFFIXES and suffix != VECTOR_SUFFIX and holds_video(path)


def is_stream(path: Path) -> bool:
    """Whether a file holds many frames, a video, or vectors."""
    return is_video(path) or is_vectors(path)


def is_vectors(path: Path) -> bool:
    """Whether a file holds feature vectors, by its suffix."""
    return path.suffix.lower() == VECTOR_SUFFIX
