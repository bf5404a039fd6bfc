"""Recognises squared Euclidean distances in the form in which exporters write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.graph.match import behind_reshapes, made_by, read_array, read_scalar, reduced_axes, same_scalar
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["Points", "SquaredDistance", "are_norms", "match_squared_distance", "norms_taken_of", "squared_norms"]

# Row norms stored in a file were summed in float32, in whatever order.
_NORM_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Points:
    """One vector a row: ``array`` where they are constant, else the ``value`` that holds them."""

    value: ir.Value | None
    array: NDArray[np.floating] | None


@dataclass(frozen=True)
class SquaredDistance:
    """``|l|^2 - 2 l r' + |r|^2`` of every row of ``left`` and every row of ``right``.

    ``left_norms``: the squared norms of the left rows, with a last dimension of 1.
    """

    left: ir.Value
    left_norms: ir.Value
    right: Points


@dataclass(frozen=True)
class _Term:
    factor: float
    value: ir.Value


def match_squared_distance(value: ir.Value) -> SquaredDistance | None:
    """The distance whose square this value is, in any order of the three terms; ``None`` for another sum."""
    terms = _terms(value, 1.0)
    products = [term for term in terms if term.factor == -2 and made_by(term.value, "MatMul")]
    others = [term.value for term in terms if term.factor == 1]
    if len(terms) != 3 or len(products) != 1 or len(others) != 2:
        return None
    node = products[0].value.producer()
    left = None if node is None else node.inputs[0]
    if node is None or left is None:
        return None
    right = _transposed(node.inputs[1])
    own = [other for other in others if norms_taken_of(other) is left]
    rest = [other for other in others if not any(other is o for o in own)]
    if right is None or len(own) != 1 or not _are_norms(rest[0], right):
        return None
    return SquaredDistance(left, own[0], right)


def squared_norms(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of every row of ``(n, d)``, summed in double precision: ``(n,)``."""
    norms: NDArray[np.float64] = np.square(points, dtype=np.float64).sum(axis=-1)
    return norms


def are_norms(array: NDArray[np.floating], points: NDArray[np.floating]) -> bool:
    """Whether the array, of any shape, holds the squared norms of the points' rows."""
    if array.size != len(points):
        return False
    return bool(np.allclose(array.ravel(), squared_norms(points), rtol=_NORM_TOLERANCE))


def _terms(value: ir.Value, factor: float) -> list[_Term]:
    """The value as a sum of multiples of others."""
    node = made_by(value, "Add", "Sub", "Mul", "Neg")
    if node is None or node.inputs[0] is None:
        return [_Term(factor, value)]
    if node.op_type == "Neg":
        return _terms(node.inputs[0], -factor)
    first, second = node.inputs
    if first is None or second is None:
        return [_Term(factor, value)]
    if node.op_type == "Mul":
        for operand, scale in ((first, read_scalar(second)), (second, read_scalar(first))):
            if scale is not None:
                return _terms(operand, factor * scale)
        return [_Term(factor, value)]
    return _terms(first, factor) + _terms(second, -factor if node.op_type == "Sub" else factor)


def _transposed(value: ir.Value | None) -> Points | None:
    """The rows that a product takes as columns."""
    if value is None:
        return None
    array = read_array(value)
    if array is not None:
        return Points(None, array.swapaxes(-1, -2))
    node, shape = made_by(value, "Transpose"), static_shape(value)
    if node is None or shape is None or node.inputs[0] is None:
        return None
    rank = len(shape)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    if tuple(node.attributes.get_ints("perm", tuple(reversed(range(rank))))) != swapped:
        return None
    return Points(node.inputs[0], read_array(node.inputs[0]))


def norms_taken_of(value: ir.Value) -> ir.Value | None:
    """What is squared and summed over its last dimension; ``None`` for a value made otherwise."""
    node, shape = made_by(value, "ReduceSum", "ReduceSumSquare"), static_shape(value)
    if node is None or shape is None or node.attributes.get_int("keepdims", 1) != 1:
        return None
    if reduced_axes(node) != (len(shape) - 1,):
        return None
    if node.op_type == "ReduceSumSquare":
        return node.inputs[0]
    square = made_by(node.inputs[0], "Pow", "Mul")
    if square is None:
        return None
    twice = same_scalar(square.inputs[1], 2) if square.op_type == "Pow" else square.inputs[0] is square.inputs[1]
    return square.inputs[0] if twice else None


def _are_norms(value: ir.Value, points: Points) -> bool:
    """Whether the value holds the points' squared norms, one a column."""
    array = read_array(value)
    if array is not None and points.array is not None:
        return are_norms(array, points.array)
    node = made_by(value, "Transpose")
    source = node.inputs[0] if node is not None else behind_reshapes(value)
    return source is not None and points.value is not None and norms_taken_of(source) is points.value
