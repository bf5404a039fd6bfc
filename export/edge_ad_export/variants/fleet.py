"""One bundle for several kinds of CPU: which variants are made for each, and which a device of that kind takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edge_ad.engines.processor import X86_AVX2, X86_VNNI
from edge_ad.errors import GateError
from edge_ad_export.quantize.settings import settings_for
from edge_ad_export.variants.result import pick_default

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_ad.bundle.records import Variant
    from edge_ad.engines.processor import Processor
    from edge_ad_export.lowering.recipes import Recipe
    from edge_ad_export.quantize.settings import Plan, Settings, Target

__all__ = ["for_targets", "order_by_target", "remarks_on_targets"]


def for_targets(recipes: Sequence[Recipe], plan: Plan) -> tuple[Recipe, ...]:
    """The recipes, and in place of an int8 one as many as the targets of the plan need.

    Targets whose int8 graphs are made in the same way share one. The first one keeps the id, such as
    ``openvino-int8``; the others have the target's behind it: ``openvino-int8-x86-avx2``. With one target the recipes
    stay as they are.
    """
    if len(plan.targets) == 1:
        return tuple(recipes)
    split = [tuple(_for_each(one, plan)) if one.precision == "int8" else (one,) for one in recipes]
    return tuple(recipe for some in split for recipe in some)


def _for_each(recipe: Recipe, plan: Plan) -> Iterator[Recipe]:
    alike: dict[tuple[Settings, ...], list[str]] = {}
    for target in plan.targets:
        settings = settings_for(recipe.engine, plan.effort, target)
        alike.setdefault(tuple(map(_that_count, settings)), []).append(target.id)
    for number, names in enumerate(alike.values()):
        yield replace(recipe, id=f"{recipe.id}-{names[0]}" if number else recipe.id, made_for=tuple(names))


def _that_count(settings: Settings) -> Settings:
    """NNCF decides by itself whether activations are signed."""
    return msgspec.structs.replace(settings, signed=True) if settings.tool == "nncf" else settings


def order_by_target(variants: Sequence[Variant], recipes: Sequence[Recipe], plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each target the ids of the variants that are meant for it, the fastest first; empty with one target.

    On ``this`` CPU the fastest is measured; elsewhere it is what such CPUs are known for. Where there is VNNI, int8 for
    CPUs without it follows that for those with it: it gives the same scores on both.

    Args:
        variants: those that are shipped.
        recipes: of these variants.

    Raises:
        GateError: there is none for one of the targets.
    """
    if len(plan.targets) == 1:
        return {}
    made_for = {recipe.id: recipe.made_for for recipe in recipes}
    orders = {target.id: tuple(_ordered(variants, made_for, target)) for target in plan.targets}
    if without := [name for name, order in orders.items() if not order]:
        raise GateError(
            f"no variant for {' and '.join(without)} passes the gate, no bundle was written: expected one for each "
            "--target; ask for a float variant, too (--variants)"
        )
    return orders


def _ordered(variants: Sequence[Variant], made_for: dict[str, tuple[str, ...]], target: Target) -> Iterator[str]:
    # CPUs that calculate in bfloat16 have VNNI, too.
    able = [one for one in variants if one.precision != "bf16" or target.id == X86_VNNI]
    own = [one for one in able if target.id in (made_for[one.id] or (target.id,))]
    lent = [one for one in able if one not in own and target.id == X86_VNNI and X86_AVX2 in made_for[one.id]]
    kind = {one.id: _kind(one.id, made_for[one.id]) for one in variants}  # such as openvino-int8
    if target.measured and (own or lent):
        of_kind = {kind[one.id]: one for one in (*lent, *own)}
        first = kind[pick_default(tuple(of_kind.values()), target)]
        places = {name: (name != first, one.fidelity.latency_ms) for name, one in of_kind.items()}
    else:
        preferred = [*target.preference, *(name for name in kind.values() if name not in target.preference)]
        places = {name: (False, float(place)) for place, name in reversed(list(enumerate(preferred)))}
    yield from (one.id for one in sorted((*own, *lent), key=lambda one: (places[kind[one.id]], one in lent)))


def _kind(variant_id: str, made_for: Sequence[str]) -> str:
    return variant_id.removesuffix(f"-{made_for[0]}") if made_for else variant_id


def remarks_on_targets(plan: Plan, processor: Processor, *, int8: bool = True) -> Iterator[str]:
    """What an export for other CPUs than this one cannot know, a sentence each. ``int8``: whether any is made."""
    if not plan.measured:
        yield (
            f"made for {', '.join(target.id for target in plan.targets)}: latencies are this machine's and were not "
            "measured there, so no variant is left out for them and the default is chosen by what such CPUs are known "
            "for; run edge-ad bench there"
        )
    here = processor.kinds[0] if processor.kinds else processor.machine
    for target in plan.targets:
        if target.id in processor.kinds or not int8:
            continue
        if target.id == X86_VNNI and here == X86_AVX2:
            yield (
                "int8 for x86-vnni: sums of 8-bit products saturate on this CPU, so its scores and golden frames are "
                "not those of a CPU with VNNI, which will probably refuse it; export on a CPU with VNNI"
            )
        else:
            yield (
                f"int8 for {target.id}: its exact scores cannot be measured on this CPU ({here}), so its figures and "
                "golden frames are this machine's; run edge-ad verify there"
            )
