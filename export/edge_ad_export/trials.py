"""Makes every variant, runs it through the runtime and judges it."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.bundle.records import Fidelity, Trial, Variant
from edge_ad.errors import EngineError, ModelError
from edge_ad_export.fidelity import Agreement, Contender, compare
from edge_ad_export.gate import golden_tolerance
from edge_ad_export.images import collect_pixels
from edge_ad_export.recipes import Material, Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad.bundle.records import MapSize
    from edge_ad_export.gate import Gate
    from edge_ad_export.setup import Notify, Setup

__all__ = ["Tried", "run_trials"]

# NNCF's own default; more images hardly move the ranges.
_QUANTIZATION_SAMPLES = 300


@dataclass(frozen=True)
class Tried:
    """A recipe, what came of it and why it is not shipped, ``None`` when it is."""

    recipe: Recipe
    agreement: Agreement | None
    size_bytes: int
    rejected: str | None

    @property
    def fidelity(self) -> Fidelity | None:
        """The bundle's record of the measurement."""
        found = self.agreement
        if found is None:
            return None
        return Fidelity(
            images=len(found.scores),
            score_max_abs=found.max_abs,
            score_max_rel=found.max_rel,
            spearman=found.spearman,
            map_correlation_min=found.map_correlation_min,
            latency_ms=found.latency_ms,
            size_bytes=self.size_bytes,
        )

    def trial(self) -> Trial:
        """The bundle's record of the attempt."""
        return Trial(id=self.recipe.id, fidelity=self.fidelity, rejected=self.rejected)

    def variant(self, map_size: MapSize | None) -> Variant:
        """The bundle's record of a variant that is shipped."""
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
        )


def run_trials(setup: Setup, recipes: Sequence[Recipe], gate: Gate, root: Path, notify: Notify) -> tuple[Tried, ...]:
    """Makes the recipes' files below ``root`` and measures them all in one process, in turn.

    The files of a variant that is rejected are removed again. Raises :class:`ModelError` and :class:`InputError` on
    account of the imported model and the images, never of a variant.
    """
    pixels = collect_pixels(setup.preprocessor(), setup.images, _QUANTIZATION_SAMPLES)
    material = Material(setup.lowered.model, pixels)
    with ExitStack() as stack:
        contenders = []
        for recipe in recipes:
            notify(f"making {recipe.id}")
            contenders.append(_contender(setup, recipe, material, root, stack))
        notify(f"measuring on {len(setup.images.paths)} images")
        ready = [contender for contender in contenders if isinstance(contender, Contender)]
        reference = stack.enter_context(closing(setup.reference()))
        agreements = dict(zip([c.id for c in ready], compare(reference, ready, setup.images), strict=True))
    tried = []
    for recipe, contender in zip(recipes, contenders, strict=True):
        agreement = agreements.get(recipe.id)
        failed = contender.failed if isinstance(contender, Contender) else contender
        rejected = gate.refuses(agreement, recipe.precision) if agreement else failed
        folder = (root / recipe.model).parent
        tried.append(Tried(recipe, agreement, _size(folder), rejected))
        if rejected:
            shutil.rmtree(folder)
    return tuple(tried)


def _contender(setup: Setup, recipe: Recipe, material: Material, root: Path, stack: ExitStack) -> Contender | str:
    """The variant, opened; or why it could not be made."""
    path = root / recipe.model
    path.parent.mkdir(parents=True)
    try:
        recipe.write(material, path)
        return Contender(recipe.id, stack.enter_context(closing(setup.scorer(recipe, root))))
    except (ModelError, EngineError) as error:
        return str(error)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
