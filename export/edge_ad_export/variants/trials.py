"""Tries the variants in turn: what is made of what, which are kept, and which are too slow to be."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edge_ad_export.variants.maker import VariantMaker
from edge_ad_export.variants.mixed_trials import add_mixed
from edge_ad_export.variants.result import TimedVariant, VariantResult, not_worth_shipping

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.preparation.prepare import Setup, Teller
    from edge_ad_export.variants.maker import MadeVariant, QuantizerOf, Trials
    from edge_ad_export.variants.quantizer import Int8

__all__ = ["TrialResults", "run_trials"]


@dataclass(frozen=True)
class TrialResults:
    """What came of each variant. ``reference_ms``: the latency of the imported model's own graph in the engine that
    runs its file; ``None`` of two stages."""

    variants: tuple[VariantResult, ...]
    reference_ms: float | None


def run_trials(setup: Setup, trials: Trials, root: Path, tell: Teller) -> TrialResults:
    """Makes the variants' files below ``root``; those of rejected variants are removed again.

    An int8 variant is followed by its mixed form, where there is one, see :func:`add_mixed`.

    Raises:
        ModelError, InputError: on account of the imported model and the images, never of a variant.
    """
    with ExitStack() as stack:
        maker = VariantMaker(setup, trials, root, tell, stack)
        first, rest = _in_two_rounds(trials.recipes)
        made = [maker.make(recipe) for recipe in first]
        maker.score(made)
        if made[0].rejected is None:
            maker.take_shortlists(made)
            quantizer_of = maker.quantizers()
            made += [maker.make(recipe, partial(_int8, quantizer_of, recipe)) for recipe in rest]
            maker.score(made[len(first) :])
            made.sort(key=lambda one: trials.recipes.index(one.recipe))
            tell.say(f"timing {', '.join(one.recipe.id for one in made if one.candidate)} in turn")
            maker.measure_latency(made)
            made = add_mixed(maker, made, quantizer_of)
        results = [maker.result(one) for one in made]
    if trials.plan.measured:
        results = _without_slow(results, made)
    for result in results:
        if result.rejected and not (trials.keep_rejected and result.agreement is not None):
            shutil.rmtree((root / result.recipe.model).parent)
    return TrialResults(tuple(results), maker.reference_ms)


def _in_two_rounds(recipes: Sequence[Recipe]) -> tuple[Sequence[Recipe], Sequence[Recipe]]:
    """What is scored first, and the rest. Shortlists are judged before int8 and bfloat16, which may be made of them."""
    if not any(recipe.shortlist for recipe in recipes):
        return recipes[:1], recipes[1:]
    first = [recipe for recipe in recipes if recipe.precision == "fp32"]
    return first, [recipe for recipe in recipes if recipe.precision != "fp32"]


def _int8(quantizer_of: QuantizerOf, recipe: Recipe) -> Int8:
    return quantizer_of(recipe).int8(recipe.engine)


def _without_slow(results: Sequence[VariantResult], made: Sequence[MadeVariant]) -> list[VariantResult]:
    timed = [
        TimedVariant(result.recipe, one.latencies_ms, result.size_bytes)
        for result, one in zip(results, made, strict=True)
    ]
    passed = [variant for result, variant in zip(results, timed, strict=True) if not result.rejected]
    return [
        result if result.rejected else result.rejected_for(not_worth_shipping(variant, passed))
        for result, variant in zip(results, timed, strict=True)
    ]
