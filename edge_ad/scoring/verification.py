"""Checks that a bundle is complete and that this device scores as the bundle promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import MANIFEST, Bundle, Variant
from edge_ad.engines import EngineOptions
from edge_ad.engines.base import keeps_compiled
from edge_ad.errors import EngineError, GoldenError, MissingExtraError
from edge_ad.scoring.golden import Replay
from edge_ad.scoring.opening import describe_choice, open_proven_scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Verification", "VerifiedVariant", "verify_bundle"]


@dataclass(frozen=True)
class VerifiedVariant:
    """``skipped`` says why the variant could not run here; ``stations`` are the calibrated ones. ``min_runtime``: the
    version of its engine that its file was made for, ``None`` for the oldest supported one. ``made_for``: the kinds of
    CPU that it is meant for; empty where the bundle was made for one kind."""

    id: str
    stations: tuple[str, ...]
    replays: tuple[Replay, ...]
    skipped: str | None = None
    min_runtime: str | None = None
    made_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """The result of a verification: how many files were checked, and each variant.

    ``problem``: why the bundle cannot be used here as it is, although everything that could be checked is in order: the
    variant that is scored with, where none is named, could not run, and none takes its place. ``None`` where one can be
    used, or another was asked for. ``scores``: the id of the one that is scored with here. ``choice``: why it is that
    one (:attr:`Detector.choice <edge_ad.Detector.choice>`). ``target``: the kind of CPU that this device was taken for;
    ``None`` where the bundle was made for one kind, or for none that this device is of.
    """

    bundle: str
    files: int
    variants: tuple[VerifiedVariant, ...]
    problem: str | None = None
    scores: str | None = None
    target: str | None = None
    choice: str | None = None


def verify_bundle(
    path: str | Path | Bundle, variant: str | None = None, options: EngineOptions | None = None
) -> Verification:
    """Checks every file's hash, every calibration's binding, and replays the golden frames on each variant.

    A variant whose engine is not installed is skipped and says so, unless it was asked for by name; so is another
    variant than the first of :meth:`Bundle.choices` that its engine refuses here, and one that is meant for other CPUs
    than this one. Where another calibrated variant takes the place of the first choice, that may also be refused or
    give other scores here. Where nothing takes its place, :attr:`Verification.problem` says what to do: the device
    cannot use the bundle as it is.

    Raises:
        BundleError: something is damaged, or this device scores differently; the message names the file.
        GoldenError: also when no variant at all could run here.
        EngineError: the engine refuses the first choice, or the variant that was asked for.
    """
    bundle = path if isinstance(path, Bundle) else Bundle.open(path)
    for name in bundle.manifest.files:
        bundle.check_file(name)
    chosen = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    choices = bundle.choices() if variant is None else chosen
    may_differ = {one.id for one in choices} if len(choices) > 1 else set()
    checked = tuple(
        _verify(bundle, one, options, _Rules(choices[0].id, variant is not None, one.id in may_differ))
        for one in chosen
    )
    if all(one.skipped for one in checked):
        raise GoldenError(f"no variant of {bundle.path} can run here: {'; '.join(str(one.skipped) for one in checked)}")
    works = {one.id: one for one in checked if one.skipped is None}
    scores = next((one for one in choices if one.id in works), None)
    files = len(bundle.manifest.files) + len((MANIFEST,))
    if scores is None:
        problem = _problem(choices[0].id, checked)
        return Verification(str(bundle.path), files, checked, problem, None, bundle.target)
    choice = None
    if variant is None:
        calibrated = bool(works[scores.id].stations)
        choice = describe_choice(bundle, scores, is_first=scores == choices[0], is_calibrated=calibrated)
    return Verification(str(bundle.path), files, checked, None, scores.id, bundle.target, choice)


@dataclass(frozen=True)
class _Rules:
    """``first``: the id of the first choice. ``must_run``: this variant was asked for. ``may_differ``: another one
    takes its place if it cannot be used here."""

    first: str
    must_run: bool
    may_differ: bool


def _problem(default: str, checked: Sequence[VerifiedVariant]) -> str:
    reason = next(one.skipped for one in checked if one.id == default)
    others = [f"--variant {one.id}" for one in checked if one.skipped is None]
    return (
        f"{default} is the variant that edge-ad score takes, and it was not checked: {reason}, or score and verify "
        f"with {' or '.join(others)}"
    )


def _verify(bundle: Bundle, variant: Variant, options: EngineOptions | None, rules: _Rules) -> VerifiedVariant:
    record, made_for, target = bundle.calibration(variant), bundle.manifest.made_for(variant.id), bundle.target
    stations = tuple(sorted(record.stations)) if record else ()
    checked = VerifiedVariant(variant.id, stations, (), min_runtime=variant.min_runtime, made_for=made_for)
    if not rules.must_run and target is not None and target not in made_for and made_for:
        return replace(checked, skipped=f"it is made for {' and '.join(made_for)}, and this CPU is {target}")
    if options is not None and not rules.must_run and not keeps_compiled(variant.engine):
        options = replace(options, cache_dir=None)  # it keeps no compiled models; the other engine may
    try:
        scorer, replays = open_proven_scorer(bundle, variant, options)
    except GoldenError as error:
        if not rules.may_differ:
            raise
        return replace(checked, skipped=str(error))
    except (MissingExtraError, EngineError) as error:
        is_first = variant.id == rules.first
        if rules.must_run or (is_first and isinstance(error, EngineError) and not rules.may_differ):
            raise
        return replace(checked, skipped=str(error))
    scorer.close()
    return replace(checked, replays=replays)
