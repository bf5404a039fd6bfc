"""From a trained model's file to a bundle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import cv2

from edge_ad.bundle import FORMAT, UNSEALED, Bundle, BundleWriter, Manifest
from edge_ad.errors import GateError
from edge_ad_export.geometry import MASK_NAME
from edge_ad_export.golden import GoldenFrame, expectation, expected_name, golden_record, pick_golden, write_golden
from edge_ad_export.images import select_images
from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.provenance import collect_provenance, producer
from edge_ad_export.recipes import BASELINE, chosen_recipes
from edge_ad_export.request import ExportRequest
from edge_ad_export.setup import Notify, Setup, prepare
from edge_ad_export.trials import Tried, run_trials

__all__ = ["ExportResult", "export_bundle"]

# With fewer the order of the scores is decided by chance.
_FEW_IMAGES = 20


@dataclass(frozen=True)
class ExportResult:
    """The bundle as it lies on disk; the variants that were tried are in its manifest."""

    bundle: Bundle


def export_bundle(request: ExportRequest, notify: Notify = lambda _line: None) -> ExportResult:
    """Imports the model, makes and measures its variants and writes those that pass the gate.

    The bundle appears whole or not at all. ``notify`` takes what the user should know: assumptions, compromises.

    Raises:
        InputError: an argument, an option or an image is wrong, or the target exists.
        ModelError: the model cannot be read or used.
        GateError: the rewritten graph does not score as the imported one, or no variant passes.
        OutputError: the bundle cannot be written.
    """
    recipes = chosen_recipes(request.variants)
    with BundleWriter(request.target, replace=request.replace) as writer:
        file = ModelFile(request.model)
        images = select_images(request.images, request.max_images)
        imported = import_model(file, request.importing)
        for line in imported.assumptions:
            notify(line)
        if len(images.paths) < images.total:
            notify(f"measuring {len(images.paths)} of {images.total} images, evenly spaced (--max-images)")
        if len(images.paths) < _FEW_IMAGES:
            notify(f"only {len(images.paths)} images: correlations over so few say little; give 30 or more")
        setup = prepare(request, imported, images, notify)
        tried = run_trials(setup, list(dict.fromkeys((BASELINE, *recipes))), request.gate, writer.root)
        _check_parity(tried)
        if BASELINE not in recipes:
            shutil.rmtree((writer.root / BASELINE.model).parent)
        kept = [one for one in tried if one.recipe in recipes]
        manifest = _write(request, setup, kept, writer.root, file)
        return ExportResult(writer.commit(manifest))


def _check_parity(tried: Sequence[Tried]) -> None:
    baseline = next(one for one in tried if one.recipe is BASELINE)
    if baseline.rejected:
        raise GateError(
            f"the exported graph does not score as the imported model does: {BASELINE.id}: {baseline.rejected}; "
            "no bundle was written"
        )


def _write(request: ExportRequest, setup: Setup, tried: Sequence[Tried], root: Path, file: ModelFile) -> Manifest:
    """Everything of the bundle but the models, which are there already."""
    shipped = [one for one in tried if not one.rejected]
    if not shipped:
        reasons = "; ".join(f"{one.recipe.id}: {one.rejected}" for one in tried)
        raise GateError(f"no variant passes the gate, no bundle was written ({reasons})")
    frames = _write_golden(setup, shipped, root)
    if setup.mask is not None:
        (root / MASK_NAME).parent.mkdir()
        (root / MASK_NAME).write_bytes(cv2.imencode(".png", setup.mask)[1].tobytes())
    variants = tuple(one.variant(setup.lowered.map) for one in shipped)
    return Manifest(
        format=FORMAT,
        seal=UNSEALED,
        name=request.name or _identifier(request.target),
        version=request.version,
        producer=producer(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        family=setup.imported.family,
        input=setup.lowered.input,
        geometry=setup.geometry,
        variants=variants,
        default_variant=min(variants, key=lambda variant: variant.fidelity.latency_ms).id,
        trials=tuple(one.trial() for one in tried),
        golden=golden_record(frames, [variant.id for variant in variants]),
        files={},
        provenance=collect_provenance(request, file, setup),
    )


def _write_golden(setup: Setup, shipped: Sequence[Tried], root: Path) -> tuple[GoldenFrame, ...]:
    agreement = shipped[0].agreement
    if agreement is None:
        raise AssertionError("a variant that was not measured is never shipped")
    frames = pick_golden(setup.images, agreement.reference)
    write_golden(frames, root)
    for one in shipped:
        with closing(setup.scorer(one.recipe, root)) as scorer:
            (root / expected_name(one.recipe.id)).write_bytes(expectation(frames, scorer).dump())
    return frames


def _identifier(target: Path) -> str:
    """The target's name with what an identifier may not hold replaced."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", target.absolute().name).strip("-._")
    return cleaned[:64] or "bundle"
