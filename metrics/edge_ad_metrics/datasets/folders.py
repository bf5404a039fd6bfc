"""Data sets whose folders are the labels: MVTec AD and similar ones, BTAD, or one plain folder for each class."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad.sources import list_images
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.mask_files import MaskFolder, MaskIndex, Place, apart, is_drawing
from edge_ad_metrics.datasets.names import (
    files_below,
    folded,
    folders_of,
    holds_images,
    images_of,
    is_any_defect,
    is_image,
    is_image_folder,
    is_normal,
    is_other_split,
    is_test,
    is_weak_mask_folder,
    mask_folder_of,
    mask_stem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["child", "folder_names", "mask_folders_beside", "read_btad", "read_folder", "read_mvtec", "read_mvtec2"]

_UNCLEAR = "left out, as the name does not say whose masks they are (expected masks, ground_truth or TYPE_mask)"
_PUBLIC, _PRIVATE = "testpublic", "testprivate"


def read_mvtec(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``test/good``, ``test/<type>``, ``ground_truth/<type>/<stem>_mask.png`` (Bergmann et al. 2019); of LOCO,
    ``ground_truth/<type>/<stem>/000.png``; of MVTec 3D, ``test/<type>/rgb`` and ``test/<type>/gt``."""
    found = _sorted_out(child(root, is_test))
    return None if found is None or found.is_btad else _labelled("mvtec", root, found, masks=masks)


def read_btad(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``test/ok``, ``test/ko``, ``ground_truth/ko/<stem>.png`` (Mishra et al. 2021)."""
    found = _sorted_out(child(root, is_test))
    return None if found is None or not found.is_btad else _labelled("btad", root, found, masks=masks)


def read_mvtec2(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``test_public/good``, ``test_public/bad``, ``test_public/ground_truth/bad`` (Heckler-Kram et al. 2025)."""
    found = _sorted_out(child(root, lambda name: _plain(name) == _PUBLIC))
    if found is None:
        return None
    private = [folder.name for folder in folders_of(root) if _plain(folder.name).startswith(_PRIVATE)]
    if private:
        found.notes.append(f"left out, as they have no labels: {named(private)}")
    return _labelled("mvtec2", root, found, masks=masks)


def read_folder(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``good`` (or ``ok``, ``normal``, ...) against every other folder, also in ``images`` or ``Data/Images`` as VisA
    has them; masks, if any, in a folder ``ground_truth`` or ``masks`` with a folder for each type."""
    if not root.is_dir():
        return None
    data = child(root, lambda name: name.lower() == "data")
    for place in (root, child(root, is_image_folder), data and child(data, is_image_folder)):
        found = _sorted_out(place)
        if found is not None and found.anomalous:
            return _labelled("folder", root, found, masks=masks)
    return None


def child(root: Path, wanted: Callable[[str], bool]) -> Path | None:
    """The first folder in ``root`` whose name is wanted."""
    return next((folder for folder in folders_of(root) if wanted(folder.name)), None) if root.is_dir() else None


def folder_names(root: Path) -> list[str]:
    """The folders that a data set was looked for in, for a message."""
    places = [root, child(root, is_test)]
    return [
        str(folder.relative_to(root)) for place in places if place and place.is_dir() for folder in folders_of(place)
    ]


def mask_folders_beside(tests: Path, root: Path, types: Sequence[str] = ()) -> list[MaskFolder]:
    """The folders of masks in ``tests`` and beside it; those that name a type in their own name are of this."""
    places = dict.fromkeys([root, tests, *([root.parent] if is_test(root.name) else [])])
    if root in tests.parents:
        places[tests.parent] = None
    found = []
    for place in places:
        for folder in folders_of(place):
            of = _masks_of(folder, types, among_types=place == tests)
            if of is not None:
                found.append(MaskFolder(folder, of))
    return found


@dataclass(frozen=True, slots=True)
class _Classes:
    """The folders of the classes in ``tests``. ``notes``: what lies there and is not used."""

    tests: Path
    normal: tuple[Path, ...]
    anomalous: tuple[Path, ...]
    notes: list[str]

    @property
    def is_btad(self) -> bool:
        return all(folder.name.lower() == "ok" for folder in self.normal)


def _sorted_out(tests: Path | None) -> _Classes | None:
    """``None`` where no folder of normal images lies there. Raises ``InputError`` where it is empty."""
    if tests is None:
        return None
    folders = folders_of(tests)
    names = [folder.name for folder in folders]
    folders = [folder for folder in folders if _masks_of(folder, names, among_types=True) is None]
    splits = [folder for folder in folders if is_other_split(folder.name) or is_test(folder.name)]
    empty = [folder for folder in folders if folder not in splits and not holds_images(folder)]
    # ``solder_mask`` may be a type of defect; ``fg_mask`` marks something else than defects.
    unclear = [folder for folder in folders if mask_folder_of(folder.name) and _holds_drawings(folder)]
    classes = [folder for folder in folders if folder not in (*splits, *empty, *unclear)]
    normal = tuple(folder for folder in classes if is_normal(folder.name))
    if not normal:
        for folder in empty:
            if is_normal(folder.name):
                list_images(folder)
        return None
    notes = [
        *_note("all taken for normal images", normal if len(normal) > 1 else ()),
        *_note("left out, as they are other parts of the data set", splits),
        *_note("left out, as no image lies there", empty),
        *_note(_UNCLEAR, unclear),
        *_note("left out, as they lie in no folder that says their type", filter(is_image, sorted(tests.iterdir()))),
    ]
    return _Classes(tests, normal, tuple(folder for folder in classes if folder not in normal), notes)


def _labelled(layout: str, root: Path, found: _Classes, *, masks: bool) -> LabelledSet:
    normal: list[Place] = []
    anomalous: list[Place] = []
    beside: list[tuple[Path, tuple[str, ...]]] = []
    inside: list[MaskFolder] = []
    notes = list(found.notes)
    for folder in (*found.normal, *found.anomalous):
        listed, skipped = images_of(folder)
        notes += _note(f"left out of {folder}, whose images lie elsewhere in it", skipped)
        images, among = apart(listed)
        beside += [(path, path.parent.relative_to(found.tests).parts) for path in among]
        inside += _mask_folders_in(folder, (folder.name,))
        places = [Place(path, folder.name, path.parent.relative_to(found.tests).parts) for path in images]
        if folder in found.normal:
            normal += [replace(place, type=GOOD) for place in places]
        else:
            anomalous += places
    if not masks:
        unmasked = (LabelledImage(path=place.path, type=place.type) for place in (*normal, *anomalous))
        return LabelledSet(layout=layout, images=tuple(unmasked), notes=tuple(notes))
    types = [folder.name for folder in (*found.normal, *found.anomalous)]
    if root != found.tests:
        named_apart = [folder for folder in folders_of(root) if mask_folder_of(folder.name)]
        kept_out = [folder for folder in named_apart if _masks_of(folder, types, among_types=False) is None]
        notes += _note(_UNCLEAR, kept_out)
    index = MaskIndex([*mask_folders_beside(found.tests, root, types), *inside], types, beside)
    labelled = index.assign(normal, anomalous)
    return LabelledSet(layout=layout, images=tuple(labelled), notes=(*notes, *index.notes()))


def _mask_folders_in(folder: Path, of: tuple[str, ...]) -> Iterator[MaskFolder]:
    """The folders of masks among the images of a type."""
    for entry in folders_of(folder):
        if mask_folder_of(entry.name) == "" or is_weak_mask_folder(entry.name):
            yield MaskFolder(entry, of)
        else:
            yield from _mask_folders_in(entry, (*of, entry.name))


def _masks_of(folder: Path, types: Sequence[str], *, among_types: bool) -> tuple[str, ...] | None:
    """The folders of images that a folder has masks of, empty for all; ``None``: it holds no masks."""
    of = mask_folder_of(folder.name)
    if of is not None:
        same = [name for name in types if folded(name) == folded(of)]
        if same or not of or is_test(of):
            return tuple(same[:1])
        return () if is_any_defect(of) else None
    if not is_weak_mask_folder(folder.name):
        return None
    # ``label`` may also be a type of defect: among the types it is, unless what lies in it says otherwise.
    known = {folded(name) for name in types if name != folder.name}
    pictures = [path for path in files_below(folder) if is_image(path)]
    says = any(folded(entry.name) in known for entry in folders_of(folder))
    says |= bool(pictures) and all(mask_stem(path.stem) for path in pictures)
    return () if says or not among_types else None


def _holds_drawings(folder: Path) -> bool:
    images, _ = apart(images_of(folder)[0]) if holds_images(folder) else ([], [])
    return bool(images) and is_drawing(images[0])


def _note(text: str, paths: Iterable[Path]) -> list[str]:
    names = [str(path) for path in paths]
    return [f"{text}: {named(names)}"] if names else []


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
