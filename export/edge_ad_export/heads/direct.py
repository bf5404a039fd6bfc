"""The heads of models that score an image or make an anomaly map themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.model.head import HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead, ScoreOnlyHead

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
            raise ModelError(f"{name} has no known shape: expected one number an image, or one a class")
        classes = int(np.prod(shape[1:]))
        index, normal = _class(request, name, classes)
        if activation:
            request.assume(f"{name} is read before its {activation}, which would clamp it")
        return cls(logits, classes, index, normal, activation == "Softmax" and classes > 1)

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


@dataclass(frozen=True)
class MapHead(ScoreAndMapHead):
    """The model's map, smoothed where asked; the score is its largest value, or what was asked for."""

    OPTIONS: ClassVar = frozenset({"blur", "map_score"})

    source: LayerOutput
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.source.name,)

    @classmethod
    def make(cls, request: HeadRequest) -> MapHead:
        """Raises :class:`ModelError` where no output is a map."""
        name = request.importing.map_output or request.only_output()
        source = LayerOutput.of_map(name, request.shape(name))
        request.assume(f"higher is more anomalous in {name}")
        return cls(source, request.postprocessor(source.rows, source.columns))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        return self.postprocessor.build(graph, self.source.build(graph, given.values[0]))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        return self.postprocessor.reference(self.source.reference(given.values[0])[0])


def _before_activation(value: ir.Value) -> tuple[str, str | None]:
    """The name of the value before a final ``Softmax`` or ``Sigmoid``, and which of them it was."""
    node = value.producer()
    if node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        return _before_activation(node.inputs[0])
    if node is not None and node.op_type in ("Softmax", "Sigmoid") and node.inputs[0] is not None:
        return str(node.inputs[0].name), node.op_type
    return str(value.name), None


def _class(request: HeadRequest, name: str, classes: int) -> tuple[int, bool]:
    anomalous, normal = request.options.anomalous_class, request.options.normal_class
    if anomalous is not None and normal is not None:
        raise InputError("--anomalous-class and --normal-class exclude each other: say one of them")
    if anomalous is None and normal is None:
        if classes > 1:
            raise InputError(
                f"{name} has {classes} numbers an image: say which one is the defect's with --anomalous-class INDEX, "
                "or the good part's with --normal-class INDEX"
            )
        request.assume(f"higher is more anomalous in {name} (--normal-class 0 turns it)")
        return 0, False
    option, index = ("--anomalous-class", anomalous) if normal is None else ("--normal-class", normal)
    if index is None or index >= classes:
        raise InputError(f"{option} {index}: {name} has {classes} numbers an image, the first is 0")
    return index, normal is not None
