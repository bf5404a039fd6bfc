"""Data sets whose folders are the labels: MVTec AD, BTAD, a plain folder per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.sources import list_images
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_btad", "read_folder", "read_mvtec"]

_NORMAL_NAMES = ("good", "ok", "normal", "normals")
_MASK_FOLDERS = ("ground_truth", "masks")
_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")


def read_mvtec(root: Path) -> LabelledSet | None:
    """``test/good``, ``test/<type>``, ``ground_truth/<type>/<stem>_mask.png`` (Bergmann et al. 2019)."""
    return _read(root, root / "test", "mvtec", ("good",))


def read_btad(root: Path) -> LabelledSet | None:
    """``test/ok``, ``test/ko``, ``ground_truth/ko/<stem>.png`` (Mishra et al. 2021)."""
    return _read(root, root / "test", "btad", ("ok",))


def read_folder(root: Path) -> LabelledSet | None:
    """``good`` (or ``ok``, ``normal``) against every other folder; masks, if any, in ``ground_truth/<type>``."""
    return _read(root, root, "folder", _NORMAL_NAMES)


@dataclass(frozen=True, slots=True)
class _Masks:
    """The masks of one type, by stem; ``missing`` collects the images that should have one."""

    folder: Path
    missing: list[Path]

    def find(self, image: Path) -> Path | None:
        if not self.folder.is_dir():
            return None
        names = (f"{image.stem}{tag}{suffix}" for tag in ("_mask", "") for suffix in _MASK_SUFFIXES)
        found = next((self.folder / name for name in names if (self.folder / name).is_file()), None)
        if found is None:
            self.missing.append(image)
        return found


def _read(root: Path, tests: Path, layout: str, normal_names: tuple[str, ...]) -> LabelledSet | None:
    if not tests.is_dir():
        return None
    folders = sorted(entry for entry in tests.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    folders = [folder for folder in folders if folder.name.lower() not in _MASK_FOLDERS]
    normal = next((folder for folder in folders if folder.name.lower() in normal_names), None)
    if normal is None or len(folders) < 2:
        return None
    missing: list[Path] = []
    images = [LabelledImage(path=path, type=GOOD) for path in list_images(normal)]
    for folder in folders:
        if folder != normal:
            masks = _Masks(_mask_folder(root) / folder.name, missing)
            images += [
                LabelledImage(path=path, type=folder.name, mask=masks.find(path)) for path in list_images(folder)
            ]
    _refuse_missing(missing)
    return LabelledSet(layout=layout, images=tuple(images))


def _mask_folder(root: Path) -> Path:
    return next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), root / _MASK_FOLDERS[0])


def _refuse_missing(missing: list[Path]) -> None:
    if missing:
        raise InputError(
            f"no mask for {named([str(path) for path in missing])}, though others of their type have one: "
            "expected <name>_mask.png or <name>.png among the masks; add them, or take the type's mask folder away"
        )
