"""Data sets whose folders are the labels: MVTec AD, BTAD, a plain folder per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.sources import list_images
from edge_ad.sources.listing import IMAGE_SUFFIXES
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_btad", "read_folder", "read_mvtec"]

_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
_NORMAL_NAMES = ("good", "ok", "normal", "normals")
_MASK_FOLDERS = ("ground_truth", "masks")
_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")


def read_mvtec(root: Path) -> LabelledSet | None:
    """``test/good``, ``test/<type>``, ``ground_truth/<type>/<stem>_mask.png`` (Bergmann et al. 2019)."""
    return _read(root, root / "test", "mvtec", ("good", "normal", "normals"))


def read_btad(root: Path) -> LabelledSet | None:
    """``test/ok``, ``test/ko``, ``ground_truth/ko/<stem>.png`` (Mishra et al. 2021)."""
    return _read(root, root / "test", "btad", ("ok",))


def read_folder(root: Path) -> LabelledSet | None:
    """``good`` (or ``ok``, ``normal``) against every other folder; masks, if any, in ``ground_truth/<type>``."""
    return _read(root, root, "folder", _NORMAL_NAMES)


def _read(root: Path, tests: Path, layout: str, normal_names: tuple[str, ...]) -> LabelledSet | None:
    if not tests.is_dir():
        return None
    folders = sorted(entry for entry in tests.iterdir() if entry.is_dir() and not _is_system(entry))
    folders = [folder for folder in folders if folder.name.lower() not in _MASK_FOLDERS]
    normal = next((folder for folder in folders if folder.name.lower() in normal_names), None)
    if normal is None or len(folders) < 2:
        return None
    masks = _Masks(_mask_folder(root, tests))
    images = [LabelledImage(path=path, type=GOOD) for path in list_images(normal)]
    for folder in folders:
        if folder != normal:
            images += [
                LabelledImage(path=path, type=folder.name, mask=masks.find(folder.name, path))
                for path in list_images(folder)
            ]
    masks.refuse_missing()
    notes = [*masks.notes(normal.name), *_loose(tests)]
    return LabelledSet(layout=layout, images=tuple(images), notes=tuple(notes))


def _is_system(folder: Path) -> bool:
    """Whether a folder is hidden, or one that an operating system puts among the data."""
    return folder.name.startswith(".") or folder.name.lower() in _SYSTEM_FOLDERS


def _mask_folder(root: Path, tests: Path) -> Path:
    """Beside the folder ``test``, or in it among the folders of images."""
    places = [root, tests, *([root.parent] if root.name == "test" else [])]
    folders = [place / name for place in places for name in _MASK_FOLDERS]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _loose(tests: Path) -> list[str]:
    files = [str(path) for path in sorted(tests.iterdir()) if path.is_file() and _is_image(path)]
    return [f"left out, as they lie in no folder that says their type: {named(files)}"] if files else []


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


class _Masks:
    """The masks below one folder, by type and stem; remembers which images lack theirs and which masks were found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._missing: list[str] = []
        self._found: set[Path] = set()

    def find(self, kind: str, image: Path) -> Path | None:
        """The mask of an image; ``None`` where the type has no folder of masks."""
        folder = self._folder / kind
        if not folder.is_dir():
            return None
        files = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_file()}
        names = (f"{image.stem}{tag}{suffix}".lower() for tag in ("_mask", "") for suffix in _MASK_SUFFIXES)
        found = next((files[name] for name in names if name in files), None)
        if found is None:
            self._missing.append(str(image))
        else:
            self._found.add(found)
        return found

    def refuse_missing(self) -> None:
        """Raises ``InputError`` where an image has no mask and others of its type have one."""
        if self._missing:
            others = self._unused()
            raise InputError(
                f"no mask for {named(self._missing)}, though their type has a folder of masks: expected "
                "<name>_mask.png or <name>.png there; add them, or take the type's mask folder away"
                + (f"; found there without an image: {named(others)}" if others else "")
            )

    def notes(self, normal: str) -> list[str]:
        """A note on the masks that belong to no image; those of normal images are left out unsaid."""
        unused = self._unused(normal)
        if not unused:
            return []
        return [f"{len(unused)} masks belong to no image of that type and name and are not used: {named(unused)}"]

    def _unused(self, normal: str | None = None) -> list[str]:
        if not self._folder.is_dir():
            return []
        files = (path for path in sorted(self._folder.rglob("*")) if path.is_file() and _is_image(path))
        return [str(path) for path in files if path not in self._found and path.parent.name != normal]
