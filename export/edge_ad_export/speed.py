"""A variant earns its place by being faster than what is more precise."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_ad_export.recipes import Recipe

__all__ = ["NOISE", "slower_than"]

NOISE = 0.05
"""Latencies that differ by less than this part count as equal."""

# And by less than this, in milliseconds, whatever the part.
_NOISE_MS = 0.05
_PRECISION = ("fp32", "fp16", "bf16", "int8")


def slower_than(recipe: Recipe, others: Sequence[Recipe], latencies_ms: Mapping[str, Sequence[float]]) -> str | None:
    """Why the variant is not worth shipping: a more precise one for the same engine is faster; ``None``: it is.

    Variants of another engine do not count: a device may have only one.

    Args:
        latencies_ms: by variant, one a round; rounds are compared pairwise, as what else the machine does slows all
            variants of a round.
    """
    mine = latencies_ms[recipe.id]
    for other in others:
        if other.engine != recipe.engine or _PRECISION.index(other.precision) >= _PRECISION.index(recipe.precision):
            continue
        theirs = latencies_ms[other.id]
        slower_ms = statistics.median(a - b for a, b in zip(mine, theirs, strict=True))
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        if ratio > 1 + NOISE and slower_ms > _NOISE_MS:
            return f"{ratio:.2f} times as slow as {other.id}, which is more precise"
    return None
