"""A challenge set: labelled good and bad parts that a bundle has to tell apart before a station takes it.

Challenge parts are what a line is proved with at the beginning of a shift: parts with known defects, and good ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import FrameError, InputError, counted
from edge_ad.sources import list_images, read_image
from edge_ad.verdict import Reason, State, Verdict

if TYPE_CHECKING:
    from edge_ad.detector import Detector

__all__ = ["ChallengeFrame", "ChallengeResult", "ChallengeSettings", "check_challenges", "run_challenge"]

Allowed = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
PartName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Parts = Annotated[tuple[PartName, ...], msgspec.Meta(max_length=50)]


class ChallengeSettings(Record, frozen=True, kw_only=True):
    """``challenge`` of an inspection: folders (or globs) of pictures of good and of bad parts, as its camera sees them.

    ``misses_allowed``: so many bad ones may be accepted. ``false_rejects_allowed``: so many good ones may be not.

    ``good_parts``, ``bad_parts``: names of real parts that a person puts through the station to prove it. That is due
    after ``every_hours``, and with ``every_shift`` at the start of each shift. ``lock``: no part is accepted while it
    is due, or while the last proof of either kind has failed.
    """

    good: str
    bad: str
    misses_allowed: Allowed = 0
    false_rejects_allowed: Allowed = 0
    good_parts: Parts = ()
    bad_parts: Parts = ()
    every_hours: Annotated[float, msgspec.Meta(ge=0.1, le=8_760)] | None = None
    every_shift: bool = False
    lock: bool = False


class _Inspection(Protocol):
    """Of a station file."""

    @property
    def challenge(self) -> ChallengeSettings | None: ...


def check_challenges(recipes: Mapping[str, Mapping[str, _Inspection]], *, has_proof: bool, has_counters: bool) -> None:
    """Raises :class:`InputError` where entries contradict each other. ``recipes``: to inspections, by their names.

    ``has_proof``, ``has_counters``: whether the station file has these tables.
    """
    for recipe, inspections in recipes.items():
        known: dict[str, bool] = {}
        for name, one in inspections.items():
            if one.challenge is None:
                continue
            where = f"recipe {recipe}: inspect.{name}.challenge"
            _check_challenge(where, one.challenge, has_proof=has_proof, has_counters=has_counters)
            for part, is_bad in [(x, False) for x in one.challenge.good_parts] + [
                (x, True) for x in one.challenge.bad_parts
            ]:
                if known.setdefault(part, is_bad) is not is_bad:
                    raise InputError(f"{where}: another inspection has {part!r} with the other label")


def _check_challenge(where: str, asked: ChallengeSettings, *, has_proof: bool, has_counters: bool) -> None:
    twice = [name for name in asked.good_parts if name in asked.bad_parts]
    if twice:
        raise InputError(f"{where}: {twice[0]!r} is in good_parts and in bad_parts: give it one label")
    for name, parts in (("good_parts", asked.good_parts), ("bad_parts", asked.bad_parts)):
        if len(set(parts)) < len(parts):
            raise InputError(f"{where}.{name}: a name is given twice: each part needs a name of its own")
    if bool(asked.good_parts) != bool(asked.bad_parts):
        raise InputError(f"{where}: good_parts and bad_parts belong together: give both or neither")
    for key in ("every_hours", "every_shift", "lock"):
        if getattr(asked, key) and not asked.bad_parts:
            raise InputError(f"{where}.{key} needs good_parts and bad_parts, which somebody can put in")
    if asked.bad_parts and not has_proof:
        raise InputError(f'{where}.bad_parts needs a table [proof] with file = "proof.jsonl", where results are kept')
    if asked.every_shift and not has_counters:
        raise InputError(f"{where}.every_shift needs a table [counters], which says when shifts start")


@dataclass(frozen=True, slots=True)
class ChallengeFrame:
    """One picture, and the verdict on it."""

    path: Path
    is_bad: bool
    verdict: Verdict

    @property
    def is_wrong(self) -> bool:
        """A bad part that was accepted, or a good one that was not."""
        return (self.verdict.state is State.ACCEPT) is self.is_bad


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """What came of a challenge set."""

    settings: ChallengeSettings
    frames: tuple[ChallengeFrame, ...]

    @property
    def misses(self) -> tuple[ChallengeFrame, ...]:
        """Bad parts that were accepted."""
        return tuple(one for one in self.frames if one.is_bad and one.is_wrong)

    @property
    def false_rejects(self) -> tuple[ChallengeFrame, ...]:
        """Good parts that were not accepted."""
        return tuple(one for one in self.frames if not one.is_bad and one.is_wrong)

    @property
    def problem(self) -> str | None:
        """Why it is not passed; ``None`` where it is."""
        for wrong, allowed, what in (
            (self.misses, self.settings.misses_allowed, "bad parts of the challenge set are accepted"),
            (self.false_rejects, self.settings.false_rejects_allowed, "good parts of the challenge set are rejected"),
        ):
            if len(wrong) > allowed:
                names = ", ".join(one.path.name for one in wrong[:3]) + (", ..." if len(wrong) > 3 else "")
                return f"{len(wrong)} {what}, allowed are {allowed}: {names}"
        return None

    def __str__(self) -> str:
        bad = sum(one.is_bad for one in self.frames)
        return (
            f"challenge set: {len(self.misses)} of {counted(bad, 'bad part')} accepted, {len(self.false_rejects)} of "
            f"{counted(len(self.frames) - bad, 'good part')} rejected"
        )


def run_challenge(
    detector: Detector, settings: ChallengeSettings, told: Callable[[ChallengeFrame], None] = lambda _: None
) -> ChallengeResult:
    """Scores every picture of a challenge set. ``told``: is given each one as it is done.

    Raises:
        InputError: a folder is missing or holds no picture, or the bundle does not score single frames.
    """
    if detector.bundle.manifest.clip is not None or detector.scorer.takes_objects or detector.scorer.takes_vectors:
        raise InputError("a challenge set needs a bundle that scores single frames")
    frames = []
    for is_bad, place in ((False, settings.good), (True, settings.bad)):
        for path in list_images(place):
            frames.append(ChallengeFrame(path, is_bad, _verdict(detector, path)))
            told(frames[-1])
    return ChallengeResult(settings, tuple(frames))


def _verdict(detector: Detector, path: Path) -> Verdict:
    try:
        picture = read_image(path)
    except FrameError as error:  # a station could not read it either: INVALID is not accepted
        return detector.invalid(Reason(error.reason), str(error), part_id=path.name)
    return detector.score(picture, part_id=path.name)
