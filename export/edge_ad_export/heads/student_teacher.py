"""The head of a student and its teacher, or of features and what a decoder made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.maps import MapCombination, MapPostprocessor
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead
from edge_ad_export.model.head_options import FeatureDistance

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["LevelPair", "StudentTeacherHead"]


# Keeps a feature vector of zeros from being divided by its length.
_LEAST_SQUARE = 1e-12


@dataclass(frozen=True)
class LevelPair:
    """What the teacher makes of a place and what the student predicts, of one shape."""

    teacher: LayerOutput
    student: LayerOutput


@dataclass(frozen=True)
class StudentTeacherHead(ScoreAndMapHead):
    """How far the student is from its teacher at every place, each level by itself, then all combined.

    ``cosine``: one minus the cosine of the two vectors, which is half the squared distance of the normalised ones
    (STFPM, Wang et al. 2021; Deng and Li 2022). ``l2``: the mean squared difference over the channels.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | {
        "feature_output",
        "predicted_output",
        "distance",
        "combine",
        "blur",
        "map_score",
    }

    pairs: tuple[LevelPair, ...]
    distance: FeatureDistance
    combination: MapCombination
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(level.name for pair in self.pairs for level in (pair.teacher, pair.student))

    @classmethod
    def make(cls, request: HeadRequest) -> StudentTeacherHead:
        """Raises :class:`InputError` or :class:`ModelError` where the levels do not pair up."""
        pairs = tuple(make_pairs(request))
        rows, columns = max((pair.teacher.rows, pair.teacher.columns) for pair in pairs)
        combination = MapCombination(rows, columns, request.options.combine or "product")
        return cls(pairs, request.options.distance or "cosine", combination, request.postprocessor(rows, columns))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        anomaly_maps = []
        for index, pair in enumerate(self.pairs):
            teacher = pair.teacher.build(graph, given.values[2 * index])
            student = pair.student.build(graph, given.values[2 * index + 1])
            anomaly_maps.append(self._distance(graph, teacher, student))
        joined = self.combination.build(
            graph, anomaly_maps, [(pair.teacher.rows, pair.teacher.columns) for pair in self.pairs]
        )
        return self.postprocessor.build(graph, joined)

    def _distance(self, graph: GraphBuilder, teacher: ir.Value, student: ir.Value) -> ir.Value:
        if self.distance == "l2":
            return graph.reduce("ReduceMean", graph.square(graph.op("Sub", teacher, student)), [1])
        # One minus a cosine near 1 would lose the digits that tell normal places apart.
        difference = graph.op("Sub", _normalised(graph, teacher), _normalised(graph, student))
        squared = graph.reduce("ReduceSum", graph.square(difference), [1])
        return graph.op("Mul", squared, graph.number("half", 0.5))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        anomaly_maps = [
            self._reference(pair.teacher.reference(teacher), pair.student.reference(student))
            for pair, teacher, student in zip(self.pairs, given.values[::2], given.values[1::2], strict=True)
        ]
        return self.postprocessor.reference(self.combination.reference(anomaly_maps))

    def _reference(self, teacher: Array, student: Array) -> Array:
        if self.distance == "l2":
            return np.asarray(np.mean((teacher - student) ** 2, axis=0))
        least = np.sqrt(_LEAST_SQUARE)
        lengths = [np.linalg.norm(features, axis=0) for features in (teacher, student)]
        floored = [np.maximum(length, least) for length in lengths]
        cosine = np.einsum("chw,chw->hw", teacher, student) / (floored[0] * floored[1])
        return np.asarray(sum((a / b) ** 2 for a, b in zip(lengths, floored, strict=True)) / 2 - cosine)


def make_pairs(request: HeadRequest) -> list[LevelPair]:
    """``--feature-output`` and ``--predicted-output`` in their order.

    Raises:
        InputError: not as many of one as of the other.
        ModelError: two that belong together have other shapes.
    """
    teachers, students = request.options.feature_output, request.options.predicted_output
    if not teachers or len(teachers) != len(students):
        raise InputError(
            f"--family {request.family} compares features in pairs: found {len(teachers)} --feature-output and "
            f"{len(students)} --predicted-output, expected one or more of each, in the same order; {request.listing()}"
        )
    pairs = []
    for names in zip(teachers, students, strict=True):
        teacher, student = (request.layer(name) for name in names)
        shapes = [(level.channels, level.rows, level.columns) for level in (teacher, student)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"{names[0]} and {names[1]} are compared place by place, but hold {shapes[0]} and {shapes[1]} "
                "(channels, height, width): give the outputs in matching order"
            )
        pairs.append(LevelPair(teacher, student))
    return pairs


def _normalised(graph: GraphBuilder, value: ir.Value) -> ir.Value:
    squares = graph.reduce("ReduceSum", graph.square(value), [1])
    length = graph.op("Sqrt", graph.op("Max", squares, graph.number("least", _LEAST_SQUARE)))
    return graph.op("Div", value, length)
