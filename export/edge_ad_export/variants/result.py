"""What came of a variant: its measurement, whether it is worth its place, and its records in the bundle."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad.bundle.records import Fidelity, LabelledFidelity, Trial, Variant
from edge_ad_export.fidelity.gate import golden_tolerance, parity_for
from edge_ad_export.passes.oldest_versions import needed_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad_export.fidelity.agreement import Agreement
    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.preparation.prepare import Setup
    from edge_ad_export.quantize.settings import Target

__all__ = [
    "NOISE",
    "TimedVariant",
    "VariantResult",
    "fidelity_record",
    "most_in_float",
    "not_worth_shipping",
    "outpaced_by",
    "pick_default",
]


@dataclass(frozen=True)
class VariantResult:
    """A recipe, what came of it and why it is not shipped, ``None`` when it is.

    ``made``: by what it was quantized. ``labelled``: how many labelled images there were.
    """

    recipe: Recipe
    agreement: Agreement | None
    size_bytes: int
    rejected: str | None
    made: str | None = None
    labelled: int = 0

    @property
    def fidelity(self) -> Fidelity | None:
        """The bundle's record of the measurement."""
        found = self.agreement
        return None if found is None else fidelity_record(found, self.size_bytes, self.labelled)

    def rejected_for(self, reason: str | None) -> VariantResult:
        """The same with a reason not to ship it."""
        return replace(self, rejected=reason)

    def trial(self) -> Trial:
        """The bundle's record of it, shipped or not."""
        return Trial(id=self.recipe.id, fidelity=self.fidelity, rejected=self.rejected, made=self.made)

    def variant(self, setup: Setup, root: Path) -> Variant:
        """The bundle's record of a variant that is shipped, whose files lie below ``root``."""
        if self.agreement is None or self.fidelity is None:
            raise AssertionError("a variant that was not measured is never shipped")
        files = [self.recipe.model, *([] if setup.first is None else [self.recipe.extractor])]
        onnx_files = [root / name for name in files if self.recipe.engine == "onnxruntime"]
        needed = [version for file in onnx_files if (version := needed_onnxruntime(file)) is not None]
        return Variant(
            id=self.recipe.id,
            engine=self.recipe.engine,
            precision=self.recipe.precision,
            model=self.recipe.model,
            map=setup.lowered.map,
            fidelity=self.fidelity,
            golden_tolerance=golden_tolerance(self.agreement, self.recipe.precision, parity_for(setup.imported.model)),
            extractor=None if setup.first is None else self.recipe.extractor,
            min_runtime=max(needed, key=lambda version: int(version.partition(".")[2]), default=None),
        )


def fidelity_record(found: Agreement, size_bytes: int, labelled: int = 0) -> Fidelity:
    """The bundle's record of an agreement over so many labelled images."""
    return Fidelity(
        images=len(found.scores),
        defects=len(found.defect_scores),
        score_max_abs=found.max_abs,
        score_max_rel=found.max_rel,
        spearman=found.spearman,
        spearman_low=found.spearman_low,
        spearman_normals=found.spearman_normals,
        map_correlation_min=found.map_correlation_min,
        roc_auc_lost=found.roc_auc_lost,
        aupimo=found.aupimo,
        aupimo_lost=found.aupimo_lost,
        more_false_rejects=found.more_false_rejects,
        labelled=_labelled_record(found, labelled),
        latency_ms=found.latency_ms,
        size_bytes=size_bytes,
    )


def _labelled_record(found: Agreement, images: int) -> LabelledFidelity | None:
    figures, lost = found.labelled, found.labelled_roc_auc_lost
    if figures is None or lost is None:
        return None
    return LabelledFidelity(
        images=images,
        roc_auc=figures.roc_auc,
        roc_auc_lost=lost,
        average_precision=figures.average_precision,
        pixel_roc_auc=figures.pixel_roc_auc,
        aupimo=figures.aupimo,
        aupimo_lost=found.labelled_aupimo_lost,
    )


def pick_default(variants: Sequence[Variant], target: Target) -> str:
    """The fastest; of those within the noise of it the smallest. Where latency was not measured, the target's first."""
    if not target.measured:
        order = {name: place for place, name in enumerate(target.preference)}
        return min(variants, key=lambda variant: order.get(variant.id, len(order))).id
    fastest = min(variant.fidelity.latency_ms for variant in variants)
    close = [variant for variant in variants if variant.fidelity.latency_ms <= fastest * (1 + NOISE)]
    return min(close, key=lambda variant: variant.fidelity.size_bytes).id


NOISE = 0.05
"""Latencies that differ by less than this part count as equal."""

# And by less than this, in milliseconds, whatever the part.
_NOISE_MS = 0.05
# With operations put back to float a part of what int8 gains is lost again: a smaller gain is not worth the search.
_WORTH_MIXING = 0.15
# What is as slow as something more precise has to be smaller by this part.
_SMALLER = 0.1
# The most precise first. With a shortlist scores are those of float32, but maps are not.
_PRECISION = ("fp32", "fp16", "bf16", "shortlist", "mended", "int8")


@dataclass(frozen=True)
class TimedVariant:
    """A variant's ``latencies_ms``, one a round, and its size. Rounds are compared pairwise, as what else the machine
    does slows all variants of a round."""

    recipe: Recipe
    latencies_ms: Sequence[float]
    size_bytes: int = 0


def not_worth_shipping(mine: TimedVariant, others: Sequence[TimedVariant]) -> str | None:
    """Why the variant is not worth shipping: a more precise one for the same engine is faster or, where this one is
    int8, as fast and hardly larger; ``None``: it is. Variants of another engine do not count: a device may have only
    one."""
    for other in _more_precise(mine.recipe, others):
        ratio = _ratio(mine, other)
        slower_ms = statistics.median(a - b for a, b in zip(mine.latencies_ms, other.latencies_ms, strict=True))
        if ratio > 1 + NOISE and slower_ms > _NOISE_MS:
            return f"{ratio:.2f} times as slow as {other.recipe.id}, which is more precise"
        hardly_smaller = mine.size_bytes > (1 - _SMALLER) * other.size_bytes
        if mine.recipe.precision == "int8" and ratio > 1 - NOISE and hardly_smaller:
            return f"neither faster nor smaller than {other.recipe.id}, which is more precise"
    return None


def outpaced_by(mine: TimedVariant, others: Sequence[TimedVariant]) -> str | None:
    """A more precise variant for the same engine that is faster, or so little slower that a mixed form of this one
    would be no gain."""
    rivals = _more_precise(mine.recipe, others)
    return next((other.recipe.id for other in rivals if _ratio(mine, other) > 1 - _WORTH_MIXING), None)


def most_in_float(mine: TimedVariant, others: Sequence[TimedVariant]) -> float:
    """The share of an int8 variant's operations, 0 to 1, that may be in float while it can still be expected to be
    faster than every more precise variant for the same engine: what int8 gains is taken to be spread evenly."""
    ratio = max((_ratio(mine, other) for other in _more_precise(mine.recipe, others)), default=0.0)
    return max((1 - NOISE - ratio) / (1 - ratio), 0.0) if ratio < 1 else 0.0


def _more_precise(recipe: Recipe, others: Sequence[TimedVariant]) -> list[TimedVariant]:
    return [o for o in others if o.recipe.engine == recipe.engine and _rank(o.recipe) < _rank(recipe)]


def _rank(recipe: Recipe) -> int:
    return _PRECISION.index("shortlist" if recipe.shortlist else "mended" if recipe.mended else recipe.precision)


def _ratio(mine: TimedVariant, other: TimedVariant) -> float:
    return statistics.median(a / b for a, b in zip(mine.latencies_ms, other.latencies_ms, strict=True))
