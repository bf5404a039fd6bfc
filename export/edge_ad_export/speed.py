"""A variant earns its place by being faster or smaller than what is more precise."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.recipes import Recipe

__all__ = ["NOISE", "Timed", "not_worth_shipping", "outpaced_by"]

NOISE = 0.05
"""Latencies that differ by less than this part count as equal."""

# And by less than this, in milliseconds, whatever the part.
_NOISE_MS = 0.05
# With operations put back to float a part of what int8 gains is lost again: a smaller gain is not worth the search.
_WORTH_MIXING = 0.15
# What is as slow as something more precise has to be smaller by this part.
_SMALLER = 0.1
_PRECISION = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Timed:
    """A variant's ``latencies_ms``, one a round, and its size. Rounds are compared pairwise, as what else the machine
    does slows all variants of a round."""

    recipe: Recipe
    latencies_ms: Sequence[float]
    size_bytes: int = 0


def not_worth_shipping(mine: Timed, others: Sequence[Timed]) -> str | None:
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


def outpaced_by(mine: Timed, others: Sequence[Timed]) -> str | None:
    """A more precise variant for the same engine that is faster, or so little slower that a mixed form of this one
    would be no gain."""
    rivals = _more_precise(mine.recipe, others)
    return next((other.recipe.id for other in rivals if _ratio(mine, other) > 1 - _WORTH_MIXING), None)


def _more_precise(recipe: Recipe, others: Sequence[Timed]) -> list[Timed]:
    rank = _PRECISION.index(recipe.precision)
    return [o for o in others if o.recipe.engine == recipe.engine and _PRECISION.index(o.recipe.precision) < rank]


def _ratio(mine: Timed, other: Timed) -> float:
    return statistics.median(a / b for a, b in zip(mine.latencies_ms, other.latencies_ms, strict=True))
