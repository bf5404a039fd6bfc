"""Proofs as people see them: each in short, and the measurement-system figures of those that are about the present."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edge_ad.page.measurement_system import LabelledRun, MeasurementSystem, analyse_measurement_system
from edge_ad.station.proofs import Proof, ProofOutcome

__all__ = ["ShownProof", "Study", "show_proofs", "study_proofs"]

_WITH_RUNS = {ProofOutcome.PASSED, ProofOutcome.FAILED}


class ShownProof(msgspec.Struct, frozen=True, kw_only=True):
    """A proof in short. ``wrong``: the names of parts that got the wrong verdict, ``invalid`` of those without one."""

    at: float
    kind: str
    recipe: str
    outcome: str
    who: str | None
    why: tuple[str, ...]
    detail: str | None
    software: str
    good: int
    bad: int
    wrong: tuple[str, ...]
    invalid: int


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one kind of proofs of a recipe since its last change. ``since``: of the oldest of them."""

    recipe: str
    kind: str
    proofs: int
    since: float
    system: MeasurementSystem
    grade: str


def show_proofs(proofs: Iterable[Proof]) -> tuple[ShownProof, ...]:
    """All of them but those that only say that a challenge was begun, the newest first."""
    return tuple(_shown(one) for one in reversed(tuple(proofs)) if one.outcome is not ProofOutcome.BEGUN)


def _shown(one: Proof) -> ShownProof:
    return ShownProof(
        at=one.at,
        kind=one.kind,
        recipe=one.recipe,
        outcome=one.outcome.value,
        who=one.who,
        why=one.why,
        detail=one.detail,
        software=one.software,
        good=sum(not part.is_bad for part in one.parts),
        bad=sum(part.is_bad for part in one.parts),
        wrong=tuple(dict.fromkeys(part.name for part in one.parts if not part.is_right)),
        invalid=sum(part.state == "INVALID" for part in one.parts),
    )


def study_proofs(proofs: Iterable[Proof]) -> tuple[Study, ...]:
    """For each recipe, and its parts and pictures apart, all runs since what they prove was last changed."""
    given = [one for one in proofs if one.outcome in _WITH_RUNS and one.parts]
    newest = {(one.recipe, one.kind): one for one in given}
    return tuple(_study(last, given) for _, last in sorted(newest.items()))


def _study(last: Proof, given: list[Proof]) -> Study:
    same = [one for one in given if (one.recipe, one.kind, one.identity) == (last.recipe, last.kind, last.identity)]
    system = analyse_measurement_system(
        LabelledRun(part=f"{part.inspection or ''}/{part.name}", is_bad=part.is_bad, is_accepted=part.state == "ACCEPT")
        for one in same
        for part in one.parts
    )
    return Study(
        recipe=last.recipe, kind=last.kind, proofs=len(same), since=same[0].at, system=system, grade=system.grade.value
    )
