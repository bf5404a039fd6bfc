"""How many of the most harmful layers have to be in float until the gate holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_ad_export.gate import Gate
    from edge_ad_export.ladder.probes import Probes, Runner
    from edge_ad_export.quantize.quantized import Quantized

__all__ = ["fewest_floats", "holds_on"]


def fewest_floats(count: int, holds: Callable[[int], bool]) -> int | None:
    """The fewest of ``count`` layers that have to be in float, ``None`` where even all but one do not suffice.

    By bisection: asked only about some ``log2(count)`` numbers, it takes for granted that more float is no worse.
    """
    if count < 2 or not holds(count - 1):
        return None
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def holds_on(
    probes: Probes, runner: Runner, quantized: Quantized, layers: tuple[str, ...], gate: Gate, path: Path
) -> Callable[[int], bool]:
    """Whether the gate's correlations hold on the probes with so many of the ``layers`` in float.

    What else the gate asks takes more than the probes can tell: the highest pixels of a few normals are no measure of
    those of all, and where a defect lies is known of whole frames, not of what the model is given. The outcome is
    judged by all of it afterwards, and has more put to float where it fails.
    """

    def holds(count: int) -> bool:
        quantized.save(path, layers[:count])
        found = probes.run(path, runner)
        return probes.spearman(found) >= gate.min_spearman and probes.worst_map(found) >= gate.min_map_correlation

    return holds
