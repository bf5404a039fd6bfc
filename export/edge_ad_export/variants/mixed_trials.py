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

    The gate has to have refused the int8 variant. One that starts a search with a shortlist has a mixed form in any
    case: its errors are mended, so with all else in float it scores as float does.
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
    maker.score([mended.made], looks=_MIXED_FORMS)
    return mended.made


def _mended_form(
    maker: VariantMaker, recipe: Recipe, rivals: Sequence[MadeVariant], quantizer: Quantizer
) -> _Mended | None:
    """``None`` where there is none, or it saves no time, or that cannot be measured."""
    form = quantizer.mended(recipe.engine) if maker.trials.plan.measured else None
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
    if plan.measured:
        mine = TimedVariant(int8.recipe, int8.latencies_ms)
        timed = [TimedVariant(one.recipe, one.latencies_ms) for one in rivals]
        if faster := outpaced_by(mine, timed):
            notify(f"{name} fails the gate and is hardly faster than {faster}: a mixed form would be no gain")
            return None
        share = most_in_float(mine, timed)
    if mended is not None and _outpaced(maker, int8, mended):
        notify(f"{name} fails the gate and is hardly faster than with nothing but its search in int8")
        return None
    notify(f"{name} fails the gate: looking for the operations that do most harm")
    form = quantizer.mixed(int8.recipe.engine, maker.trials.gate, share, last=None if mended is None else mended.form)
    if form is None:
        notify(f"{name}: so many operations would have to be in float that a mixed form would be no gain")
        return None
    if form.unranked:
        notify(f"{name}: the time limit of the search was reached before {form.unranked} operations were measured")
    return form


def _score_mixed(
    maker: VariantMaker, recipe: Recipe, mixed: Mixed, rivals: Sequence[MadeVariant], mended: _Mended | None = None
) -> MadeVariant:
    """The mixed variant; where the gate refuses it on all frames, with more operations in float. A form that would be
    left out for its latency is not scored, and is the last. One that is hardly faster than the ``mended`` form is not
    scored either: that form follows, which is more precise.

    The first form that the gate lets through is taken, so the interval of its rank correlation is corrected
    for all that may be tried.
    """
    for form in range(1, _MIXED_FORMS + 1):
        made = _make(maker, recipe, mixed)
        further = mixed.with_more(_MIXED_FORMS - form)
        if further is not None and mended is not None and not made.rejected and _outpaced(maker, made, mended):
            made, further = _make(maker, recipe, mixed.last), None
        if no_gain := made.rejected or _no_gain(maker, made, rivals):
            made.rejected, further = no_gain, None
        else:
            least = -1.0 if further is None else maker.trials.gate.min_map_correlation
            maker.score([made], least_map_correlation=least, looks=_MIXED_FORMS)
        if further is None or not made.rejected:
            break
        mixed = further
    return made


def _make(maker: VariantMaker, recipe: Recipe, mixed: Mixed) -> MadeVariant:
    """The variant of a form, in place of that of any other form."""
    chosen = replace(recipe, id=recipe.id.replace("int8", "mixed"), write=lambda _model, path, _int8: mixed.write(path))
    chosen = replace(chosen, mended=mixed.mended)
    shutil.rmtree((maker.root / chosen.model).parent, ignore_errors=True)
    maker.tell.say(f"{chosen.id}: {mixed.label}")
    made = maker.make(chosen)
    made.label = mixed.label
    return made


def _outpaced(maker: VariantMaker, made: MadeVariant, mended: _Mended) -> bool:
    """Whether a variant is so little faster than the mended form that it would be no gain."""
    mine, other = _timed(maker, [made, mended.made])
    return outpaced_by(mine, [other]) is not None


def _no_gain(maker: VariantMaker, made: MadeVariant, rivals: Sequence[MadeVariant]) -> str | None:
    """Why a mixed form would be left out for its latency whatever the gate says; its latencies are noted."""
    mine, *others = _timed(maker, [made, *rivals])
    made.latencies_ms = list(mine.latencies_ms)
    return not_worth_shipping(mine, others) if maker.trials.plan.measured else None


def _timed(maker: VariantMaker, variants: Sequence[MadeVariant]) -> list[TimedVariant]:
    """The first of the variants, and of the others those for the same engine, timed in turn."""
    engine = variants[0].recipe.engine
    timed = [(one, one.candidate.scorer) for one in variants if one.candidate and one.recipe.engine == engine]
    found = measure_latency([scorer.run_bare for _, scorer in timed], ROUGH_ROUNDS)
    return [
        TimedVariant(one.recipe, latencies, maker.size_bytes(one.recipe))
        for (one, _), latencies in zip(timed, found, strict=True)
    ]
