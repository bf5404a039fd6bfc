"""Which int8 layers do the most harm, and how many of them have to be in float until the gate holds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.quantize.int8_graph import QuantizedGraph
    from edge_ad_export.variants.probes import Probe, Probes, Runner

__all__ = ["Ranking", "Search", "fewest_floats", "rank_layers", "where_to_begin"]


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


def where_to_begin(search: Search, sums: int, most: int) -> int | None:
    """How many of the layers, the first of which are sums, are in float in the form that the gate is asked about first:
    the sums alone, unless the probes speak against it. ``None`` where ``most`` in float are not enough."""
    if sums and not search.refutes(sums):
        return sums
    count = fewest_floats(most, search.holds) or (None if search.refutes(most) else most)
    return None if count is None else max(count, sums)


# So many groups of neighbours are measured, where they have two layers each at least.
_GROUPS = 16
# Rankings are compared with this part of the layers in float.
_COMPARED = 1 / 3
# In place of an infinite damage, which has no differences.
_LARGEST = 1e9


@dataclass(frozen=True)
class Ranking:
    """``layers``: all int8 layers, the sums first, then the most harmful, products of a shortlist last. ``unmeasured``:
    how many of those that were to be measured there was no time for."""

    layers: tuple[str, ...]
    unmeasured: int = 0


def rank_layers(
    quantized: QuantizedGraph,
    probes: Probes,
    runner: Runner,
    folder: Path,
    deadline_s: float,
    *,
    thorough: bool = False,
) -> Ranking:
    """Puts layers to float and measures how much damage is gone: groups of neighbours, because a single layer in float
    between two in int8 changes little; one by one where there are too few layers for groups. Sums are always in float,
    and the products of a shortlist are the last that are, because their errors are mended.

    NNCF's own accuracy control does the same, but can be neither stopped in time nor told what precision the engine
    is to calculate in, which on CPUs with AMX drowns the effect of a layer in that of bfloat16.

    Args:
        folder: for temporary files.
        deadline_s: of ``time.monotonic``; what has not been measured then follows in the order of
            :attr:`QuantizedGraph.layers`.
        thorough: layers are measured one by one too, and the better ranking is kept.
    """
    path = folder / f"candidate.{'xml' if runner.engine == 'openvino' else 'onnx'}"
    sums, shortlists = quantized.sums, quantized.shortlists
    layers = tuple(layer for layer in quantized.layers if layer not in (*sums, *shortlists))

    def left(floats: Sequence[str]) -> float:
        quantized.save(path, (*sums, *floats))
        return min(probes.damage(probes.run(path, runner)), _LARGEST)

    found = _ranked(layers, left, deadline_s, thorough=thorough)
    return Ranking((*sums, *found.layers, *shortlists), found.unmeasured)


def _ranked(
    layers: Sequence[str], left: Callable[[Sequence[str]], float], deadline_s: float, *, thorough: bool
) -> Ranking:
    if len(layers) < 2 * _GROUPS:
        return _by_groups([(layer,) for layer in layers], left, deadline_s)
    ends = [round(number * len(layers) / _GROUPS) for number in range(_GROUPS + 1)]
    by_groups = _by_groups([layers[start:end] for start, end in pairwise(ends)], left, deadline_s)
    if not thorough:
        return by_groups
    one_by_one = _by_groups([(layer,) for layer in layers], left, deadline_s)
    count = round(_COMPARED * len(layers))
    best = min((by_groups, one_by_one), key=lambda ranking: left(ranking.layers[:count]))
    return Ranking(best.layers, one_by_one.unmeasured)


def _by_groups(groups: Sequence[Sequence[str]], left: Callable[[Sequence[str]], float], deadline_s: float) -> Ranking:
    """The layers of the groups, those first whose floats take away most damage for each layer.

    ``left``: the damage that is left with some layers in float.
    """
    whole, gains = None, dict[int, float]()
    for number, group in enumerate(groups):
        if monotonic() > deadline_s:
            break
        whole = left(()) if whole is None else whole
        gains[number] = (whole - left(group)) / len(group)
    measured = sorted(gains, key=lambda number: -gains[number])
    rest = [number for number in range(len(groups)) if number not in gains]
    ordered = [layer for number in (*measured, *rest) for layer in groups[number]]
    return Ranking(tuple(ordered), sum(len(groups[number]) for number in rest))
