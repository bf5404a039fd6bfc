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
    from edge_ad_export.variants.probes import Probe, Probes, Runner

__all__ = ["Ranking", "Search", "fewest_floats", "rank_layers"]


def fewest_floats(most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number of layers, 1 to ``most``, that have to be in float; ``None`` where ``most`` do not suffice.

    By bisection: it asks about some ``log2(most)`` numbers, and takes for granted that more in float is no worse.
    """
    if most < 1 or not holds(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Search:
    """Tries how many of the ``layers`` have to be in float, on the probes; ``path``: of a temporary file.

    The probes are too few for the interval that the gate asks for: on them even a graph that is all but in float is
    not certain to be above the limit. So they say where to begin, and the gate itself decides how to go on.
    """

    probes: Probes
    runner: Runner
    quantized: QuantizedGraph
    layers: tuple[str, ...]
    gate: Gate
    path: Path

    def holds(self, count: int) -> bool:
        """Whether the gate's correlations hold on the probes with so many of the layers in float.

        What else the gate asks takes more than the probes can tell: the highest pixels of a few normals are no measure
        of those of all, and where a defect lies is known of whole frames, not of what the model is given.
        """
        found = self._run(count)
        return self.probes.spearman(found) >= self.gate.min_spearman and self._maps_hold(found)

    def refutes(self, count: int) -> bool:
        """Whether the maps fail on the probes, or the rank correlation by more than its interval is wide."""
        found = self._run(count)
        correlation = self.probes.spearman(found)
        highest = 2 * correlation - self.probes.spearman_low(found)
        return highest < self.gate.min_spearman or not self._maps_hold(found)

    def _maps_hold(self, found: Probe) -> bool:
        return self.probes.worst_map(found) >= self.gate.min_map_correlation

    def _run(self, count: int) -> Probe:
        self.quantized.save(self.path, self.layers[:count])
        return self.probes.run(self.path, self.runner)


@dataclass(frozen=True)
class Ranking:
    """``layers``: all int8 layers, the sums first, then the most harmful. ``measured``: how many of the others there
    was time for."""

    layers: tuple[str, ...]
    measured: int


def rank_layers(
    quantized: QuantizedGraph, probes: Probes, runner: Runner, folder: Path, most: int, deadline_s: float
) -> Ranking:
    """Puts one layer at a time to float and measures how much damage is gone: leave one out. Sums are in float always.

    NNCF's own accuracy control does the same, but can be neither stopped in time nor told what precision the engine
    is to calculate in, which on CPUs with AMX drowns the effect of a layer in that of bfloat16.

    Args:
        folder: for temporary files.
        most: how many layers are measured; the others follow in the order of :attr:`QuantizedGraph.layers`.
        deadline_s: of ``time.monotonic``; what has not been measured then follows likewise.
    """
    path = folder / f"candidate.{'xml' if runner.engine == 'openvino' else 'onnx'}"
    left: dict[str, float] = {}
    others = [layer for layer in quantized.layers if layer not in quantized.sums]
    for layer in others[:most]:
        if monotonic() > deadline_s:
            break
        quantized.save(path, (*quantized.sums, layer))
        left[layer] = probes.damage(probes.run(path, runner))
    rest = [layer for layer in others if layer not in left]
    return Ranking((*quantized.sums, *sorted(left, key=lambda layer: left[layer]), *rest), len(left))
