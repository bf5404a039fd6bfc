"""Counts what a graph has to compute and to move, operation by operation, and says which part of the model that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from edge_ad_export.graph.backbone import is_smoothing
from edge_ad_export.quantize.int8_graph import constant_of

__all__ = ["PARTS", "Part", "Work", "count", "total"]

Part = Literal["backbone", "head", "tail"]
PARTS: tuple[Part, ...] = ("backbone", "head", "tail")

# Engines calculate these while they write the result of the operation before, or move nothing at all.
_FREE = frozenset(
    (
        *("Parameter", "Result", "Constant", "ShapeOf", "Reshape", "Squeeze", "Unsqueeze", "Convert", "FakeQuantize"),
        *("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Abs", "Negative", "Sqrt", "Power", "Exp"),
        *("Relu", "PRelu", "Clamp", "Sigmoid", "Tanh", "Swish", "HSwish", "HSigmoid", "Gelu", "Round"),
    )
)
_DENSE, _GROUPED = {"Convolution", "ConvolutionBackpropData"}, {"GroupConvolution", "GroupConvolutionBackpropData"}
_CONVOLUTIONS = _DENSE | _GROUPED
# What may stand between a quantized value and the operation that takes it.
_CARRIERS = {"Convert", "Subtract", "Multiply", "Reshape", "Transpose", "Unsqueeze", "Squeeze"}
_8_BITS = {"u8", "i8"}
# Behind the backbone, a product with so many constants or with this share of all sums is what the head is about.
_HEAVY_ELEMENTS, _HEAVY_SHARE = 300_000, 0.05
# A network's layer has at most 4 times as many channels as the one before.
_LONG = 4


@dataclass(frozen=True)
class Work:
    """Of one operation or of several of them.

    ``float_macs`` and ``int8_macs``: multiplications with an addition each, by what they are calculated in.
    ``constant_bytes``: weights, each read once. ``value_bytes``: values read and written.
    """

    float_macs: int = 0
    int8_macs: int = 0
    constant_bytes: int = 0
    value_bytes: int = 0

    @property
    def macs(self) -> int:
        return self.float_macs + self.int8_macs

    @property
    def bytes(self) -> int:
        return self.constant_bytes + self.value_bytes


@dataclass(frozen=True)
class _Op:
    """``constants``: how many numbers it has as weights. ``is_feature``: a convolution that makes features,
    unless it ``is_long``: of single cells, to more channels than any layer of a network has for its input.
    """

    name: str
    feeds: tuple[str, ...]
    work: Work
    constants: int
    is_feature: bool
    is_long: bool = False


def count(model: Any) -> dict[str, tuple[Part, Work]]:
    """What every operation of an ``openvino.Model`` has to do, by its name, in the order of execution.

    Of operations whose sizes are known only at run time nothing is counted. The backbone is all that convolutions that
    make features need; the head is what large products behind them need; the tail is the rest.
    """
    ops = [_op(node) for node in model.get_ordered_ops() if node.get_type_name() not in {"Constant", "Result"}]
    feeds = {op.name: op.feeds for op in ops}
    features = [op for op in ops if op.is_feature]
    # On coarse features the search of a bank is a convolution: the last one, to each of the bank's many vectors.
    backbone = _with_all_before((op.name for op in features if not (op.is_long and op is features[-1])), feeds)
    enough = _HEAVY_SHARE * sum(op.work.macs for op in ops)
    heavy = (op.name for op in ops if op.work.macs and (op.constants >= _HEAVY_ELEMENTS or op.work.macs >= enough))
    head = _with_all_before(heavy, feeds) - backbone
    return {op.name: (_part(op.name, backbone, head), op.work) for op in ops}


def total(works: Iterable[Work]) -> Work:
    """The sum of them."""
    found = list(works)
    return Work(
        sum(work.float_macs for work in found),
        sum(work.int8_macs for work in found),
        sum(work.constant_bytes for work in found),
        sum(work.value_bytes for work in found),
    )


def _part(name: str, backbone: frozenset[str], head: frozenset[str]) -> Part:
    if name in backbone:
        return "backbone"
    return "head" if name in head else "tail"


def _op(node: Any) -> _Op:
    kind = node.get_type_name()
    feeds = tuple(value.get_source_output().get_node().get_friendly_name() for value in node.inputs())
    constants, values = 0, 0
    for port in node.inputs():
        if _is_constant(port.get_source_output().get_node()):
            constants += _elements(port)
        else:
            values += _elements(port)
    values += sum(_elements(port) for port in node.outputs())
    macs, is_int8 = _macs(node), _takes_int8(node)
    size = 1 if is_int8 else 4
    moved = (0, 0) if kind in _FREE else (constants * size, values * size)
    work = Work(0 if is_int8 else macs, macs if is_int8 else 0, *moved)
    is_feature = kind in _CONVOLUTIONS and not _smooths(node)
    return _Op(node.get_friendly_name(), feeds, work, constants, is_feature, is_feature and _is_long(node))


def _elements(port: Any) -> int:
    shape = port.get_partial_shape()
    return 0 if shape.is_dynamic else prod(int(size) for size in shape.to_shape())


def _is_constant(node: Any) -> bool:
    """Whether it is the same at every run: a constant, or what is calculated from constants alone."""
    kind = node.get_type_name()
    return kind == "Constant" or (
        kind in _FREE | _CARRIERS
        and kind not in {"Parameter", "ShapeOf"}
        and all(_is_constant(port.get_source_output().get_node()) for port in node.inputs())
    )


def _macs(node: Any) -> int:
    kind = node.get_type_name()
    if kind not in _CONVOLUTIONS | {"MatMul"}:
        return 0
    if kind == "MatMul":
        shape = node.input(0).get_partial_shape()
        if shape.is_dynamic:
            return 0
        sizes = [int(size) for size in shape.to_shape()]
        summed = sizes[-2] if node.get_attributes()["transpose_a"] and len(sizes) > 1 else sizes[-1]
        return _elements(node.output(0)) * summed
    weights = [int(size) for size in node.input(1).get_partial_shape().to_shape()][2 if kind in _GROUPED else 1 :]
    # A transposed convolution spreads each of its inputs over a kernel.
    spread = node.input(0) if "Backprop" in kind else node.output(0)
    return _elements(spread) * prod(weights)


def _takes_int8(node: Any) -> bool:
    if not node.inputs():
        return False
    source = node.input(0).get_source_output()
    while True:
        kind = source.get_node().get_type_name()
        if kind == "FakeQuantize":
            return True
        if kind == "Parameter":
            return False
        if source.get_element_type().get_type_name() in _8_BITS:
            return True
        if kind not in _CARRIERS:
            return False
        source = source.get_node().input(0).get_source_output()


def _is_long(node: Any) -> bool:
    if node.get_type_name() != "Convolution":
        return False
    made, taken, *kernel = (int(size) for size in node.input(1).get_partial_shape().to_shape())
    return prod(kernel) == 1 and made > _LONG * taken and made * taken >= _HEAVY_ELEMENTS


def _smooths(node: Any) -> bool:
    weights = constant_of(node.input(1))
    if weights is None:
        return False
    grouped = node.get_type_name() in _GROUPED
    return is_smoothing(weights.reshape(-1, *weights.shape[2:]) if grouped else weights)


def _with_all_before(names: Iterable[str], feeds: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """These operations and all that they need."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(feeds.get(name, ()))
    return frozenset(found)
