"""Checks that a bundle is complete and that this device scores as the bundle promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import MANIFEST, Bundle, Variant
from edge_ad.engines import EngineOptions
from edge_ad.errors import EngineError, GoldenError, MissingExtraError
from edge_ad.scoring.golden import Replay
from edge_ad.scoring.opening import open_proven_scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Verification", "VerifiedVariant", "verify_bundle"]


@dataclass(frozen=True)
class VerifiedVariant:
    """``skipped`` says why the variant could not run here; ``stations`` are the calibrated ones. ``min_runtime``: the
    version of its engine that its file was made for, ``None`` for the oldest supported one."""

    id: str
    stations: tuple[str, ...]
    replays: tuple[Replay, ...]
    skipped: str | None = None
    min_runtime: str | None = None


@dataclass(frozen=True)
class Verification:
    """The result of a verification: how many files were checked, and each variant.

    ``problem``: why the bundle cannot be used here as it is, although everything that could be checked is in order: the
    variant that is scored with, where none is named, could not run, and none takes its place. ``None`` where one can be
    used, or another was asked for. ``scores``: the id of the one that is scored with here.
    """

    bundle: str
    files: int
    variants: tuple[VerifiedVariant, ...]
    problem: str | None = None
    scores: str | None = None


def verify_bundle(
    path: str | Path | Bundle, variant: str | None = None, options: EngineOptions | None = None
) -> Verification:
    """Checks every file's hash, every calibration's binding, and replays the golden frames on each variant.

    A variant whose engine is not installed is skipped and says so, unless it was asked for by name; so is another
    variant than the default one that its engine refuses here. Where another calibrated variant takes the place of the
    default one (:meth:`Bundle.substitutes`), the default one may also be refused or give other scores here. Where
    nothing takes its place, :attr:`Verification.problem` says what to do: the device cannot use the bundle as it is.

    Raises:
        BundleError: something is damaged, or this device scores differently; the message names the file.
        GoldenError: also when no variant at all could run here.
        EngineError: the engine refuses the default variant, or the one that was asked for.
    """
    bundle = path if isinstance(path, Bundle) else Bundle.open(path)
    for name in bundle.manifest.files:
        bundle.check_file(name)
    chosen = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    substitutes = () if variant is not None else bundle.substitutes()
    may_differ = {bundle.manifest.default_variant, *(one.id for one in substitutes)} if substitutes else set()
    checked = tuple(
        _verify(bundle, one, options, must_run=variant is not None, may_differ=one.id in may_differ) for one in chosen
    )
    if all(one.skipped for one in checked):
        raise GoldenError(f"no variant of {bundle.path} can run here: {'; '.join(str(one.skipped) for one in checked)}")
    works = {one.id for one in checked if one.skipped is None}
    order = [bundle.variant(variant), *substitutes]
    scores = next((one.id for one in order if one.id in works), None)
    problem = None if scores is not None else _problem(bundle, checked)
    return Verification(str(bundle.path), len(bundle.manifest.files) + len((MANIFEST,)), checked, problem, scores)


def _problem(bundle: Bundle, checked: Sequence[VerifiedVariant]) -> str:
    default = bundle.manifest.default_variant
    reason = next(one.skipped for one in checked if one.id == default)
    others = [f"--variant {one.id}" for one in checked if one.skipped is None]
    return (
        f"{default} is the variant that edge-ad score takes, and it was not checked: {reason}, or score and verify "
        f"with {' or '.join(others)}"
    )


def _verify(
    bundle: Bundle, variant: Variant, options: EngineOptions | None, *, must_run: bool, may_differ: bool
) -> VerifiedVariant:
    record = bundle.calibration(variant)
    stations = tuple(sorted(record.stations)) if record else ()
    if options is not None and not must_run and variant.engine == "onnxruntime":
        options = replace(options, cache_dir=None)  # it keeps no compiled models; the other engine may
    try:
        scorer, replays = open_proven_scorer(bundle, variant, options)
    except GoldenError as error:
        if not may_differ:
            raise
        return VerifiedVariant(variant.id, stations, (), skipped=str(error), min_runtime=variant.min_runtime)
    except (MissingExtraError, EngineError) as error:
        is_default = variant.id == bundle.manifest.default_variant
        if must_run or (is_default and isinstance(error, EngineError) and not may_differ):
            raise
        return VerifiedVariant(variant.id, stations, (), skipped=str(error), min_runtime=variant.min_runtime)
    scorer.close()
    return VerifiedVariant(variant.id, stations, replays, min_runtime=variant.min_runtime)
