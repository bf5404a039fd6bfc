"""Checks that a bundle is complete and that this device scores as the bundle promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle import MANIFEST, Bundle, Variant
from edge_ad.engines import EngineOptions
from edge_ad.errors import GoldenError, MissingExtraError
from edge_ad.scoring.golden import Replay, replay
from edge_ad.scoring.opening import open_scorer

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
    """The result of a verification: how many files were checked, and each variant."""

    bundle: str
    files: int
    variants: tuple[VerifiedVariant, ...]


def verify_bundle(path: str | Path, variant: str | None = None, options: EngineOptions | None = None) -> Verification:
    """Checks every file's hash, every calibration's binding, and replays the golden frames on each variant.

    A variant whose engine is not installed is skipped and says so, unless it was asked for by name.

    Raises:
        BundleError: something is damaged, or this device scores differently; the message names the file.
        GoldenError: also when no variant at all could run here.
    """
    bundle = Bundle.open(path)
    for name in bundle.manifest.files:
        bundle.check_file(name)
    chosen = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    checked = tuple(_verify(bundle, one, options, must_run=variant is not None) for one in chosen)
    if all(one.skipped for one in checked):
        raise GoldenError(f"no variant of {path} can run here: {'; '.join(str(one.skipped) for one in checked)}")
    return Verification(str(path), len(bundle.manifest.files) + len((MANIFEST,)), checked)


def _verify(bundle: Bundle, variant: Variant, options: EngineOptions | None, *, must_run: bool) -> VerifiedVariant:
    record = bundle.calibration(variant)
    stations = tuple(sorted(record.stations)) if record else ()
    try:
        scorer = open_scorer(bundle, variant, options)
    except MissingExtraError as error:
        if must_run:
            raise
        return VerifiedVariant(variant.id, stations, (), skipped=str(error), min_runtime=variant.min_runtime)
    try:
        replays = replay(bundle, variant, scorer)
        return VerifiedVariant(variant.id, stations, replays, min_runtime=variant.min_runtime)
    finally:
        scorer.close()
