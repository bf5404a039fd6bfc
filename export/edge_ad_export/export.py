"""From a trained model's file to a bundle."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import msgspec
import onnx_ir as ir

from edge_ad.bundle import FORMAT, UNSEALED, Bundle, BundleWriter, Manifest
from edge_ad.bundle.records import Golden, Identifier
from edge_ad.engines.processor import this_processor
from edge_ad.errors import GateError, InputError, ModelError, counted
from edge_ad.files import check_space
from edge_ad_export.fidelity.gate import Gate, parity_for
from edge_ad_export.golden import (
    expectation,
    expected_name,
    golden_record,
    pick_golden,
    write_golden,
    write_golden_clips,
)
from edge_ad_export.graph.embedded import find_embedded
from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.importers.extractor import ImportedExtractor, check_fit, import_extractor, scorer_options
from edge_ad_export.lowering.recipes import (
    Recipe,
    baseline_for,
    calculates_bf16_here,
    chosen_recipes,
    usable_recipes,
    with_shortlists,
)
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.preparation.kernels import cost_of_kernel
from edge_ad_export.preparation.learn_head import hold_out, learn_head
from edge_ad_export.preparation.prepare import Notify, Setup, ShowProgress, Teller, no_progress, prepare
from edge_ad_export.preparation.time_budget import fit_into_minutes
from edge_ad_export.provenance import Provenance, collect_provenance, producer, reference_figures
from edge_ad_export.request import ExportRequest, check_report, check_target
from edge_ad_export.samples.clips import select_clips
from edge_ad_export.samples.geometry import MASK_NAME
from edge_ad_export.samples.images import ImageSet, select_images
from edge_ad_export.variants.fleet import for_targets, order_by_target, remarks_on_targets
from edge_ad_export.variants.maker import Trials
from edge_ad_export.variants.result import VariantResult, pick_default
from edge_ad_export.variants.trials import run_trials
from edge_ad_metrics.aupimo import RESOLVABLE_PIXELS
from edge_ad_metrics.datasets.dataset import LabelledSet
from edge_ad_metrics.datasets.layouts import read_labelled_images

__all__ = ["ExportResult", "export_bundle"]

# With fewer the order of the scores is decided by chance.
_FEW_IMAGES = 20

# More than that is no advice.
_MOST_IMAGES = 1000

# An AUPIMO below it reads 0.0000.
_ALMOST_ZERO = 5e-5

# What the next effort does beyond one that did not suffice.
_MORE_EFFORT = {
    "low": "--effort normal also looks for the operations that must stay in float, which takes some minutes",
    "normal": "--effort high tries further ways to quantize, which takes up to half an hour",
}

# Of the imported file's size that a variant takes, at least.
_SHARE = {"fp32": 0.5, "fp16": 0.4, "bf16": 0.4, "int8": 0.2}


@dataclass(frozen=True)
class ExportResult:
    """The bundle as it lies on disk; the variants that were tried are in its manifest."""

    bundle: Bundle


def export_bundle(
    request: ExportRequest, notify: Notify = lambda _line: None, progress: ShowProgress = no_progress
) -> ExportResult:
    """Imports the model, makes and measures its variants and writes those that pass the gate.

    The bundle appears whole or not at all. ``notify`` takes what the user should know, line by line: assumptions,
    compromises, what is being done. ``progress`` takes a label and how many frames are to be scored, and gives what
    takes the number of those that are done.

    Raises:
        InputError: an argument, an option or an image is wrong, or the target exists.
        ModelError: the model cannot be read or used.
        GateError: the rewritten graph does not score as the imported one, or no variant passes.
        OutputError: the bundle cannot be written.
    """
    recipes = chosen_recipes(request.variants, bf16=_calculates_bf16(request))
    _identifier(request)  # what is wrong with names and places is told before any work
    check_report(request.report)
    check_target(request.target, replace=request.replace)
    file = ModelFile(request.model, request.torch)
    shares = (_SHARE[one.precision] for one in for_targets(recipes, request.plan))
    check_space(request.target, file.size_bytes * sum(shares))
    labelled = LabelledSet(layout="none") if request.labelled is None else read_labelled_images(request.labelled)
    extractor = _import_extractor(request)
    imported = import_model(file, scorer_options(request.importing, extractor))
    check_fit(imported, extractor)
    selected = _select(request, imported, extractor.snippet if extractor else 1)
    held_out = hold_out(selected, request)
    imported = learn_head(imported, request)
    graph = _least_portable(imported, extractor)
    baseline, recipes = baseline_for(graph), usable_recipes(recipes, graph)
    assumptions = (*(extractor.model.assumptions if extractor else ()), *imported.assumptions)
    remarks = (*_remarks(selected), *([held_out.note] if held_out.note else []), *labelled.remarks)
    of_targets = remarks_on_targets(request.plan, this_processor(), int8=request.asks_for_int8)
    for line in (*assumptions, *remarks, *of_targets):
        notify(line)
    with _blaming(held_out.blame), BundleWriter(request.target, replace=request.replace) as writer:
        setup = prepare(request, imported, held_out.images, notify, extractor)
        gate = _gate(request, imported)
        if setup.shortlisted is not None and not request.variants:
            recipes = with_shortlists(recipes)
        asked = tuple(dict.fromkeys((baseline, *for_targets(recipes, request.plan))))
        setup, of_time = fit_into_minutes(setup, request, asked, len(labelled.images))
        of_kernel = cost_of_kernel(setup, request.geometry.kernel)
        for line in filter(None, (of_time, *_remarks_on_number(setup, asked), of_kernel)):
            notify(line)
        trials = Trials(asked, gate, request.plan, labelled.images, keep_rejected=request.keep_rejected)
        found = run_trials(setup, trials, writer.root, Teller(notify, progress))
        results = found.variants
        lines = (
            *_cost_of_shrinking(request, results, baseline),
            *_limits_of_judging(setup, results, baseline),
            *_further_images(setup, results, gate),
            *_further_effort(request, results, gate),
        )
        for line in lines:
            notify(line)
        _check_parity(results, baseline)
        if baseline not in recipes:
            shutil.rmtree((writer.root / baseline.model).parent, ignore_errors=True)
        kept = [one for one in results if one.recipe is not baseline or baseline in recipes]
        provenance = {**collect_provenance(request, file, setup), **reference_figures(file, setup, found.reference_ms)}
        manifest = _write(request, setup, kept, writer.root, provenance)
        if request.report is not None:
            _write_report(request.report, setup, kept, manifest, gate, writer.root)
        return ExportResult(writer.commit(manifest))


@contextmanager
def _blaming(blame: str | None) -> Iterator[None]:
    """Adds to a comparison that fails what is known to be behind it."""
    try:
        yield
    except (GateError, ModelError) as error:
        if blame is None:
            raise
        raise error.saying(f"{blame} ({error})") from error


def _calculates_bf16(request: ExportRequest) -> bool:
    """Whether a variant in bfloat16 can be measured here; for another CPU it is made only when it was asked for."""
    return (bool(request.variants) or request.plan.measured) and calculates_bf16_here()


def _import_extractor(request: ExportRequest) -> ImportedExtractor | None:
    options = request.extractor
    return None if options is None else import_extractor(options, request.importing, request.torch)


def _least_portable(imported: ImportedModel, extractor: ImportedExtractor | None) -> ir.Model:
    """The graph that decides which engines there can be variants for."""
    graphs = [imported.model, *([] if extractor is None else [extractor.model.model])]
    return next((graph for graph in graphs if find_embedded(graph)), imported.model)


def _select(request: ExportRequest, imported: ImportedModel, snippet: int) -> ImageSet:
    if imported.input.clip is None:
        return select_images(request.images, request.max_images)
    if request.labelled is not None:
        raise InputError("--labelled takes images, and this model scores clips: use edge-ad evaluate on the bundle")
    asked, clip = request.importing.clip, imported.input.clip
    if asked is None:
        raise AssertionError("clips are selected for models of clips")
    vectors = clip.input == "features" and request.extractor is None
    source, most = str(request.images), request.max_images
    return select_clips(source, imported.input, asked, most=most, snippet=snippet, vectors=vectors)


def _write_report(
    path: Path, setup: Setup, results: Sequence[VariantResult], manifest: Manifest, gate: Gate, root: Path
) -> None:
    from edge_ad_export.pages.export_page import export_page
    from edge_ad_report import write_page

    write_page(path, export_page(setup, results, manifest, gate, root))


def _remarks(images: ImageSet) -> Iterator[str]:
    used = len(images.paths)
    if used < images.total:
        yield f"{used} of the {images.total} images are used, evenly spaced (--max-images)"


def _remarks_on_number(setup: Setup, recipes: Sequence[Recipe]) -> Iterator[str]:
    """How many images there are, and where there are variants that could fit them too well, which of them judge."""
    used = len(setup.images)
    if any(recipe.precision == "int8" for recipe in recipes):
        yield setup.split.remark
    elif used < _FEW_IMAGES:
        yield f"only {counted(used, 'image')}: correlations over so few say little; give 30 or more"


def _limits_of_judging(setup: Setup, results: Sequence[VariantResult], baseline: Recipe) -> Iterator[str]:
    found = next(one.agreement for one in results if one.recipe is baseline)
    if setup.clip is not None or found is None or found.map_correlation_min is None:
        return
    if found.aupimo_reference is None:
        yield (
            f"the maps are judged by their correlation alone: AUPIMO takes about {RESOLVABLE_PIXELS:,} different "
            "pixels of normal images, and these give fewer; more or larger images (--images, --max-images) may help"
        )
    elif found.aupimo_reference < _ALMOST_ZERO:
        yield (
            "AUPIMO says nothing here: that of the imported model is 0, because somewhere on normal images its maps "
            "are as high as on the synthetic defects; the maps are judged by their correlation alone"
        )


def _further_images(setup: Setup, results: Sequence[VariantResult], gate: Gate) -> Iterator[str]:
    """How many images would make a variant certain that the gate refuses for its interval alone."""
    used = len(setup.images)
    for one in results:
        found = one.agreement
        if not one.rejected or found is None or not found.spearman_low < gate.min_spearman < found.spearman:
            continue
        # The interval shrinks with the root of the number of images.
        enough = used * ((found.spearman - found.spearman_low) / (found.spearman - gate.min_spearman)) ** 2
        if used < enough < _MOST_IMAGES:
            yield (
                f"{one.recipe.id} would be certain of its rank correlation of {found.spearman:.4f} with about "
                f"{math.ceil(enough / 10) * 10} images instead of {used} (--images, --max-images)"
            )


def _further_effort(request: ExportRequest, results: Sequence[VariantResult], gate: Gate) -> Iterator[str]:
    """What else can be tried where an engine has no int8 variant because none is close enough to the model."""
    made = [one for one in results if one.recipe.precision == "int8" and one.agreement is not None]
    has_one = {(one.recipe.engine, one.recipe.made_for) for one in made if not one.rejected}
    without = [one for one in made if (one.recipe.engine, one.recipe.made_for) not in has_one]
    refused = [one.recipe.id for one in without if one.agreement and gate.refuses(one.agreement, "int8")]
    more = _MORE_EFFORT.get(request.effort)
    if refused and more:
        yield f"not close enough at --effort {request.effort}: {', '.join(refused)}; {more}"


def _cost_of_shrinking(request: ExportRequest, results: Sequence[VariantResult], baseline: Recipe) -> Iterator[str]:
    found = next(one.agreement for one in results if one.recipe is baseline)
    if request.shrink.is_asked and found is not None:
        maps = "" if found.map_correlation_min is None else f", maps at least {found.map_correlation_min:.4f}"
        yield (
            f"{request.shrink} costs: scores off by up to {found.max_rel:.2%}, rank correlation with the model's "
            f"{found.spearman:.4f}{maps}"
        )


def _gate(request: ExportRequest, imported: ImportedModel) -> Gate:
    """The user's gate, its parity that of the type which the model calculates in; none for a smaller head."""
    asked = request.gate.parity
    if asked is None or request.shrink.is_asked:
        return replace(request.gate, parity=None)
    return replace(request.gate, parity=max(asked, parity_for(imported.model)))


def _check_parity(results: Sequence[VariantResult], baseline: Recipe) -> None:
    found = next(one for one in results if one.recipe is baseline)
    if found.rejected:
        raise GateError(
            f"the exported graph does not score as the imported model does: {baseline.id}: {found.rejected}; "
            "no bundle was written"
        )


def _write(
    request: ExportRequest, setup: Setup, results: Sequence[VariantResult], root: Path, provenance: Provenance
) -> Manifest:
    """Everything of the bundle but the models, which are there already."""
    shipped = [one for one in results if not one.rejected]
    if not shipped:
        reasons = "; ".join(f"{one.recipe.id}: {one.rejected}" for one in results)
        raise GateError(f"no variant passes the gate, no bundle was written ({reasons})")
    held = [one for one in results if one.rejected and one.agreement is not None and request.keep_rejected]
    golden = _write_golden(setup, [*shipped, *held], root)
    if setup.mask is not None:
        (root / MASK_NAME).parent.mkdir()
        (root / MASK_NAME).write_bytes(cv2.imencode(".png", setup.mask)[1].tobytes())
    variants = tuple(one.variant(setup, root) for one in (*shipped, *held))
    orders = order_by_target(variants[: len(shipped)], [one.recipe for one in shipped], request.plan)
    first = next(iter(orders.values()))[0] if orders else pick_default(variants[: len(shipped)], request.plan.target)
    return Manifest(
        format=FORMAT,
        seal=UNSEALED,
        name=_identifier(request),
        version=request.version,
        producer=producer(),
        created=datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="seconds"),
        family=setup.imported.family,
        input=setup.input,
        geometry=setup.geometry,
        clip=setup.clip,
        variants=variants,
        default_variant=first,
        targets=orders or msgspec.UNSET,
        trials=tuple(one.trial() for one in results),
        golden=golden,
        judging=setup.judging(),
        files={},
        provenance=provenance,
    )


def _write_golden(setup: Setup, shipped: Sequence[VariantResult], root: Path) -> Golden:
    agreement = shipped[0].agreement
    if agreement is None:
        raise AssertionError("a variant that was not measured is never shipped")
    if setup.clip is not None:
        return write_golden_clips(setup, shipped, agreement.reference, root)
    frames = pick_golden(setup.split.judging, agreement.reference)
    write_golden(frames, root)
    for one in shipped:
        with closing(setup.scorer(one.recipe, root)) as scorer:
            (root / expected_name(one.recipe.id)).write_bytes(expectation(frames, scorer).dump())
    return golden_record(frames, [one.recipe.id for one in shipped])


def _identifier(request: ExportRequest) -> str:
    """The name asked for, or the target's with what an identifier may not hold replaced."""
    if request.name is None:
        cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", request.target.absolute().name).strip("-._")
        return cleaned[:64] or "bundle"
    try:
        return msgspec.convert(request.name, Identifier)
    except msgspec.ValidationError:
        raise InputError(
            f"--name {request.name}: expected at most 64 letters, digits, points, dashes and underscores, "
            "the first a letter or digit"
        ) from None
