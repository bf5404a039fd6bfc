"""Computes large convolutions with fewer multiplications."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array
from edge_ad_export.graph.static_shape import static_shape

__all__ = ["WinogradPass", "transforms"]

_KERNELS = (3, 4, 5)
_TILES = (2, 3, 4)
# Where the polynomials are taken; infinity is the last one. With more of them float32 loses its digits.
_POINTS = tuple(Fraction(*ratio) for ratio in ((0, 1), (1, 1), (-1, 1), (2, 1), (-1, 2), (1, 2), (-2, 1)))
# A number that is moved into or out of the transformed domain takes the time of so many multiplications (measured in
# both engines: 3 ns at 55 GMAC/s).
_NUMBER_COST = 165
# Products of narrower matrices do not reach the speed that this counts with.
_TILES_MIN = 49
# A saving that is not large is lost where the engine would have done the convolution together with its neighbours.
_SAVING_MIN = 1.4


class WinogradPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: a ``Conv`` with a kernel of 3x3, 4x4 or 5x5, without stride, dilation or groups, is computed tile by tile in
    the domain of polynomials (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308): tiles of the input and the kernel
    are transformed, multiplied, and transformed back. This is done only where it saves much by the count of
    multiplications and of numbers moved. Engines transform the kernels when they load the model.

    Ensures: the same sums in another order: up to 6.2 times fewer multiplications, an error of some 1e-5 of the
    largest output.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            found = _convolution(node)
            if found is not None:
                _rewrite(model.graph, node, found)
                modified = True
        if modified:
            common_passes.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


@dataclass(frozen=True)
class _Convolution:
    """``source``: float32 ``(1, C, H, W)``; ``weights``: float32 ``(K, C, r, r)``; ``pads``: top, left, bottom, right;
    ``input``: ``(C, H, W)``; ``output``: ``(K, H', W')``; ``tile``: outputs a tile has along an axis."""

    source: ir.Value
    weights: NDArray[np.float32]
    pads: tuple[int, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    tile: int

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles along the height and the width."""
        return -(-self.output[1] // self.tile), -(-self.output[2] // self.tile)


def transforms(tile: int, kernel: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The matrices of the Toom-Cook algorithm: ``backward @ ((kernels @ g) * (forward @ d))`` are the ``tile`` inner
    products of the ``kernel`` numbers of ``g`` with ``d``, which has ``n = tile + kernel - 1`` numbers.

    Returns ``backward`` float64 ``(tile, n)``, ``kernels`` ``(n, kernel)`` and ``forward`` ``(n, n)``.
    """
    points = _POINTS[: tile + kernel - 2]
    scale = [prod((one - other for other in points if other != one), start=Fraction(1)) for one in points]
    backward = [[point**i for point in points] + [Fraction(int(i == tile - 1))] for i in range(tile)]
    kernels = [[point**i / by for i in range(kernel)] for point, by in zip(points, scale, strict=True)]
    kernels.append([Fraction(int(i == kernel - 1)) for i in range(kernel)])
    forward = [[*_with_roots([other for other in points if other != one]), Fraction(0)] for one in points]
    forward.append(_with_roots(points))
    return np.array(backward, np.float64), np.array(kernels, np.float64), np.array(forward, np.float64)


def _with_roots(roots: list[Fraction] | tuple[Fraction, ...]) -> list[Fraction]:
    """The coefficients of the polynomial that has these roots, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        higher = [Fraction(0), *found]
        found = [one - root * other for one, other in zip(higher, [*found, Fraction(0)], strict=True)]
    return found


def _convolution(node: ir.Node) -> _Convolution | None:
    """What is worth to be rewritten; ``None`` for any other node."""
    weights = read_array(node.inputs[1]) if node.op_type == "Conv" else None
    if weights is None or weights.ndim != 4 or weights.dtype != np.float32 or not _is_plain(node):
        return None
    source, kernel = node.inputs[0], weights.shape[2]
    before = None if source is None else static_shape(source)
    after = static_shape(node.outputs[0])
    if source is None or before is None or after is None:
        return None
    if before[0] != 1 or kernel != weights.shape[3] or kernel not in _KERNELS:
        return None
    pads = tuple(node.attributes.get_ints("pads", (0, 0, 0, 0)))
    candidates = [_Convolution(source, weights, pads, before[1:], after[1:], tile) for tile in _TILES]
    best = min(candidates, key=_cost)
    products = weights.size * prod(after[2:])
    return best if prod(best.grid) >= _TILES_MIN and products >= _SAVING_MIN * _cost(best) else None


def _is_plain(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        and attributes.get_int("group", 1) == 1
        and set(attributes.get_ints("strides", (1,))) == {1}
        and set(attributes.get_ints("dilations", (1,))) == {1}
    )


def _cost(of: _Convolution) -> int:
    """In multiplications."""
    outputs, inputs, kernel, _ = of.weights.shape
    places = (of.tile + kernel - 1) ** 2 * prod(of.grid)
    return int(places * (outputs * inputs + _NUMBER_COST * (outputs + inputs)))


def _rewrite(graph: ir.Graph, node: ir.Node, found: _Convolution) -> None:
    outputs, inputs, kernel, _ = found.weights.shape
    tile, (down, across) = found.tile, found.grid
    side = tile + kernel - 1
    backward, kernels, forward = transforms(tile, kernel)
    build = GraphBuilder(graph, node, prefix="winograd_")

    flat = build.constant("kernels", found.weights.reshape(outputs * inputs, kernel**2).T)
    stack = build.op(
        "MatMul", build.constant("of_kernels", _both_axes(kernels)), flat, shape=(side**2, outputs * inputs)
    )
    stack = build.reshape(stack, (side**2, outputs, inputs))

    tiles = build.op(
        "Conv",
        build.reshape(found.source, (inputs, 1, *found.input[1:])),
        build.constant("of_tiles", _both_axes(forward).reshape(side**2, 1, side, side)),
        shape=(inputs, side**2, down, across),
        strides=(tile, tile),
        pads=_pads(found, side),
    )
    tiles = build.reshape(tiles, (inputs, side**2, down * across))
    tiles = build.op("Transpose", tiles, shape=(side**2, inputs, down * across), perm=(1, 0, 2))
    product = build.op("MatMul", stack, tiles, shape=(side**2, outputs, down * across))
    product = build.reshape(product, (side**2, outputs * down * across))
    result = build.op(
        "MatMul", build.constant("of_product", _both_axes(backward)), product, shape=(tile**2, outputs * down * across)
    )
    result = build.reshape(result, (tile, tile, outputs, down, across))
    result = build.op("Transpose", result, shape=(outputs, down, tile, across, tile), perm=(2, 3, 0, 4, 1))
    result = build.reshape(result, (1, outputs, down * tile, across * tile))
    result = _with_bias(build, _cropped(build, result, found), node)
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], result, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _both_axes(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """The matrix along rows and columns at once: ``(a, b)`` becomes ``(a * a, b * b)``."""
    return np.kron(matrix, matrix).astype(np.float32)


def _pads(found: _Convolution, side: int) -> tuple[int, ...]:
    """With what the last tiles need beyond the padded input."""
    top, left, bottom, right = found.pads
    down, across = found.grid
    more_down = (down - 1) * found.tile + side - (found.input[1] + top + bottom)
    more_across = (across - 1) * found.tile + side - (found.input[2] + left + right)
    return top, left, bottom + more_down, right + more_across


def _cropped(build: GraphBuilder, value: ir.Value, found: _Convolution) -> ir.Value:
    if known_shape(value)[1:] == found.output:
        return value
    starts, ends = np.zeros(2, np.int64), np.array(found.output[1:], np.int64)
    given = [build.constant(name, array) for name, array in (("starts", starts), ("ends", ends))]
    axes = build.constant("axes", np.array([2, 3], np.int64))
    return build.op("Slice", value, *given, axes, shape=(1, *found.output))


def _with_bias(build: GraphBuilder, value: ir.Value, node: ir.Node) -> ir.Value:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return value
    shape = known_shape(value)
    return build.op("Add", value, build.reshape(bias, (1, shape[1], 1, 1)), shape=shape)
