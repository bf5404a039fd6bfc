"""Which int8 layers do the most harm, and how many of them have to be in float until the gate holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.quantize.int8_graph import QuantizedGraph
    from edge_ad_export.variants.probes import Probes, Runner

__all__ = ["Ranking", "fewest_floats", "holds_on", "rank_layers"]


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
    probes: Probes, runner: Runner, quantized: QuantizedGraph, layers: tuple[str, ...], gate: Gate, path: Path
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


@dataclass(frozen=True)
class Ranking:
    """``layers``: all int8 layers, the most harmful first. ``measured``: how many of them there was time for."""

    layers: tuple[str, ...]
    measured: int


def rank_layers(quantized: QuantizedGraph, probes: Probes, runner: Runner, folder: Path, deadline_s: float) -> Ranking:
    """Puts one layer at a time to float and measures how much damage is gone: leave one out.

    NNCF's own accuracy control does the same, but can be neither stopped in time nor told what precision the engine
    is to calculate in, which on CPUs with AMX drowns the effect of a layer in that of bfloat16.

    Args:
        folder: for temporary files.
        deadline_s: of ``time.monotonic``; what has not been measured then follows in the order of
            :attr:`QuantizedGraph.layers`.
    """
    path = folder / f"candidate.{'xml' if runner.engine == 'openvino' else 'onnx'}"
    left: dict[str, float] = {}
    for layer in quantized.layers:
        if monotonic() > deadline_s:
            break
        quantized.save(path, (layer,))
        left[layer] = probes.damage(probes.run(path, runner))
    rest = [layer for layer in quantized.layers if layer not in left]
    return Ranking((*sorted(left, key=lambda layer: left[layer]), *rest), len(left))
