"""The head of an autoencoder of clips: how badly the clip was made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from edge_ad.errors import InputError
from edge_ad_export.heads.base import Built, Read, Scored
from edge_ad_export.heads.video_frames import MadeFramesHead, clip_of, made_frames

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.heads.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["ClipReconstructionHead"]


@dataclass(frozen=True)
class ClipReconstructionHead(MadeFramesHead):
    """The error of every pixel, averaged over channels and frames."""

    OPTIONS: ClassVar = frozenset({"predicted_output", "error", "blur", "map_score"})

    error: Literal["squared", "absolute"]

    @classmethod
    def make(cls, request: HeadRequest) -> ClipReconstructionHead:
        """Raises :class:`InputError` or :class:`ModelError` where the output is no clip like the input."""
        error = request.options.error or "squared"
        if error not in ("squared", "absolute"):
            raise InputError(f"--error {error}: --family clip-reconstruction takes squared or absolute")
        predicted = made_frames(request, clip_of(request).length)
        request.assume(f"{predicted.name} has the range of the model's input")
        return cls(predicted, predicted.tail(request), "absolute" if error == "absolute" else "squared")

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        difference = graph.op("Sub", read.frame, self.predicted.build(graph, read.values[0]))
        error = graph.op("Abs", difference) if self.error == "absolute" else graph.square(difference)
        local = graph.reduce("ReduceMean", error, [1, 2])
        return self.tail.build(graph, graph.reshape(local, 1, 1, self.predicted.rows, self.predicted.columns))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        difference = np.asarray(read.frame, np.float64)[0] - self.predicted.reference(read.values[0])
        power = 1 if self.error == "absolute" else 2
        return self.tail.reference(np.mean(np.abs(difference) ** power, axis=(0, 1)))
