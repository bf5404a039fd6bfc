"""The heads of models that score an image or make an anomaly map themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.match import plane_of
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.maps import MapCombination, MapPostprocessor
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead, ScoreOnlyHead

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["MapHead", "ScoreHead"]


@dataclass(frozen=True)
class ScoreHead(ScoreOnlyHead):
    """The number ``index`` of ``source``, its sign turned where it says how ``normal`` the image is.

    With ``log_odds`` the numbers are what a softmax was taken of, and the score is ``log(p / (1 - p))`` of the class:
    it orders images as the probability does, but does not stick at 1.
    """

    OPTIONS: ClassVar = frozenset({"anomalous_class", "normal_class"})

    classes: int
    index: int
    normal: bool
    log_odds: bool

    @classmethod
    def make(cls, request: HeadRequest) -> ScoreHead:
        """Raises :class:`ModelError` or :class:`InputError` where output or class are not said or not there."""
        name = request.importing.score_output or request.only_output()
        logits, activation = _before_activation(request.value(name))
        shape = request.shape(logits)
        if shape is None or int(np.prod(shape[1:])) == 0:
            raise ModelError(f"{name} has no known shape: expected one number per image, or one per class")
        if len(axes := [length for length in shape[1:] if length > 1]) > 1:
            raise ModelError(
                f"{name} has the shape {list(shape)}, which is not one number per image: {len(axes)} axes are longer "
                "than 1; say --family map for a map of classes, or name another with --score-output"
            )
        classes = int(np.prod(shape[1:]))
        index, normal = _class(request, name, classes)
        if activation:
            request.assume(f"{name} is read before its {activation}, which would clamp it")
        return cls(logits, classes, index, normal, activation in _SOFTMAX and classes > 1)

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        flat = graph.reshape(given.values[0], (1, self.classes))
        score = self._pick(graph, flat, [self.index])
        if self.log_odds:
            others = self._pick(graph, flat, [i for i in range(self.classes) if i != self.index])
            largest = graph.reduce("ReduceMax", others, [1])
            shifted = graph.op("Exp", graph.op("Sub", others, largest))
            total = graph.op("Log", graph.reduce("ReduceSum", shifted, [1]))
            score = graph.op("Sub", score, graph.op("Add", largest, total))
        return HeadOutputs(graph.op("Neg", score) if self.normal else score, None)

    def _pick(self, graph: GraphBuilder, flat: ir.Value, indices: list[int]) -> ir.Value:
        return graph.op("Gather", flat, graph.constant("class", np.array(indices, np.int64)), axis=1)

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        from scipy.special import logsumexp

        numbers = np.asarray(given.values[0], np.float64).ravel()[: self.classes]
        score = numbers[self.index]
        if self.log_odds:
            score = score - logsumexp(np.delete(numbers, self.index))
        return HeadResult(float(-score if self.normal else score), None)


_SOFTMAX = ("Softmax", "LogSoftmax")
_BY_AXIS_SINCE = 13
_PASSED = ("Identity", "Cast", "Dropout")


@dataclass(frozen=True)
class MapHead(ScoreAndMapHead):
    """The model's map, smoothed where asked; the score is its largest value, or what was asked for.

    Of several planes one is taken, the log odds of a class at every place, or all are combined.
    """

    OPTIONS: ClassVar = frozenset({"blur", "map_score", "combine", "anomalous_class", "normal_class"})

    source: MapPlanes
    postprocessor: MapPostprocessor
    combination: MapCombination
    index: int | None = None
    normal: bool = False
    log_odds: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source.name,)

    @classmethod
    def make(cls, request: HeadRequest) -> MapHead:
        """Raises :class:`ModelError` or :class:`InputError` where no output is a map, or its planes are not told."""
        name = request.importing.map_output or request.only_output()
        options = request.options
        by_class = options.anomalous_class is not None or options.normal_class is not None
        if by_class and options.combine is not None:
            raise InputError("--combine and a class exclude each other: say one of them")
        logits, activation = _before_activation(request.value(name)) if by_class else (name, None)
        source = MapPlanes.of(logits, request.shape(logits), request)
        index, normal = _class(request, name, source.planes) if by_class else (None, False)
        if source.planes > 1 and not by_class and options.combine is None:
            raise InputError(
                f"{name} has {source.planes} planes: say how they become one with --combine mean, sum or product, or "
                "which one is the defect's with --anomalous-class INDEX, the good part's with --normal-class INDEX"
            )
        if activation:
            request.assume(f"{name} is read before its {activation}, which would clamp it")
        elif not by_class:
            request.assume(f"higher is more anomalous in {name}")
        combination = MapCombination(source.rows, source.columns, options.combine or "mean")
        tail = request.postprocessor(source.rows, source.columns)
        return cls(source, tail, combination, index, normal, activation in _SOFTMAX and source.planes > 1)

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        size = (self.source.rows, self.source.columns)
        planes = self.source.build(graph, given.values[0])
        if self.index is None:
            maps = [self._pick(graph, planes, [i]) for i in range(self.source.planes)]
            return self.postprocessor.build(graph, self.combination.build(graph, maps, [size] * len(maps)))
        one = self._pick(graph, planes, [self.index])
        if self.log_odds:
            others = self._pick(graph, planes, [i for i in range(self.source.planes) if i != self.index])
            largest = graph.reduce("ReduceMax", others, [1])
            shifted = graph.op("Exp", graph.op("Sub", others, largest))
            total = graph.op("Log", graph.reduce("ReduceSum", shifted, [1]))
            one = graph.op("Sub", one, graph.op("Add", largest, total))
        return self.postprocessor.build(graph, graph.op("Neg", one) if self.normal else one)

    def _pick(self, graph: GraphBuilder, planes: ir.Value, indices: list[int]) -> ir.Value:
        if len(indices) == self.source.planes:
            return planes
        shape = (1, len(indices), self.source.rows, self.source.columns)
        return graph.op("Gather", planes, graph.constant("plane", np.array(indices, np.int64)), shape=shape, axis=1)

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        from scipy.special import logsumexp

        planes = self.source.reference(given.values[0])
        if self.index is None:
            return self.postprocessor.reference(self.combination.reference(list(planes)))
        one = planes[self.index]
        if self.log_odds:
            one = one - logsumexp(np.delete(planes, self.index, axis=0), axis=0)
        return self.postprocessor.reference(-one if self.normal else one)


@dataclass(frozen=True)
class MapPlanes:
    """A value that holds planes of one size for an image: levels of a map, or a number for each class.

    ``last``: the axis of the planes comes behind rows and columns. Axes of length 1 may lie anywhere.
    """

    name: str
    planes: int
    rows: int
    columns: int
    last: bool = False

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...] | None, request: HeadRequest) -> MapPlanes:
        """Raises :class:`ModelError` where the shape is of another kind."""
        batch, size = request.spec.batch, request.spec.size
        plane = None if shape is None else plane_of(shape, batch)
        if plane is not None:
            return cls(name, 1, *plane)
        axes = [n for n in (shape or ())[1 if shape and shape[0] == batch else 0 :] if n != 1]
        if shape is None or len(axes) != 3 or 0 in axes:
            source = LayerOutput.of_map(name, shape)  # rows or columns of one pixel; or the refusal
            return cls(name, 1, source.rows, source.columns)
        fits = [abs(r * size.width - c * size.height) <= max(size.width, size.height) for r, c in (axes[1:], axes[:2])]
        softmax = request.value(name).uses()
        axis = next((_softmax_axis(use.node, len(shape)) for use in softmax if use.node.op_type in _SOFTMAX), None)
        if axis is not None:
            last = axis == len(shape) - 1
        elif fits[0] != fits[1]:
            last = fits[1]
        else:
            last = request.spec.layout == "nhwc"
            request.assume(f"the planes of {name} are its {'last' if last else 'first'} axis")
        return cls(name, axes[2], axes[0], axes[1], True) if last else cls(name, axes[0], axes[1], axes[2])

    def build(self, graph: GraphBuilder, value: ir.Value) -> ir.Value:
        """The value, float32, as ``[1, planes, rows, columns]``."""
        if not self.last:
            return graph.reshape(value, (1, self.planes, self.rows, self.columns))
        value = graph.reshape(value, (1, self.rows, self.columns, self.planes))
        return graph.op("Transpose", value, shape=(1, self.planes, self.rows, self.columns), perm=[0, 3, 1, 2])

    def reference(self, array: NDArray[Any]) -> Array:
        """What the value holds for the first image: float64 ``(planes, rows, columns)``."""
        numbers = np.asarray(array, np.float64).ravel()[: self.planes * self.rows * self.columns]
        if not self.last:
            return numbers.reshape(self.planes, self.rows, self.columns)
        return np.moveaxis(numbers.reshape(self.rows, self.columns, self.planes), -1, 0)


def _softmax_axis(node: ir.Node, rank: int) -> int:
    """Its default is the last axis, and was 1 before opset 13."""
    opset = node.graph.opset_imports.get("", _BY_AXIS_SINCE) if node.graph is not None else _BY_AXIS_SINCE
    return node.attributes.get_int("axis", -1 if opset >= _BY_AXIS_SINCE else 1) % rank


def _before_activation(value: ir.Value) -> tuple[str, str | None]:
    """The name of the value before a final ``Softmax``, ``LogSoftmax`` or ``Sigmoid``, and which of them it was."""
    node = value.producer()
    if node is not None and node.op_type in _PASSED and node.inputs[0] is not None:
        return _before_activation(node.inputs[0])
    if node is not None and node.op_type in (*_SOFTMAX, "Sigmoid") and node.inputs[0] is not None:
        return str(node.inputs[0].name), node.op_type
    return str(value.name), None


def _class(request: HeadRequest, name: str, classes: int) -> tuple[int, bool]:
    anomalous, normal = request.options.anomalous_class, request.options.normal_class
    if anomalous is not None and normal is not None:
        raise InputError("--anomalous-class and --normal-class exclude each other: say one of them")
    if anomalous is None and normal is None:
        if classes > 1:
            raise InputError(
                f"{name} has {classes} numbers per image: say which one is the defect's with --anomalous-class INDEX, "
                "or the good part's with --normal-class INDEX"
            )
        request.assume(f"higher is more anomalous in {name} (--normal-class 0 turns it)")
        return 0, False
    option, index = ("--anomalous-class", anomalous) if normal is None else ("--normal-class", normal)
    if index is None or index >= classes:
        raise InputError(f"{option} {index}: {name} has {classes} numbers per image, the first is 0")
    return index, normal is not None
