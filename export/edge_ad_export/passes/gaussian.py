"""Makes the distance from a Gaussian at every position of a map cheap and small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import behind_reshapes, known_shape, made_by, read_array, reduced_axes
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.passes.channel_sources import ChannelSource, channel_sources
from edge_ad_export.passes.gaussian_levels import FeatureGrid, Level, split_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["GaussianPass"]


@dataclass(frozen=True)
class _Distance:
    """``d' precision d`` with ``d = features - mean``. ``mean``: ``(k, n)``, ``precision``: ``(n, k, k)``."""

    node: ir.Node
    channels: tuple[ChannelSource, ...]
    mean: NDArray[np.floating]
    precision: NDArray[np.floating]


class GaussianPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: the squared Mahalanobis distance ``d' P d`` of every position, as PaDiM takes it (Defard et al. 2021, eq. 2),
    becomes ``|L' d|^2`` with Cholesky's factor of ``P``, where it is not that already. Features that were upsampled by
    repetition are whitened at their own size: their part of the factor is the same all over a block, and is kept,
    multiplied and read from memory once. Blocks may differ in size, as where 15 pixels fill 63. The features are
    picked before they are upsampled. With three levels of 2:1 this is a quarter of the constants and of the work. See
    :func:`~edge_ad_export.passes.gaussian_levels.split_levels`.

    ``energy`` below 1 drops directions of each level, which changes the scores.

    Ensures: the same distances up to rounding, for ``energy`` 1.

    Raises:
        ModelError: ``energy`` is below 1 and there is no such distance.
    """

    def __init__(self, energy: float = 1.0) -> None:
        super().__init__()
        self.energy = energy

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            found = _match(node)
            if found is not None:
                modified = self._rewrite(model.graph, found) or modified
        if self.energy < 1 and not modified:
            raise ModelError("there is no Gaussian at every place in this model to truncate: leave --energy out")
        return ir.passes.PassResult(model, modified)

    def _rewrite(self, graph: ir.Graph, found: _Distance) -> bool:
        rows, columns = ([getattr(one, axis) for one in found.channels] for axis in ("rows", "columns"))
        grid = FeatureGrid(tuple(rows), tuple(columns))
        try:
            levels = split_levels(found.mean, found.precision, grid, self.energy)
        except np.linalg.LinAlgError:
            return False
        build = GraphBuilder(graph, found.node)
        result = _build(build, found, levels)
        result = build.reshape(result, known_shape(found.node.outputs[0]))
        build.commit()
        ir.convenience.replace_all_uses_with(found.node.outputs[0], result, replace_graph_outputs=True)
        graph.remove(found.node, safe=True)
        return True


def _match(node: ir.Node) -> _Distance | None:
    if node.op_type not in ("ReduceSum", "ReduceSumSquare") or reduced_axes(node) != (2,):
        return None
    if static_shape(node.outputs[0]) is None:
        return None
    return _quadratic(node) if node.op_type == "ReduceSum" else _whitened(node)


def _quadratic(node: ir.Node) -> _Distance | None:
    """``sum((d @ precision) * d)``, as exporters write it."""
    product = made_by(node.inputs[0], "Mul")
    if product is None:
        return None
    for value, delta in (product.inputs, reversed(product.inputs)):
        matmul = made_by(value, "MatMul")
        if matmul is not None and delta is not None and matmul.inputs[0] is delta:
            return _around(node, delta, read_array(matmul.inputs[1]))
    return None


def _whitened(node: ir.Node) -> _Distance | None:
    """``sum((d @ factor)^2)`` with ``factor factor' = precision``, as our own head writes it."""
    matmul = made_by(node.inputs[0], "MatMul")
    factor = None if matmul is None else read_array(matmul.inputs[1])
    if matmul is None or matmul.inputs[0] is None or factor is None or factor.ndim != 3:
        return None
    wide = factor.astype(np.float64)
    return _around(node, matmul.inputs[0], wide @ wide.swapaxes(1, 2))


def _around(node: ir.Node, delta: ir.Value, precision: NDArray[np.floating] | None) -> _Distance | None:
    """``delta``: ``[n, 1, k]``, a transposed difference of feature maps and a mean."""
    transpose = made_by(delta, "Transpose")
    if transpose is None or tuple(transpose.attributes.get_ints("perm", ())) != (2, 0, 1):
        return None
    difference = made_by(transpose.inputs[0], "Sub")
    mean = None if difference is None else read_array(difference.inputs[1])
    if difference is None or difference.inputs[0] is None or mean is None or precision is None:
        return None
    features = behind_reshapes(difference.inputs[0])
    shape, channels = static_shape(features), channel_sources(features)
    if shape is None or channels is None or precision.shape != (shape[2] * shape[3], shape[1], shape[1]):
        return None
    if mean.size != shape[1] * shape[2] * shape[3]:
        return None
    return _Distance(node, channels, mean.reshape(shape[1], -1), precision)


def _build(build: GraphBuilder, found: _Distance, levels: Sequence[Level]) -> ir.Value:
    """The squared distances ``[1, 1, h, w]``: each level adds its own to those of the coarser ones."""
    seen: ir.Value | None = None
    total: ir.Value | None = None
    before = levels[0]
    for level in levels:
        mean = build.constant("gaussian_mean", level.mean[None])
        own = build.op("Sub", _pick(build, found, level), mean, shape=(1, *level.mean.shape))
        if seen is not None and total is not None:
            rows, columns = _cells(before.rows, level.rows), _cells(before.columns, level.columns)
            seen, total = (_repeat(build, value, rows, columns) for value in (seen, total))
            own = _concat(build, [own, seen])
        seen, before = own, level
        squared = _squared(build, seen, level)
        total = squared if total is None else build.op("Add", total, squared, shape=known_shape(squared))
    if total is None:
        raise AssertionError("there is at least one level")
    return total


def _cells(coarse: Sequence[int], fine: Sequence[int]) -> list[int]:
    """In which of the coarse cells each of the fine ones lies, both by where they start."""
    return [int(index) for index in np.searchsorted(coarse, fine, side="right") - 1]


def _pick(build: GraphBuilder, found: _Distance, level: Level) -> ir.Value:
    """The level's features at the level's size; a source that is finer-grained in the graph is repeated."""
    parts: list[ir.Value] = []
    wanted = [found.channels[index] for index in level.features]
    while wanted:
        source, first = wanted[0].source, wanted[0]
        run = [channel.index for channel in _leading(wanted)]
        wanted = wanted[len(run) :]
        shape = known_shape(source)
        indices = build.constant("channels", np.array(run, np.int64))
        part = build.op("Gather", source, indices, shape=(1, len(run), *shape[2:]), axis=1)
        rows, columns = [first.rows[row] for row in level.rows], [first.columns[column] for column in level.columns]
        parts.append(_repeat(build, part, rows, columns))
    return _concat(build, parts)


def _leading(channels: Sequence[ChannelSource]) -> list[ChannelSource]:
    """The first ones, as far as they come from one source and are repeated alike."""
    first = (channels[0].source, channels[0].rows, channels[0].columns)
    same = [(channel.source, channel.rows, channel.columns) == first for channel in channels]
    return list(channels[: same.index(False) if False in same else len(same)])


def _squared(build: GraphBuilder, seen: ir.Value, level: Level) -> ir.Value:
    shape = known_shape(seen)
    cells, rank = shape[2] * shape[3], level.whitening.shape[2]
    # Channels last is how OpenVINO keeps feature maps anyway.
    pixels = build.op("Transpose", seen, shape=(1, *shape[2:], shape[1]), perm=(0, 2, 3, 1))
    vectors = build.reshape(pixels, (cells, 1, shape[1]))
    white = build.op("MatMul", vectors, build.constant("whitening", level.whitening), shape=(cells, 1, rank))
    return build.reshape(build.reduce("ReduceSumSquare", white, [2], keepdims=False), (1, 1, *shape[2:]))


def _repeat(build: GraphBuilder, value: ir.Value, rows: Sequence[int], columns: Sequence[int]) -> ir.Value:
    """The map of these rows and columns of the value."""
    batch, channels, height, width = known_shape(value)
    times = len(rows) // height
    if [list(rows), list(columns)] == [[i // times for i in range(size * times)] for size in (height, width)]:
        return _repeat_evenly(build, value, times)
    for axis, picked in ((2, rows), (3, columns)):
        shape = (batch, channels, len(rows), width if axis == 2 else len(columns))
        value = build.op("Gather", value, build.constant("repeated", np.array(picked)), shape=shape, axis=axis)
    return value


def _repeat_evenly(build: GraphBuilder, value: ir.Value, times: int) -> ir.Value:
    if times == 1:
        return value
    batch, channels, height, width = known_shape(value)
    scales = build.constant("repeat", np.array([1, 1, times, times], np.float32))
    return build.op(
        "Resize",
        value,
        None,
        scales,
        shape=(batch, channels, height * times, width * times),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _concat(build: GraphBuilder, parts: Sequence[ir.Value]) -> ir.Value:
    if len(parts) == 1:
        return parts[0]
    shapes = [known_shape(part) for part in parts]
    channels = sum(shape[1] for shape in shapes)
    return build.op("Concat", *parts, shape=(1, channels, *shapes[0][2:]), axis=1)
