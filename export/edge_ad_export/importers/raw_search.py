"""Recognises a clamp to 0..1 of an affine function of one value, in the graphs of both libraries by one rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import onnx_ir as ir

from edge_ad_export.graph.backbone import is_smoothing
from edge_ad_export.graph.match import read_scalar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Chain", "OnnxReader", "OpenVinoReader", "SearchStep", "find_chain", "find_clamp", "may_be_clamped"]

_INFINITY = float("inf")


@dataclass(frozen=True)
class SearchStep:
    """The node that makes a value, in words that both libraries share.

    Attributes:
        kind: ``same`` (gives the numbers another shape or type), ``move`` (gives them another order, or takes the
            largest), ``select``, ``clamp``, ``squash`` (a sigmoid and its kin), ``mean``, ``Add``, ``Sub``, ``Mul``,
            ``Div`` or the node's own kind.
        inputs: the values that it takes, without conditions.
        name: the node's own kind.
        numbers: the inputs as numbers, ``None`` where one is no constant of one element.
        low: what a clamp raises to.
        high: what a clamp lowers to.
        node: of the library.
    """

    kind: str
    inputs: tuple[Any, ...]
    name: str
    numbers: tuple[float | None, ...] = ()
    low: float = -_INFINITY
    high: float = _INFINITY
    node: Any = None


class Reader(Protocol):
    """Reads the graph of one library."""

    def step(self, value: Any) -> SearchStep | None:
        """The node that makes the value; ``None`` where it is none that matters here."""
        ...

    def folded_scale(self, value: Any, /) -> float | None:
        """What the kernel of a blur that makes the value sums to, where the library folds a scale into it."""
        ...


@dataclass(frozen=True)
class Chain:
    """``clip(raw / inside * scale + shift, 0, 1)``, with ``range = 1 / scale``, ``threshold = (0.5 - shift) / scale``.

    Attributes:
        raw: the value that was normalised.
        threshold: in the unit of the raw value; not finite where the model holds no statistics.
        range: likewise.
        exact: whether the steps are anomalib's very own.
        inside: a scale that went into the kernel before ``raw``.
        path: the nodes between ``raw`` and the output that are no part of the normalisation, the innermost first.
        moves: whether one of them moves numbers, so that ``raw`` by itself has another layout than the output.
    """

    raw: Any
    threshold: float
    range: float
    exact: bool = False
    inside: float = 1.0
    path: tuple[Any, ...] = ()
    moves: bool = False


@dataclass
class _Walk:
    """Walks back from an output. ``path``: the nodes that were passed, the outermost first."""

    reader: Reader
    path: list[SearchStep] = field(default_factory=list)

    def behind(self, value: Any) -> tuple[Any, SearchStep | None]:
        """The value before all that changes no order, and the node that makes it."""
        step = self.reader.step(value)
        while step is not None and step.kind in ("same", "move"):
            self.path.append(step)
            value = step.inputs[0]
            step = self.reader.step(value)
        return value, step


def find_chain(reader: Reader, value: Any) -> Chain | None:
    """The normalisation that makes the value, ``None`` where there is none."""
    return _search(_Walk(reader), value)


def _search(walk: _Walk, value: Any) -> Chain | None:
    value, step = walk.behind(value)
    if step is None:
        return None
    if step.kind == "select":
        branches = (_search(_Walk(walk.reader, list(walk.path)), branch) for branch in step.inputs)
        return next((chain for chain in branches if chain is not None), None)
    low, high = -_INFINITY, _INFINITY
    while step is not None and step.kind == "clamp":
        low, high = max(low, step.low), min(high, step.high)
        value, step = walk.behind(step.inputs[0])
    return _affine(walk, value) if (low, high) == (0.0, 1.0) else None


def _affine(walk: _Walk, value: Any) -> Chain | None:
    """The sums and products with constants that make the value: a sum, a product and a sum at most."""
    scale, shift, stage = 1.0, 0.0, 0
    seen: list[tuple[str, float]] = []
    while not _is_anomalib(seen):
        passed = len(walk.path)
        step = walk.behind(value)[1]
        found = None if step is None else _scalar(step)
        stage = stage if found is None else _stage(stage, found.is_sum)
        if found is None or stage > 3:
            del walk.path[passed:]  # they lie before the raw value
            break
        shift += scale * found.term if found.is_sum else 0.0
        scale *= found.factor
        seen.append((found.name, found.number))
        value = found.operand
    inside = None if any(name in ("Mul", "Div") for name, _ in seen) else walk.reader.folded_scale(value)
    if inside is not None:
        scale *= inside
    elif not seen:
        return None
    path = tuple(step.node for step in reversed(walk.path))
    moves = any(step.kind == "move" for step in walk.path)
    if _is_anomalib(seen):
        (_, spread), (_, threshold) = seen[1:]
        # Statistics that are no finite numbers are those of a model that was never validated.
        return (
            Chain(value, threshold, spread, exact=True, path=path, moves=moves)
            if not -_INFINITY < spread <= 0
            else None
        )
    if scale <= 0:
        return None
    return Chain(value, (0.5 - shift) / scale, 1 / scale, inside=inside or 1.0, path=path, moves=moves)


def _is_anomalib(seen: list[tuple[str, float]]) -> bool:
    return len(seen) == 3 and seen[0] == ("Add", 0.5) and [name for name, _ in seen[1:]] == ["Div", "Sub"]


def _stage(stage: int, is_sum: bool) -> int:
    """0: nothing seen; 1: a sum; 2: a product; 3: the sum before it; 4: more than one affine step."""
    if is_sum:
        return 1 if stage < 2 else 3
    return 2 if stage < 3 else 4


@dataclass(frozen=True)
class _Scalar:
    """``operand * factor + term``; ``number``: the constant as it is written."""

    operand: Any
    factor: float
    term: float
    is_sum: bool
    name: str
    number: float


def _scalar(step: SearchStep) -> _Scalar | None:
    if step.kind not in ("Add", "Sub", "Mul", "Div") or [number is None for number in step.numbers].count(True) != 1:
        return None
    left, right = step.numbers
    operand = step.inputs[0 if left is None else 1]
    number = right if left is None else left
    if number is None or (step.kind == "Div" and (left is not None or number == 0)):
        return None
    if step.kind in ("Mul", "Div"):
        return _Scalar(operand, number if step.kind == "Mul" else 1 / number, 0.0, False, step.kind, number)
    if step.kind == "Sub" and left is not None:  # a constant minus the value
        return _Scalar(operand, -1.0, number, True, "reversed Sub", number)
    return _Scalar(operand, 1.0, -number if step.kind == "Sub" else number, True, step.kind, number)


def find_clamp(reader: Reader, value: Any) -> str | None:
    """What keeps a value in a range, behind all that keeps it there: ``Clip to 0..1``; ``None`` where nothing does."""
    value, step = _Walk(reader).behind(value)
    if step is None:
        return None
    if step.kind in ("select", "mean"):
        return next((found for branch in step.inputs if (found := find_clamp(reader, branch))), None)
    if step.kind == "squash":
        return f"{step.name} to {step.low:g}..{step.high:g}"
    low, high = -_INFINITY, _INFINITY
    name = step.name
    while step is not None and step.kind == "clamp":
        low, high = max(low, step.low), min(high, step.high)
        value, step = _Walk(reader).behind(step.inputs[0])
    if high < _INFINITY:
        return f"{name} to {low:g}..{high:g}"
    return find_clamp(reader, value) if low > -_INFINITY else None


def may_be_clamped(value: ir.Value) -> bool:
    """Whether a clamp, a sigmoid or branches may end an ONNX graph whose constants are not folded yet."""
    node = value.producer()
    while node is not None and node.op_type in {"Cast", *_SAME, *_MOVE, *_MEAN} and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type in {"Clip", "Min", "Max", "Relu", "Where", *_SQUASH}


_SAME = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Convert"}
# Interpolation of a sum or product with a constant is that of the interpolated: its weights sum to 1.
_MOVE = {"Transpose", "ReduceMax", "GlobalMaxPool", "Slice", "StridedSlice", "Gather", "Resize", "Upsample"}
_MOVE |= {"Interpolate", "Expand", "Broadcast", "Tile", "DepthToSpace", "SpaceToDepth"}
_MEAN = {"ReduceMean", "GlobalAveragePool", "AveragePool", "AvgPool", "MaxPool", "TopK"}
_SQUASH = {"Sigmoid": 0.0, "HardSigmoid": 0.0, "Softmax": 0.0, "SoftMax": 0.0, "Tanh": -1.0, "Softsign": -1.0}
_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def _shared(kind: str, inputs: tuple[Any, ...], node: Any) -> SearchStep | None:
    """The kinds that have the same name and meaning in both libraries."""
    if kind in _SAME:
        return SearchStep("same", inputs[:1], kind, node=node)
    if kind in _MOVE:
        return SearchStep("move", inputs[:1], kind, node=node)
    if kind in _MEAN:
        return SearchStep("mean", inputs[:1], kind, node=node)
    if kind in _SQUASH:
        return SearchStep("squash", inputs[:1], kind, low=_SQUASH[kind], high=1.0, node=node)
    if kind == "Relu":
        return SearchStep("clamp", inputs[:1], kind, low=0.0, node=node)
    return None


def _shared_onnx(node: ir.Node, inputs: tuple[Any, ...]) -> SearchStep | None:
    return _shared(node.op_type, inputs, node)


def _bound(kind: str, inputs: tuple[Any, ...], numbers: tuple[float | None, ...], *, low: bool) -> SearchStep | None:
    """A ``Min`` or ``Max`` with a constant, in either order."""
    for value, number in zip(inputs, reversed(numbers), strict=True):
        if len(inputs) == 2 and number is not None:
            return (
                SearchStep("clamp", (value,), kind, low=number)
                if low
                else SearchStep("clamp", (value,), kind, high=number)
            )
    return None


class OnnxReader:
    """Reads an ONNX graph whose constants are folded."""

    def step(self, value: Any) -> SearchStep | None:
        node: ir.Node | None = None if value is None else value.producer()
        if node is None or node.domain not in ("", "ai.onnx") or value is not node.outputs[0]:
            return None
        kind, inputs = node.op_type, tuple(node.inputs)
        if kind in ("Min", "Max"):
            return _bound(kind, inputs, tuple(map(read_scalar, inputs)), low=kind == "Max")
        if kind in ("Add", "Sub", "Mul", "Div"):
            return SearchStep(kind, inputs, kind, tuple(map(read_scalar, inputs)))
        if kind == "Where":
            return SearchStep("select", inputs[1:], kind)
        return {"Cast": self._cast, "Clip": self._clip}.get(kind, _shared_onnx)(node, inputs)

    def folded_scale(self, _value: Any) -> float | None:
        """None is folded."""
        return None

    @staticmethod
    def _cast(node: ir.Node, inputs: tuple[Any, ...]) -> SearchStep | None:
        kept = {inputs[0].dtype, ir.DataType(node.attributes["to"].as_int())} <= {*_FLOATS, None}
        return SearchStep("same", inputs, "Cast", node=node) if kept else None

    @staticmethod
    def _clip(node: ir.Node, inputs: tuple[Any, ...]) -> SearchStep | None:
        """Bounds are attributes before opset 11."""
        bounds = []
        for index, (name, default) in enumerate((("min", -_INFINITY), ("max", _INFINITY)), start=1):
            bound = inputs[index] if index < len(inputs) else None
            if name in node.attributes:
                bounds.append(node.attributes[name].as_float())
            else:
                number = default if bound is None else read_scalar(bound)
                if number is None:
                    return None
                bounds.append(number)
        return SearchStep("clamp", inputs[:1], "Clip", low=bounds[0], high=bounds[1])


class OpenVinoReader:
    """Reads an OpenVINO graph; a value is a port of it."""

    _ARITHMETIC = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div"}  # noqa: RUF012

    def step(self, value: Any) -> SearchStep | None:
        node = value.get_node()
        kind = node.get_type_name()
        inputs = tuple(node.input_value(index) for index in range(node.get_input_size()))
        if kind == "Convert" and not (value.get_element_type().is_real() and inputs[0].get_element_type().is_real()):
            return None
        if kind == "Select":
            return SearchStep("select", inputs[1:], kind)
        if kind == "Clamp":
            bounds = node.get_attributes()
            return SearchStep("clamp", inputs, kind, low=float(bounds["min"]), high=float(bounds["max"]))
        if kind in ("Minimum", "Maximum"):
            return _bound(kind, inputs, tuple(map(_number, inputs)), low=kind == "Maximum")
        if kind in self._ARITHMETIC:
            return SearchStep(self._ARITHMETIC[kind], inputs, kind, tuple(map(_number, inputs)))
        return _shared(kind, inputs, node)

    def folded_scale(self, value: Any) -> float | None:
        """anomalib's blur has weights that sum to 1: what they sum to here is the scale."""
        node = value.get_node()
        kernel = _constant(node.input_value(1)) if node.get_type_name() == "Convolution" else None
        total = 0.0 if kernel is None else float(kernel.sum())
        return total if kernel is not None and total > 0 and is_smoothing(kernel / total) else None


def _number(port: Any) -> float | None:
    array = _constant(port)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def _constant(port: Any) -> NDArray[np.floating] | None:
    node = port.get_node()
    while node.get_type_name() == "Convert":  # weights stored in 16 bits
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    data: NDArray[np.floating] = node.data
    return data
