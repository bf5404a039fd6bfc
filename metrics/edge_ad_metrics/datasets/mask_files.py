"""Which of the files in the folders of masks belongs to which image, and what is said of those that belong to none."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources.image_file import decode_stored, read_file
from edge_ad.sources.listing import IMAGE_SUFFIXES
from edge_ad_metrics.datasets.dataset import LabelledImage
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.names import (
    bare,
    files_below,
    folded,
    is_image_folder,
    is_picture,
    is_test,
    mask_folder_of,
    mask_stem,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MaskFolder", "MaskIndex", "Place", "apart", "is_drawing"]

_PREFERRED_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """A folder of masks. ``of``: the folders of the images that they belong to, from the type on; empty: all types."""

    path: Path
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """An image of a type. ``folders``: those it lies in, from the type's on."""

    path: Path
    type: str
    folders: tuple[str, ...]

    @property
    def key(self) -> Key:
        """What masks are looked up by: the folders, but for ``images`` and ``rgb``, and the stem."""
        inner = (name for name in self.folders[1:] if not is_image_folder(name))
        return (*(folded(name) for name in (*self.folders[:1], *inner)), folded(self.path.stem))

    @property
    def bare_key(self) -> Key:
        """The same for ``image3.png``, whose mask is ``mask3.png``."""
        return (*self.key[:-1], folded(bare(self.path.stem)))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that a key leads to. ``rank``: how surely, 0 the most. ``number``: among several masks of an image."""

    path: Path
    rank: int
    number: str = ""


_TAGGED, _SAME_STEM, _WITH_SUFFIX, _BARE, _FOLDER_PER_IMAGE = range(5)


def apart(pictures: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Images, and the masks that lie among them: ``000_GT.png`` beside ``000.png``, and a drawing of two colours
    ``000.png`` beside the photograph ``000.jpg``."""
    stems = Counter((path.parent, folded(path.stem)) for path in pictures)
    masks = {path for path in pictures if stems[path.parent, _tagged_stem(path)]}
    masks |= {path for path in pictures if stems[path.parent, folded(path.stem)] > 1 and is_drawing(path)}
    images = [path for path in pictures if path not in masks]
    shown = {(path.parent, folded(path.stem)) for path in images}
    # A drawing without a photograph is an image like any other.
    masks = {m for m in masks if (m.parent, folded(m.stem)) in shown or (m.parent, _tagged_stem(m)) in shown}
    return [path for path in pictures if path not in masks], [path for path in pictures if path in masks]


def _tagged_stem(path: Path) -> str:
    tagged = mask_stem(path.stem)
    return "" if tagged is None else folded(tagged[0])


def is_drawing(path: Path) -> bool:
    """Whether a picture has at most two colours."""
    try:
        pixels = decode_stored(path, read_file(path))
    except FrameError:
        return False
    return len(np.unique(pixels.reshape(-1, 1 if pixels.ndim == 2 else pixels.shape[2])[:, 0])) <= 2


class MaskIndex:
    """The files of some folders of masks, by the folders and stems of the images that they may belong to.

    ``types``: the folders of the types. ``beside``: masks that lie among the images, with the folders they lie in.
    """

    def __init__(
        self, roots: Iterable[MaskFolder], types: Iterable[str], beside: Iterable[tuple[Path, tuple[str, ...]]] = ()
    ) -> None:
        self._types = {folded(name) for name in types}
        self._by_key: dict[Key, list[_Candidate]] = defaultdict(list)
        self._folders: set[str] = set()
        self._pictures: list[Path] = []
        self._others: list[Path] = []
        self._used: set[Path] = set()
        for root in roots:
            self._add_folder(root)
        for path, folders in beside:
            self._pictures.append(path)
            self._add(path, self._key_of(folders))

    def assign(self, normal: Sequence[Place], anomalous: Sequence[Place]) -> list[LabelledImage]:
        """The images with their masks.

        Raises:
            InputError: an image has no mask and others of its type have; a mask may belong to several images.
        """
        masks = self._find_all(anomalous)
        self._refuse_missing(anomalous, masks)
        masks |= {place.path: self._find(place, None) for place in normal}
        return [
            LabelledImage(path=place.path, type=place.type, masks=masks[place.path]) for place in (*normal, *anomalous)
        ]

    def notes(self) -> list[str]:
        """What lies in the folders of masks and belongs to no image."""
        unused = [str(path) for path in self._pictures if path not in self._used]
        notes = []
        if unused:
            notes.append(
                f"{len(unused)} masks belong to no image of that type and name and are not used: {named(unused)}"
            )
        if self._others:
            others = [str(path) for path in self._others]
            notes.append(f"not used, as they are no pictures: {named(others)}")
        return notes

    def _add_folder(self, root: MaskFolder) -> None:
        for path in files_below(root.path):
            folders = self._key_of((*root.of, *path.parent.relative_to(root.path).parts))
            self._folders.update(folders[:1])
            if is_picture(path):
                self._pictures.append(path)
                self._add(path, folders)
            else:
                self._others.append(path)
        self._folders.update(folded(name) for name in root.of[:1])
        self._folders.update(*(self._key_of((entry.name,))[:1] for entry in root.path.iterdir() if entry.is_dir()))

    def _key_of(self, folders: Iterable[str]) -> Key:
        """Folders of masks as those of images are called: without ``test`` and ``masks``, ``crack`` for
        ``crack_mask``."""
        found = []
        for name in folders:
            of = None if folded(name) in self._types else mask_folder_of(name)
            plain = name if of is None else of
            if folded(plain) in self._types or not (plain == "" or is_test(plain) or is_image_folder(plain)):
                found.append(folded(plain))
        return tuple(found)

    def _add(self, path: Path, folders: Key) -> None:
        tagged = mask_stem(path.stem)
        stem, number = (path.stem, "") if tagged is None else tagged
        if tagged is not None:
            self._by_key[_below(folders, folded(stem))].append(_Candidate(path, _TAGGED, number))
        self._by_key[_below(folders, folded(path.stem))].append(_Candidate(path, _SAME_STEM))
        if Path(stem).suffix.lower() in IMAGE_SUFFIXES:
            self._by_key[_below(folders, folded(Path(stem).stem))].append(_Candidate(path, _WITH_SUFFIX, number))
        self._by_key[_below(folders, folded(bare(stem)))].append(_Candidate(path, _BARE, number))
        if folders and not (len(folders) == 1 and folders[0] in self._types):
            self._by_key[folders].append(_Candidate(path, _FOLDER_PER_IMAGE))

    def _find_all(self, places: Sequence[Place]) -> dict[Path, tuple[Path, ...]]:
        sharers: Counter[Key] = Counter()
        for place in places:
            keys = (place.key, place.bare_key)
            sharers.update({key[start:] for key in keys for start in range(1, len(key))})
        return {place.path: self._find(place, sharers) for place in places}

    def _find(self, place: Place, sharers: Counter[Key] | None) -> tuple[Path, ...]:
        """The masks of an image. ``sharers``: how many images the end of a key may mean; ``None``: it is a normal
        image, to which no mask belongs that another has."""
        start_most = 1 if self._folders & self._types else len(place.key)
        ends = [(place.key[start:], place.bare_key[start:]) for start in range(start_most)]
        if len(place.key) > 2:  # the masks of a type need not lie in the folders of its images
            ends.insert(1, (place.key[:1] + place.key[-1:], place.bare_key[:1] + place.bare_key[-1:]))
        for keys in ends:
            found = self._best(place, keys, free=sharers is None)
            if found and sharers is not None:
                self._refuse_shared(place, keys, sharers, found)
            if found:
                self._used.update(found)
                return found
        return ()

    def _best(self, place: Place, keys: tuple[Key, Key], *, free: bool) -> tuple[Path, ...]:
        found = list(self._by_key.get(keys[0], ()))
        found += self._by_key.get(keys[1], ()) if keys[0] != keys[1] else ()
        found = [one for one in found if one.path != place.path and not (free and one.path in self._used)]
        rank = min((one.rank for one in found), default=0)
        paths = {one.path: one for one in found if one.rank == rank}
        ordered = sorted(paths.values(), key=lambda one: _order(place, one.path))
        if rank == _FOLDER_PER_IMAGE:
            return tuple(one.path for one in ordered)
        single = [one.path for one in ordered if not one.number][:1]
        folder = ordered[0].path.parent if ordered else None
        return (*single, *(one.path for one in ordered if one.number and one.path.parent == folder))

    def _refuse_shared(
        self, place: Place, keys: tuple[Key, Key], sharers: Counter[Key], found: tuple[Path, ...]
    ) -> None:
        if max(sharers[key] for key in keys) > 1:
            raise InputError(
                f"{found[0]}: may be the mask of {place.path}, and of another image with a defect that has this name: "
                f"put the masks into a folder for each type, {found[0].parent / place.type}"
            )

    def _refuse_missing(self, places: Sequence[Place], masks: dict[Path, tuple[Path, ...]]) -> None:
        having = {place.type for place in places if masks[place.path]}
        having |= {place.type for place in places if folded(place.type) in self._folders}
        missing = [str(place.path) for place in places if place.type in having and not masks[place.path]]
        if missing:
            others = [str(path) for path in (*self._pictures, *self._others) if path not in self._used]
            raise InputError(
                f"no mask for {named(missing)}, though their type has masks: expected <name>_mask.png or <name>.png "
                "among them; add them, take the type's masks away, or measure without (edge-ad evaluate --no-pixels)"
                + (f"; found there without an image: {named(others)}" if others else "")
            )


def _below(folders: Key, stem: str) -> Key:
    return (*folders, stem)


def _order(place: Place, path: Path) -> tuple[bool, bool, int, str]:
    """First what is written as the image is, then the suffixes that masks mostly have."""
    suffix = path.suffix.lower()
    preferred = _PREFERRED_SUFFIXES.index(suffix) if suffix in _PREFERRED_SUFFIXES else len(_PREFERRED_SUFFIXES)
    return path.parent.name != place.path.parent.name, place.path.stem not in path.stem, preferred, str(path)
