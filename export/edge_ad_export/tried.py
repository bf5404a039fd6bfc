"""What came of a variant, and its records in the bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad.bundle.records import Fidelity, LabelledFidelity, Trial, Variant
from edge_ad_export.gate import golden_tolerance
from edge_ad_export.speed import NOISE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.bundle.records import MapSize
    from edge_ad_export.fidelity import Agreement
    from edge_ad_export.ladder.targets import Target
    from edge_ad_export.recipes import Recipe

__all__ = ["Tried", "fidelity_record", "pick_default"]


@dataclass(frozen=True)
class Tried:
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

    def rejected_for(self, reason: str | None) -> Tried:
        """The same with a reason not to ship it."""
        return replace(self, rejected=reason)

    def trial(self) -> Trial:
        """The bundle's record of the attempt."""
        return Trial(id=self.recipe.id, fidelity=self.fidelity, rejected=self.rejected, made=self.made)

    def variant(self, map_size: MapSize | None, *, two_stage: bool = False) -> Variant:
        """The bundle's record of a variant that is shipped. ``two_stage``: it has an extractor."""
        if self.agreement is None or self.fidelity is None:
            raise AssertionError("a variant that was not measured is never shipped")
        return Variant(
            id=self.recipe.id,
            engine=self.recipe.engine,
            precision=self.recipe.precision,
            model=self.recipe.model,
            map=map_size,
            fidelity=self.fidelity,
            golden_tolerance=golden_tolerance(self.agreement, self.recipe.precision),
            extractor=self.recipe.extractor if two_stage else None,
        )


def fidelity_record(found: Agreement, size_bytes: int, labelled: int = 0) -> Fidelity:
    """The bundle's record of an agreement over so many labelled images."""
    return Fidelity(
        images=len(found.scores),
        defects=len(found.defect_scores),
        score_max_abs=found.max_abs,
        score_max_rel=found.max_rel,
        spearman=found.spearman,
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
