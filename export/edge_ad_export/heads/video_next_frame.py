"""The head of a model that predicts the next frame: what came is held against what was expected."""

from __future__ import annotations

import math
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

__all__ = ["NextFrameHead"]

# A frame that is predicted to the last bit still has a score.
_FLOOR = 1e-10


@dataclass(frozen=True)
class NextFrameHead(MadeFramesHead):
    """The error of every pixel of the clip's last frame, averaged over the channels.

    The score is the map's, or with ``psnr`` ``10 log10(mean squared error / peak^2)``: the peak signal-to-noise ratio
    of Liu et al. 2018 ("Future frame prediction for anomaly detection"), its sign turned, with the fixed ``peak`` that
    255 becomes for the model in place of the predicted frame's largest value.
    """

    OPTIONS: ClassVar = frozenset({"predicted_output", "error", "blur", "map_score"})

    last: int
    error: Literal["squared", "absolute", "psnr"]
    peak: float

    @classmethod
    def make(cls, request: HeadRequest) -> NextFrameHead:
        """Raises :class:`InputError` or :class:`ModelError` where the output is no frame like those of the clip."""
        clip, spec, error = clip_of(request), request.spec, request.options.error or "squared"
        if error == "ssim":
            raise InputError("--error ssim: --family next-frame takes squared, absolute or psnr")
        if error == "psnr" and request.options.map_score is not None:
            raise InputError("--map-score: the score of --error psnr is the whole frame's; leave one of them out")
        predicted = made_frames(request, 1)
        request.assume(f"{predicted.name} has the range of the model's input")
        peak = float(np.mean(255 / spec.scale / np.array(spec.std)))
        return cls(predicted, predicted.tail(request), clip.length - 1, error, peak)

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        predicted = self.predicted.build(graph, read.values[0])
        bounds = [graph.constant(f"last_{i}", np.array([n])) for i, n in enumerate((self.last, self.last + 1, 1))]
        difference = graph.op("Sub", graph.op("Slice", read.frame, *bounds), predicted)
        error = graph.op("Abs", difference) if self.error == "absolute" else graph.square(difference)
        shape = (1, 1, self.predicted.rows, self.predicted.columns)
        local = graph.reshape(graph.reduce("ReduceMean", error, [2]), *shape)
        if self.error != "psnr":
            return self.tail.build(graph, local)
        mean = graph.op("Add", graph.reduce("ReduceMean", local, [1, 2, 3]), graph.number("floor", self._floor))
        decibels = graph.op("Mul", graph.op("Log", mean), graph.number("decibels", 10 / math.log(10)))
        score = graph.op("Sub", decibels, graph.number("peak", 20 * math.log10(self.peak)))
        return Built(score, self.tail.smooth(graph, local))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        predicted = self.predicted.reference(read.values[0])[0]
        difference = np.abs(np.asarray(read.frame, np.float64)[0, self.last] - predicted)
        local = np.mean(difference ** (1 if self.error == "absolute" else 2), axis=0)
        if self.error != "psnr":
            return self.tail.reference(local)
        score = 10 * math.log10((float(local.mean()) + self._floor) / self.peak**2)
        return Scored(score, self.tail.smooth_reference(local))

    @property
    def _floor(self) -> float:
        return _FLOOR * self.peak**2
