"""What an axis of a value stands for: channels, rows or columns of the picture, and how operators rearrange them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Axes",
    "Axis",
    "Factor",
    "joined",
    "labels_of",
    "merged",
    "plain",
    "reshaped",
    "resized",
    "sliced",
    "unknown",
]


@dataclass(frozen=True)
class Factor:
    """One of the numbers whose product is the length of an axis.

    Attributes:
        label: ``n`` (batch), ``c`` (channels), ``h`` (rows), ``w`` (columns), ``?`` (not known) or ``+``: pieces that
            a ``Concat`` put one after the other.
        size: how many steps it has.
        stride: how many of the smallest steps of its label one step is: 56 rows cut into 8 windows of 7 are
            ``(h, 8, 7)`` and ``(h, 7, 1)``.
        parts: of ``+``: the length and the axis of each piece.
    """

    label: str
    size: int
    stride: int = 1
    parts: tuple[tuple[int, tuple[Factor, ...]], ...] = ()


Axis = tuple[Factor, ...]
"""The factors of an axis, the last one moves fastest. An axis of length 1 has none."""

Axes = tuple[Axis, ...]


def plain(label: str, size: int) -> Axis:
    """An axis that is one thing."""
    return () if size == 1 else (Factor(label, size),)


def unknown(shape: Sequence[int]) -> Axes:
    """Axes of which nothing is known."""
    return tuple(plain("?", size) for size in shape)


def length(axis: Axis) -> int:
    return math.prod(factor.size for factor in axis)


def labels_of(axis: Axis) -> set[str]:
    """All labels of an axis, those of its pieces too."""
    inner = (labels_of(part) for factor in axis for _, part in factor.parts)
    return {factor.label for factor in axis if factor.label != "+"}.union(*inner)


def merged(first: Axis, second: Axis) -> Axis:
    """What is known of an axis by two values of one shape; nothing where they contradict each other."""
    if first == second or labels_of(second) <= {"?"}:
        return first
    return second if labels_of(first) <= {"?"} else plain("?", length(first))


def resized(axis: Axis, size: int) -> Axis:
    """The axis after an operator that keeps its order and changes its length: a pool, a crop, a stride."""
    if length(axis) == size:
        return axis
    labels = labels_of(axis)
    return plain(labels.pop() if len(labels) == 1 and len(axis) == 1 and not axis[0].parts else "?", size)


def joined(axes: Sequence[Axis], sizes: Sequence[int]) -> Axis:
    """The axis along which a ``Concat`` put its inputs one after the other."""
    labels = set().union(*(labels_of(axis) for axis in axes))
    simple = all(len(axis) <= 1 and not any(factor.parts for factor in axis) for axis in axes)
    if len(labels) == 1 and simple:
        known = [size for axis, size in zip(axes, sizes, strict=True) if not axis and size == 1]
        if not known or labels == {"c"}:
            return plain(labels.pop(), sum(sizes))
    parts: list[tuple[int, Axis]] = []
    for axis, size in zip(axes, sizes, strict=True):
        pieces = axis[0].parts if len(axis) == 1 else ()
        parts.extend(pieces or [(size, axis)])
    return (Factor("+", sum(sizes), parts=tuple(parts)),)


def sliced(axis: Axis, start: int, stop: int) -> Axis:
    """The axis from ``start`` to ``stop``: pieces are dropped whole, or nothing is known of what is left."""
    if start == 0 and stop == length(axis):
        return axis
    if len(axis) != 1 or not axis[0].parts:
        return resized(axis, stop - start)
    kept, position = [], 0
    for size, part in axis[0].parts:
        if position >= start and position + size <= stop:
            kept.append((size, part))
        elif position < stop and position + size > start:
            kept.append((min(stop, position + size) - max(start, position), ()))
            if labels_of(part) - {"?"}:
                return plain("?", stop - start)
        position += size
    return kept[0][1] if len(kept) == 1 else joined([part for _, part in kept], [size for size, _ in kept])


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """The same numbers in the same order in another shape."""
    left = [factor for axis in reversed(axes) for factor in reversed(axis)]
    found = []
    for size in shape:
        taken, rest = [], size
        while rest > 1:
            factor = left.pop() if left else Factor("?", 1)
            if rest % factor.size == 0 and factor.size > 1:
                taken.append(factor)
                rest //= factor.size
            elif factor.size % rest == 0 and not factor.parts:
                inner = factor.size // rest
                taken.append(Factor(factor.label, rest, factor.stride * inner))
                left.append(Factor(factor.label, inner, factor.stride))
                rest = 1
            else:
                return unknown(shape)
        found.append(_contiguous(taken))
    return tuple(found)


def _contiguous(factors: Iterable[Factor]) -> Axis:
    """Neighbours that are one thing cut in two become one again."""
    found: list[Factor] = []
    for factor in factors:
        last = found[-1] if found else None
        together = last is not None and last.label == factor.label and not last.parts and not factor.parts
        if together and last is not None and (last.label == "?" or last.stride == factor.size * factor.stride):
            found[-1] = Factor(factor.label, last.size * factor.size, factor.stride)
        else:
            found.append(factor)
    return tuple(found)
