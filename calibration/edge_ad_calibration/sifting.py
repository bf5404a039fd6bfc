"""Which of the measured normals count: what a person excludes, and what repeats training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad_calibration.leaks import count_twins, find_leaks, read_signatures
from edge_ad_calibration.parts import file_of, group_parts
from edge_ad_calibration.selection import is_stream
from edge_ad_calibration.triage import Kept, take_out, take_out_leaks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad.bundle.records import Exclusion
    from edge_ad_calibration.collect import Normals
    from edge_ad_calibration.leaks import Leak
    from edge_ad_calibration.request import Selection

__all__ = ["Sifted", "sift"]


@dataclass(frozen=True, slots=True)
class Sifted:
    """``normals``: those that count. ``held_out``: how many the check for leaks looked at; 0 without one.

    ``twins``: how many of these look like one that counts as another observation.
    """

    normals: Normals
    exclusions: tuple[Exclusion, ...] = ()
    leaks: tuple[Leak, ...] = ()
    twins: int = 0
    held_out: int = 0


def sift(normals: Normals, selection: Selection, training: Sequence[Path]) -> Sifted:
    """Takes out what is to be excluded and looks for images that repeat one of ``training``.

    Raises:
        InputError: an image to exclude is not among the normals, none is left, or images cannot be compared.
    """
    kept = take_out(normals, selection.exclude)
    if not training:
        return Sifted(kept.normals, kept.exclusions)
    if any(is_stream(file_of(name)) for name in kept.normals.names):
        raise InputError("--train compares images, found a video or vectors among the normals: give image files")
    held_out = read_signatures([file_of(name) for name in kept.normals.names])
    leaks = find_leaks(held_out, read_signatures(training), same_part=selection.same_part)
    part = group_parts(kept.normals, selection.part_by).part
    twins = count_twins(held_out, part, same_part=selection.same_part)
    rest = take_out_leaks(kept.normals, leaks) if selection.exclude_leaks else Kept(kept.normals)
    return Sifted(rest.normals, kept.exclusions + rest.exclusions, tuple(leaks), twins, len(kept.normals))
