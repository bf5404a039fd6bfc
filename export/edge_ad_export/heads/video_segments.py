"""The head of a weakly supervised scorer: one number a segment of the clip, learnt from bags of segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.heads.base import Built, NumbersHead, Read, Scored

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.heads.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["SegmentHead"]


@dataclass(frozen=True)
class SegmentHead(NumbersHead):
    """The largest of the numbers of ``tap``: by multiple-instance learning a bag is as anomalous as its worst segment
    (Sultani et al. 2018). A final sigmoid is left out: it keeps the order, and sticks at 1."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    segments: int

    @classmethod
    def make(cls, request: HeadRequest) -> SegmentHead:
        """Raises :class:`InputError` or :class:`ModelError` where there is no clip, or no number a segment."""
        if request.spec.clip is None:
            raise InputError("--family mil scores clips: say --clip-length FRAMES, or another family")
        name = request.importing.score_output or request.only_output()
        tap = _before_sigmoid(request.value(name))
        shape = request.shape(tap)
        if shape is None or max(shape, default=0) != int(np.prod(shape)):
            raise ModelError(f"{name} has the shape {shape}: expected a number a segment; name it with --score-output")
        request.assume(f"higher is more anomalous in {name}")
        return cls(tap, int(np.prod(shape)))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        return Built(graph.reduce("ReduceMax", graph.reshape(read.values[0], 1, self.segments), [1]), None)

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        return Scored(float(np.asarray(read.values[0], np.float64).max()), None)


def _before_sigmoid(value: ir.Value) -> str:
    node = value.producer()
    behind = node is not None and node.op_type in ("Sigmoid", "Identity", "Squeeze", "Flatten", "Reshape")
    if node is None or not behind or node.inputs[0] is None:
        return str(value.name)
    inner = _before_sigmoid(node.inputs[0])
    return inner if node.op_type == "Sigmoid" or inner != str(node.inputs[0].name) else str(value.name)
