"""The mixed forms of an int8 variant: which are tried, in which order, and which is kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad_export.fidelity.agreement import ROUGH_ROUNDS, measure_latency
from edge_ad_export.variants.result import TimedVariant, most_in_float, not_worth_shipping, outpaced_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.variants.maker import MadeVariant, QuantizerOf, VariantMaker
    from edge_ad_export.variants.quantizer import Mixed, Quantizer

__all__ = ["add_mixed"]

# Where it cannot be measured what floats cost: with more operations in float a mixed form is as good as all in float.
_UNMEASURED_SHARE = 0.9
_MIXED_FORMS = 4


def add_mixed(maker: VariantMaker, made: Sequence[MadeVariant], quantizer_of: QuantizerOf) -> list[MadeVariant]:
    """The variants, and behind every int8 one its mixed form, where there is one.

    The layers that do most harm are in float, as many as are needed, where the gate has refused the int8 variant. Where
    that starts a search with a shortlist, and latencies are measured, there is a form with nothing else in int8: the
    errors of a shortlist are mended, so this form is made even of a variant that has passed.
    """
    found: list[MadeVariant] = []
    passed: list[MadeVariant] = []
    rivals = [one for one in made if not one.rejected]
    for one in made:
        found.append(one)
        if one.recipe.precision == "int8" and one.agreement and maker.trials.plan.effort != "low":
            mixed = _mixed_form(maker, one, rivals, quantizer_of(one.recipe))
            found += [] if mixed is None else [mixed]
            passed += [] if mixed is None or mixed.rejected else [mixed]
    if passed:  # what is not shipped is not compared with it
        maker.measure_latency([one for one in found if not one.rejected])
    return found


@dataclass(frozen=True)
class _Mended:
    """The form in which all is in float but what is mended afterwards, and its variant, which is not scored yet."""

    form: Mixed
    made: MadeVariant


def _mixed_form(
    maker: VariantMaker, int8: MadeVariant, rivals: Sequence[MadeVariant], quantizer: Quantizer
) -> MadeVariant | None:
    mended = _mended_form(maker, int8.recipe, rivals, quantizer)
    form = _first_form(maker, int8, rivals, quantizer, mended) if int8.rejected else None
    if form is not None:
        return _score_mixed(maker, int8.recipe, form, rivals, mended)
    if mended is None:
        return None
    maker.score([mended.made])  # no other form is tried, so there is nothing to correct for
    return mended.made


def _mended_form(
    maker: VariantMaker, recipe: Recipe, rivals: Sequence[MadeVariant], quantizer: Quantizer
) -> _Mended | None:
    """``None`` where there is none, or it saves no time, or that cannot be measured."""
    form = quantizer.mended_form(recipe.engine) if maker.trials.plan.measured else None
    if form is None:
        return None
    made = _make(maker, recipe, form)
    if made.rejected or _no_gain(maker, made, rivals):
        shutil.rmtree((maker.root / made.recipe.model).parent)
        return None
    return _Mended(form, made)


def _first_form(
    maker: VariantMaker,
    int8: MadeVariant,
    rivals: Sequence[MadeVariant],
    quantizer: Quantizer,
    mended: _Mended | None,
) -> Mixed | None:
    """The form that a search says to begin with, if one can be expected to gain enough."""
    notify, name, plan = maker.tell.say, int8.recipe.id, maker.trials.plan
    share = _UNMEASURED_SHARE
    instead = "a mixed form would be no gain" if mended is None else "only its search stays in int8"
    if plan.measured:
        mine = TimedVariant(int8.recipe, int8.latencies_ms)
        timed = [TimedVariant(one.recipe, one.latencies_ms) for one in rivals]
        if faster := outpaced_by(mine, timed):
            notify(f"{name} fails the gate and is hardly faster than {faster}: {instead}")
            return None
        share = most_in_float(mine, timed)
    if mended is not None and _outpaced(int8, mended):
        notify(f"{name} fails the gate and is hardly faster than with its search alone in int8: {instead}")
        return None
    notify(f"{name} fails the gate: looking for the operations that do most harm")
    form = quantizer.mixed(int8.recipe.engine, maker.trials.gate, share, last=None if mended is None else mended.form)
    if form is None:
        notify(f"{name}: so many operations would have to be in float that {instead}")
        return None
    if form.unranked:
        notify(f"{name}: the time limit of the search was reached before {form.unranked} operations were measured")
    return form


def _score_mixed(
    maker: VariantMaker, recipe: Recipe, mixed: Mixed, rivals: Sequence[MadeVariant], mended: _Mended | None
) -> MadeVariant:
    """The mixed variant; where the gate refuses it on all frames, with more operations in float. A form that would be
    left out for its latency is not scored, and is the last. In place of one that is hardly faster than the ``mended``
    form, or of no use, that form is scored, which is more precise.

    The first form that the gate lets through is taken, so the interval of its rank correlation is corrected
    for all that may be tried.
    """
    for form in range(1, _MIXED_FORMS + 1):
        made = _make(maker, recipe, mixed)
        no_gain = made.rejected or _no_gain(maker, made, rivals)
        if mended is not None and not mixed.mended and (no_gain or _outpaced(made, mended)):
            made = _make(maker, recipe, mended.form)
            maker.score([made], looks=_MIXED_FORMS)
            break
        if no_gain:
            made.rejected = no_gain
            break
        further = mixed.with_more(_MIXED_FORMS - form)
        least = -1.0 if further is None else maker.trials.gate.min_map_correlation
        maker.score([made], least_map_correlation=least, looks=_MIXED_FORMS)
        if further is None or not made.rejected:
            break
        mixed = further
    return made


def _make(maker: VariantMaker, recipe: Recipe, mixed: Mixed) -> MadeVariant:
    """The variant of a form, in place of that of any other form."""
    chosen = replace(
        recipe,
        id=recipe.id.replace("int8", "mixed"),
        write=lambda _model, path, _int8: mixed.write(path),
        mended=mixed.mended,
    )
    shutil.rmtree((maker.root / chosen.model).parent, ignore_errors=True)
    maker.tell.say(f"{chosen.id}: {mixed.label}")
    made = maker.make(chosen)
    made.label = mixed.label
    return made


def _outpaced(made: MadeVariant, mended: _Mended) -> bool:
    """Whether a variant is so little faster than the mended form that it would be no gain."""
    mine, other = _timed([made, mended.made])
    return outpaced_by(mine, [other]) is not None


def _no_gain(maker: VariantMaker, made: MadeVariant, rivals: Sequence[MadeVariant]) -> str | None:
    """Why a mixed form would be left out for its latency whatever the gate says; its latencies are noted."""
    mine, *others = (replace(one, size_bytes=maker.size_bytes(one.recipe)) for one in _timed([made, *rivals]))
    made.latencies_ms = list(mine.latencies_ms)
    return not_worth_shipping(mine, others) if maker.trials.plan.measured else None


def _timed(variants: Sequence[MadeVariant]) -> list[TimedVariant]:
    """The first of the variants, and of the others those for the same engine, timed in turn."""
    engine = variants[0].recipe.engine
    timed = [(one, one.candidate.scorer) for one in variants if one.candidate and one.recipe.engine == engine]
    found = measure_latency([scorer.run_bare for _, scorer in timed], ROUGH_ROUNDS)
    return [TimedVariant(one.recipe, latencies) for (one, _), latencies in zip(timed, found, strict=True)]
