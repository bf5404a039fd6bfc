"""Reading and making constants of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_constant", "read_array", "read_scalar", "same_scalar"]


def read_array(value: ir.Value | None) -> NDArray[Any] | None:
    """The content of an initializer or of a ``Constant`` node, ``None`` for a value known at run time only."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def read_scalar(value: ir.Value | None) -> float | None:
    """A constant with one element, of any rank, as a float."""
    array = read_array(value)
    return None if array is None or array.size != 1 else float(array.reshape(()))


def same_scalar(value: ir.Value | None, expected: float) -> bool:
    """Whether the value is a constant with that one element."""
    return read_scalar(value) == expected


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
    """A new initializer of the graph. ``name`` gets a number where it is taken."""
    free, count = name, 0
    while free in graph.initializers:
        count += 1
        free = f"{name}_{count}"
    value = ir.val(free, const_value=ir.tensor(np.ascontiguousarray(array), name=free))
    graph.register_initializer(value)
    return value
