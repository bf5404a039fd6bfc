"""Which part of a graph extracts features, and may be quantized; preprocessing and head stay in float.

A Mahalanobis form, a blur or what follows the distances to a memory bank lose the order of the scores when they are
quantized, while the convolutions before them bear it. So does the product of patches and bank, which takes most of the
time where there is one: summed in 32 bits and turned back to float at once, it shifts distances by a few thousandths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FLOAT_ONLY", "SHORTLIST", "Op", "find_backbone", "is_heavy", "is_smoothing"]

FLOAT_ONLY: Final = "float_only_"
"""What the name of an operation begins with that is never quantized."""
SHORTLIST: Final = "shortlist_"
"""What the name of a product begins with whose errors are mended afterwards: it makes the shortlist of a search."""

# A kernel of weights that are stored in float32 sums to 1 within this.
_UNIT_SUM_TOLERANCE = 1e-3
# Products with fewer constants, such as the two that upsample a map, take no time worth saving.
_HEAVY_ELEMENTS = 300_000


@dataclass(frozen=True)
class Op:
    """One operation of a graph, whatever the engine that it is written for.

    ``feeds``: the names of the operations it takes its inputs from. ``kernel``: the constant weights of a
    convolution, output channels first. ``linear``: a product with constant weights; ``heavy``: with so many that it
    is a good part of the work. ``sums``: it adds up two results of others, as a residual block does.
    """

    name: str
    feeds: tuple[str, ...]
    kernel: NDArray[np.floating] | None = None
    linear: bool = False
    heavy: bool = False
    sums: bool = False


def is_smoothing(kernel: NDArray[np.floating]) -> bool:
    """Whether each filter is a weighted mean of one channel, as a blur of the map is: it makes no feature.

    ``kernel``: floats ``(filters, channels, ...)``.
    """
    if kernel.ndim < 3 or kernel.shape[1] != 1 or kernel.min() < 0:
        return False
    sums = kernel.reshape(kernel.shape[0], -1).sum(axis=1)
    return bool(np.all(np.abs(sums - 1) < _UNIT_SUM_TOLERANCE))


def is_heavy(weights: NDArray[np.floating]) -> bool:
    """Whether a product with these weights is a good part of the work, as the search of a memory bank is."""
    return weights.ndim == 2 and weights.size >= _HEAVY_ELEMENTS


def find_backbone(ops: Sequence[Op], *, shortlists: bool = True) -> frozenset[str]:
    """The names of the operations that may be quantized. ``ops`` are in the order of execution. ``shortlists``: the
    products that make the shortlist of a search are among them.

    These are the feature convolutions (all but smoothing ones), what lies between two of them, products with constant
    weights before one of them, and heavy ones or those of a shortlist after them. Not among them: the preprocessing,
    before the first, and the rest of the head, after the last.
    """
    features = [op.name for op in ops if op.kernel is not None and not is_smoothing(op.kernel)]
    feeds = {op.name: op.feeds for op in ops}
    users: dict[str, list[str]] = {op.name: [] for op in ops}
    for op in ops:
        for source in op.feeds:
            users.setdefault(source, []).append(op.name)
    before, after = _reachable(features, feeds), _reachable(features, users)
    linear = {op.name for op in ops if op.linear}
    heavy = {op.name for op in ops if op.heavy and not op.name.startswith(FLOAT_ONLY)}
    of_shortlists = {op.name for op in ops if op.name.startswith(SHORTLIST)}
    heavy = heavy | of_shortlists if shortlists else heavy - of_shortlists
    return frozenset(features) | (before & after) | (before & linear) | (after & heavy)


def _reachable(starts: Iterable[str], edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """What can be reached from the starts in one step or more."""
    found: set[str] = set()
    queue = list(starts)
    while queue:
        for name in edges.get(queue.pop(), ()):
            if name not in found:
                found.add(name)
                queue.append(name)
    return frozenset(found)
