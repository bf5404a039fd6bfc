"""Leaves out normal images: those that a person names, and those that look like training images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_ad.bundle.records import Exclusion
from edge_ad.drift.kept import CONFIRMED, read_kept
from edge_ad.errors import InputError
from edge_ad.sources.frame_name import FrameName
from edge_ad.sources.listing import is_stream
from edge_ad_calibration.normals.leaks import SAME_PART, count_near_duplicates, find_leaks, read_signatures
from edge_ad_calibration.normals.parts import file_of, group_parts
from edge_ad_calibration.normals.selection import ALL
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_calibration.normals.leaks import Leak
    from edge_ad_calibration.normals.measured import Normals
    from edge_ad_calibration.normals.parts import PartBy
    from edge_ad_calibration.normals.selection import Thinning

__all__ = [
    "Exclude",
    "SelectedNormals",
    "Selection",
    "exclude_leaks",
    "exclude_named",
    "list_confirmed",
    "select_normals",
]


@dataclass(frozen=True, slots=True)
class Exclude:
    """An image that must not count, and the reason.

    Raises:
        InputError: no reason is given.
    """

    image: str
    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError(f"--exclude {self.image} needs a reason: say why with --reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images count, and as what.

    ``part_by``: what is one part; ``None``: every image is. ``training``: folders or globs of the images that the
    model was trained on. ``exclude_leaks``: held-out images that repeat one of them, by a correlation of
    ``same_part`` or more, do not count. ``confirmed``: a folder of borderline frames, as the device keeps them, that
    a person has confirmed. ``groups``: a CSV file with the columns ``path`` and ``station``: a calibration for each
    station or, ``pooled``, one for all. ``objects``: a CSV file that says where the objects are in the images, for a
    bundle that scores objects; ``None``: every image shows one object and nothing else.

    Raises:
        InputError: what is asked contradicts itself.
    """

    thinning: Thinning = ALL
    part_by: PartBy | None = None
    exclude: tuple[Exclude, ...] = ()
    training: tuple[str | Path, ...] = ()
    exclude_leaks: bool = False
    same_part: float = SAME_PART
    confirmed: Path | None = None
    groups: Path | None = None
    pooled: bool = False
    objects: Path | None = None

    def __post_init__(self) -> None:
        if self.exclude_leaks and not self.training:
            raise InputError("--exclude-leaks needs the training images: name them with --train")
        if self.pooled and self.groups is None:
            raise InputError("--pool joins the groups of a CSV file: name the file with --groups")
        if not 0 < self.same_part <= 1:
            raise InputError(
                f"--same-part is a correlation: expected more than 0 and at most 1, found {self.same_part:g}"
            )


@dataclass(frozen=True, slots=True)
class SelectedNormals:
    """The normals after images were left out, and what was found among them.

    ``normals``: those that count. ``exclusions``: those that were left out. ``leaks``: the normals that look like
    training images. ``held_out``: how many images were compared with training images; 0 if there was no comparison.
    ``near_duplicates``: how many of these look like an image of another observation.
    """

    normals: Normals
    exclusions: tuple[Exclusion, ...] = ()
    leaks: tuple[Leak, ...] = ()
    near_duplicates: int = 0
    held_out: int = 0


def select_normals(normals: Normals, selection: Selection, training: Sequence[Path]) -> SelectedNormals:
    """Excludes what the selection says, and looks for images that look like one of ``training``.

    Raises:
        InputError: an image to exclude is not among the normals, none is left, or images cannot be compared.
    """
    after = exclude_named(normals, selection.exclude)
    if not training:
        return SelectedNormals(after.normals, after.exclusions)
    if any(is_stream(file_of(name)) for name in after.normals.names):
        raise InputError(
            "--train compares image files, but a video or a file of vectors is among the normals: leave out --train"
        )
    held_out = read_signatures([file_of(name) for name in after.normals.names])
    leaks = find_leaks(held_out, read_signatures(training), same_part=selection.same_part)
    part = group_parts(after.normals, selection.part_by).part
    near_duplicates = count_near_duplicates(held_out, part, same_part=selection.same_part)
    rest = exclude_leaks(after.normals, leaks) if selection.exclude_leaks else SelectedNormals(after.normals)
    return SelectedNormals(
        rest.normals, after.exclusions + rest.exclusions, tuple(leaks), near_duplicates, len(after.normals)
    )


def exclude_named(normals: Normals, excludes: Sequence[Exclude]) -> SelectedNormals:
    """Leaves out the images that a person named. If one of several exact copies is named, all of them are left out.

    Raises:
        InputError: a name is not among the normals, or none is left.
    """
    places = {_key(name): place for place, name in enumerate(normals.names)}
    places |= {_key(copy.image): places[_key(copy.same_as)] for copy in normals.duplicates}
    unknown = [one.image for one in excludes if _key(one.image) not in places]
    if unknown:
        raise InputError(f"--exclude names {len(unknown)} images that are not among the normals: {named(unknown)}")
    return _without(normals, {places[_key(one.image)]: one.reason.strip() for one in excludes}, "person")


def exclude_leaks(normals: Normals, leaks: Sequence[Leak]) -> SelectedNormals:
    """Leaves out the images that look like training images. Raises :class:`InputError` if none is left."""
    places = {name: place for place, name in enumerate(normals.names)}
    reasons = {
        places[leak.image]: f"looks like the training image {leak.training_image} (correlation {leak.correlation:g})"
        for leak in leaks
    }
    return _without(normals, reasons, "leak-check")


def list_confirmed(folder: Path, artefact_sha256: str) -> list[Path]:
    """The pictures in ``folder/confirmed``: borderline frames that a person has moved there.

    Raises:
        InputError: there are none, one is damaged, or one was kept with another model.
    """
    sidecars = sorted((folder / CONFIRMED).glob("*.json"))
    if not sidecars:
        raise InputError(
            f"{folder / CONFIRMED}: there are no confirmed frames: move both files of each good part there from pending"
        )
    pictures = []
    for sidecar in sidecars:
        kept = read_kept(sidecar)
        if kept.artefact_sha256 != artefact_sha256:
            raise InputError(f"{sidecar} was kept with another model: remove it and its picture from the folder")
        pictures.append(sidecar.parent / kept.image)
    return pictures


def _without(normals: Normals, reasons: dict[int, str], by: Literal["person", "leak-check"]) -> SelectedNormals:
    rest = [place for place in range(len(normals)) if place not in reasons]
    if not rest:
        raise InputError(f"all {len(normals)} normals are left out: none is left to calibrate with")
    exclusions = tuple(
        Exclusion(
            image=normals.names[place],
            pixel_sha256=normals.pixel_sha256[place],
            score=float(normals.scores[place]),
            reason=reason,
            by=by,
        )
        for place, reason in reasons.items()
    )
    return SelectedNormals(normals.subset(rest), exclusions)


def _key(name: str) -> str:
    """The same for all ways to write one name."""
    parts = FrameName.parse(name)
    return f"{Path(parts.file).resolve()}{parts.fragment}"
