"""The images are split once: some are for the quantizer, the others judge what came of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_ad.errors import InputError, counted
from edge_ad_export.samples.clips import ClipSet
from edge_ad_export.samples.images import IMAGES_MIN
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.samples.images import ImageSet

__all__ = ["ENOUGH_IMAGES", "ImageSplit", "judge_with_all", "parse_part_by", "share_of_quantizer", "split_images"]

ENOUGH_IMAGES: Final = 60
"""With so many images the rank correlation of a good int8 variant is known closely enough for the gate's limit."""

# The quantizer's share of the images. It looks at 75 of them at most, so that more would be lost to the judging.
_SHARE = 0.4
_MOST_FITTING = 75
# With fewer images there would be too few on either side.
_FEWEST = 2 * IMAGES_MIN
# So many folders are taken for parts; two or three may as well be a lot each, of which neither may be missing.
_FOLDERS_MIN = 5
# How far figures can be relied on cannot be told by images that are all of one part.
_JUDGING_PARTS_MIN = 2


@dataclass(frozen=True)
class ImageSplit:
    """``fitting``: for the ranges, the bias correction and the search of layers. ``judging``: for the gate.

    ``groups``: to which part each of the ``judging`` images belongs; images of one part are alike. ``by``: what made
    the parts, in words. ``shared``: there were too few images to split, so both are all of them.
    """

    fitting: ImageSet
    judging: ImageSet
    groups: tuple[int, ...]
    by: str | None = None
    shared: bool = False

    def names(self, images: ImageSet) -> tuple[str, ...]:
        """The names of some of the images, below the folder that holds all of them."""
        parents = [str(path.parent) for path in (*self.fitting.paths, *self.judging.paths)]
        root = os.path.commonpath(parents)
        return tuple(Path(os.path.relpath(path, root)).as_posix() for path in images.paths)

    @property
    def remark(self) -> str:
        """One line for the user."""
        noun = "clips" if isinstance(self.judging, ClipSet) else "images"
        given = len(self.judging) if self.shared else len(self.fitting) + len(self.judging)
        if self.shared:
            line = (
                f"{given} {noun} are too few to split: the quantizer sees what judges its variants, so that int8 "
                "measures better here than it will on new images"
            )
        else:
            whole = f", whole {self.by} each" if self.by else ""
            line = f"{len(self.fitting)} {noun} are for the quantizer, {len(self.judging)} others judge{whole}"
        if given < ENOUGH_IMAGES:
            line += (
                "; so few leave the rank correlation uncertain, and a variant that may be below the limit is refused: "
                f"give {ENOUGH_IMAGES} or more"
            )
        return line


def parse_part_by(text: str) -> str:
    """``folder``, or a regular expression with one group, searched in file names.

    Raises:
        ValueError: neither.
    """
    if text == "folder":
        return text
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"expected folder or a regular expression: {error}") from None
    if groups != 1:
        raise ValueError(
            f"found {groups} groups: expected folder, or a regular expression with one group that is the part, such "
            r"as 'part(\d+)_'"
        )
    return text


def judge_with_all(images: ImageSet, part_by: str | None = None) -> ImageSplit:
    """Where nothing is quantized, no image has to be kept from the judge. ``part_by``: see :func:`split_images`.

    Raises:
        InputError: an image belongs to no part, or all of them are of one part.
    """
    if isinstance(images, ClipSet):
        _check_no_parts(part_by)
        return ImageSplit(images.chosen(()), images, tuple(range(len(images))))
    of, by = _numbered_parts(images, part_by)
    _check_several_parts(part_by, of)
    return ImageSplit(images.chosen(()), images, of, by)


def share_of_quantizer(count: int) -> int:
    """How many of so many images are for the quantizer, where no part and no repeated image shifts that."""
    return 0 if count < _FEWEST else min(round(_SHARE * count), _MOST_FITTING)


def split_images(images: ImageSet, part_by: str | None = None) -> ImageSplit:
    """Two fifths of the images for the quantizer, 75 at most, and the others to judge. A part is never split.

    ``part_by``: ``folder``, or a regular expression with one group, searched in the names of the files. Without it,
    images in five folders or more are split by folder; else each image is a part, together with its equal copies.
    Clips are split in time, and those that share a frame with clips of the other side are left out.

    Raises:
        InputError: an image belongs to no part, or fewer than two parts or three images are left to judge.
    """
    if isinstance(images, ClipSet):
        _check_no_parts(part_by)
        return _split_clips(images)
    of, by = _numbered_parts(images, part_by)
    if len(images) < _FEWEST:
        _check_several_parts(part_by, of)
        return ImageSplit(images, images, of, shared=True)
    chosen = _chosen_parts(of)
    fitting = [index for index, part in enumerate(of) if part in chosen]
    judging = [index for index, part in enumerate(of) if part not in chosen]
    groups = tuple(of[index] for index in judging)
    if not fitting or len(judging) < IMAGES_MIN or len(set(groups)) < _JUDGING_PARTS_MIN:
        raise InputError(_too_few_parts(part_by, of, 1 + _JUDGING_PARTS_MIN))
    return ImageSplit(images.chosen(fitting), images.chosen(judging), groups, by)


def _check_no_parts(part_by: str | None) -> None:
    if part_by is not None:
        raise InputError("--part-by is for images, but clips are split in time: leave it out")


def _check_several_parts(part_by: str | None, of: Sequence[int]) -> None:
    """Where all images judge. ``of``: the part of each."""
    if len(set(of)) < _JUDGING_PARTS_MIN:
        raise InputError(_too_few_parts(part_by, of, _JUDGING_PARTS_MIN))


def _numbered_parts(images: ImageSet, part_by: str | None) -> tuple[tuple[int, ...], str | None]:
    """The number of the part of each image, and what the parts are."""
    parts, by = _parts(images.paths, part_by)
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    return tuple(numbers[part] for part in parts), by


def _too_few_parts(part_by: str | None, of: Sequence[int], needed: int) -> str:
    """One line for the user. ``of``: the part of each image."""
    largest = max(Counter(of).values())
    found = f"{counted(len(set(of)), 'part')} in {counted(len(of), 'image')}, {largest} of them in one"
    expected = f"expected at least {needed} parts, so that {_JUDGING_PARTS_MIN} with {IMAGES_MIN} images or more judge"
    if part_by is None:
        return f"copies of one image count as one part: found {found}; {expected}; give other images (--images)"
    return f"--part-by {part_by!r}: found {found}; {expected}; give images of more parts (--images), or other parts"


def _chosen_parts(of: Sequence[int]) -> set[int]:
    """Evenly spaced parts that together have the quantizer's share of the images."""
    wanted = share_of_quantizer(len(of))
    parts = max(of) + 1
    for count in range(max(round(wanted * parts / len(of)), 1), 0, -1):
        chosen = set(evenly_spaced(parts, count))
        if count == 1 or sum(part in chosen for part in of) <= 1.5 * wanted:
            return chosen if parts > 1 else set()
    return set()


def _parts(paths: Sequence[Path], part_by: str | None) -> tuple[list[str], str | None]:
    """The part of each image, and what the parts are."""
    folders = [str(path.parent) for path in paths]
    if part_by == "folder" or (part_by is None and len(set(folders)) >= _FOLDERS_MIN):
        return folders, "folders"
    if part_by is None:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths], None
    matches = [re.search(part_by, path.name) for path in paths]
    found = ["" if match is None else match[1] or "" for match in matches]
    missing = [path.name for path, part in zip(paths, found, strict=True) if not part]
    if missing:
        raise InputError(
            f"--part-by {part_by!r} finds no part in {len(missing)} of {len(paths)} names, such as {missing[0]}"
        )
    return found, "parts"


def _split_clips(clips: ClipSet) -> ImageSplit:
    if len(clips) < _FEWEST:
        return ImageSplit(clips, clips, tuple(range(len(clips))), shared=True)
    reach = (clips.frames - 1) * clips.stride + clips.snippet
    fitting = list(range(share_of_quantizer(len(clips))))
    last = clips.ends[fitting[-1]]
    judging = [index for index in range(len(fitting), len(clips)) if clips.ends[index] - last >= reach]
    if len(judging) < IMAGES_MIN:
        return ImageSplit(clips, clips, tuple(range(len(clips))), shared=True)
    # Clips that overlap are alike: those of a stretch of time that is as long as a clip are one part.
    groups = tuple((clips.ends[index] - last) // reach for index in judging)
    return ImageSplit(clips.chosen(fitting), clips.chosen(judging), groups)
