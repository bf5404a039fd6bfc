"""Which normals are taken out, by whom and why; and which ones a person should look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.bundle.records import Exclusion
from edge_ad.drift.kept import CONFIRMED, read_kept
from edge_ad.errors import InputError
from edge_ad_calibration.parts import split_name
from edge_ad_calibration.tables import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_calibration.collect import Normals
    from edge_ad_calibration.leaks import Leak
    from edge_ad_calibration.request import Exclude

__all__ = ["SHOWN", "Kept", "highest", "list_confirmed", "take_out", "take_out_leaks"]

SHOWN = 12
"""How many of the highest-scoring normals are shown."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The normals that count, and those that were taken out of them."""

    normals: Normals
    exclusions: tuple[Exclusion, ...] = ()


def take_out(normals: Normals, excludes: Sequence[Exclude]) -> Kept:
    """Takes out what a person has named; of exact copies all go when one is named.

    Raises:
        InputError: a name is not among the normals, or none is left.
    """
    places = {_key(name): place for place, name in enumerate(normals.names)}
    places |= {_key(copy.image): places[_key(copy.same_as)] for copy in normals.duplicates}
    unknown = [one.image for one in excludes if _key(one.image) not in places]
    if unknown:
        raise InputError(f"--exclude names {len(unknown)} images that are not among the normals: {named(unknown)}")
    return _without(normals, {places[_key(one.image)]: one.reason.strip() for one in excludes}, "person")


def take_out_leaks(normals: Normals, leaks: Sequence[Leak]) -> Kept:
    """Takes out the images that repeat training images. Raises :class:`InputError` when none is left."""
    places = {name: place for place, name in enumerate(normals.names)}
    reasons = {
        places[leak.image]: f"looks like the training image {leak.training_image} (correlation {leak.correlation:g})"
        for leak in leaks
    }
    return _without(normals, reasons, "leak-check")


def highest(normals: Normals, most: int = SHOWN) -> list[str]:
    """The names of the highest-scoring normals, the highest first."""
    return [normals.names[place] for place in np.argsort(-normals.scores, kind="stable")[:most]]


def list_confirmed(folder: Path, artefact_sha256: str) -> list[Path]:
    """The pictures of borderline frames in ``folder/confirmed``, which a person has put there.

    Raises:
        InputError: there are none, one is damaged, or it was kept while another model judged.
    """
    sidecars = sorted((folder / CONFIRMED).glob("*.json"))
    if not sidecars:
        raise InputError(
            f"{folder / CONFIRMED}: no confirmed frames: move both files of a good part there from pending"
        )
    pictures = []
    for sidecar in sidecars:
        kept = read_kept(sidecar)
        if kept.artefact_sha256 != artefact_sha256:
            raise InputError(f"{sidecar} was kept while another model judged: take it and its picture out")
        pictures.append(sidecar.parent / kept.image)
    return pictures


def _without(normals: Normals, reasons: dict[int, str], by: Literal["person", "leak-check"]) -> Kept:
    rest = [place for place in range(len(normals)) if place not in reasons]
    if not rest:
        raise InputError(f"all {len(normals)} normals are taken out: nothing is left to calibrate with")
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
    return Kept(normals.take(rest), exclusions)


def _key(name: str) -> str:
    """The same for all ways to write one name."""
    file, place = split_name(name)
    return f"{Path(file).resolve()}{place}"
