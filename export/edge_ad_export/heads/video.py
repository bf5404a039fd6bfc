"""The heads of models that score clips: predicted frames, reconstructed clips, and weakly supervised segments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.model.clip_spec import ORDERS
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead, ScoreOnlyHead

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.model.clip_spec import ClipOrder, ClipSpec

__all__ = [
    "ClipReconstructionHead",
    "FrameErrorHead",
    "FramesOutput",
    "NextFrameHead",
    "SegmentHead",
    "clip_of",
    "frames_output",
]


_BLUR_PX = 4.0


@dataclass(frozen=True)
class FramesOutput:
    """A value ``name``: ``count`` frames of ``channels`` x ``rows`` x ``columns``, in the model's ``order``."""

    name: str
    count: int
    channels: int
    rows: int
    columns: int
    order: ClipOrder

    def build(self, graph: GraphBuilder, value: ir.Value) -> ir.Value:
        """As ``[1, count, channels, h, w]``."""
        value = graph.reshape(value, self._shape())
        back = [int(axis) for axis in np.argsort(ORDERS[self.order])]
        return value if back == sorted(back) else graph.op("Transpose", value, perm=back)

    def reference(self, array: NDArray[Any]) -> Array:
        """Float64 ``(count, channels, h, w)`` of the first clip."""
        frames: Array = np.asarray(array, np.float64).reshape(self._shape())
        first: Array = frames.transpose(np.argsort(ORDERS[self.order]))[0]
        return first

    def postprocessor(self, request: HeadRequest) -> MapPostprocessor:
        """What comes after the error of every pixel."""
        return request.postprocessor(self.rows, self.columns, blur_px=_BLUR_PX)

    def _shape(self) -> tuple[int, ...]:
        canonical = (1, self.count, self.channels, self.rows, self.columns)
        return tuple(canonical[axis] for axis in ORDERS[self.order])


@dataclass(frozen=True)
class FrameErrorHead(ScoreAndMapHead):
    """The base of heads that compare such frames with the clip: every pixel's error is the anomaly map."""

    predicted: FramesOutput
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.predicted.name,)


def clip_of(request: HeadRequest) -> ClipSpec:
    """The clip of a model for clips. Raises :class:`ModelError` for pictures and vectors."""
    clip = request.spec.clip
    if clip is None or clip.input != "frame":
        raise ModelError(f"--family {request.family} compares frames of a clip: this model takes none")
    return clip


def frames_output(request: HeadRequest, count: int) -> FramesOutput:
    """The frames that ``--predicted-output``, or the only output, holds. Raises :class:`ModelError`."""
    clip, size = clip_of(request), request.spec.size
    name = request.options.predicted_output[0] if request.options.predicted_output else request.only_output()
    frames = FramesOutput(name, count, clip.channels, size.height, size.width, clip.order)
    shape = request.shape(name)
    wanted = [dim for dim in frames._shape() if dim != 1]
    if clip.order == "stacked":
        wanted = [dim for dim in (count * clip.channels, size.height, size.width) if dim != 1]
    if shape is None or [dim for dim in shape if dim != 1] != wanted:
        raise ModelError(
            f"{name} has {'an unknown shape' if shape is None else f'the shape {list(shape)}'}: expected {count} "
            f"{'frame' if count == 1 else 'frames'} of {clip.channels}x{size.height}x{size.width} in the order of the "
            "input; name another with --predicted-output"
        )
    return frames


# A frame that is predicted to the last bit still has a score.
_FLOOR = 1e-10


@dataclass(frozen=True)
class NextFrameHead(FrameErrorHead):
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
        predicted = frames_output(request, 1)
        request.assume(f"{predicted.name} has the range of the model's input")
        peak = float(np.mean(255 / spec.scale / np.array(spec.std)))
        return cls(predicted, predicted.postprocessor(request), clip.length - 1, error, peak)

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        predicted = self.predicted.build(graph, given.values[0])
        bounds = [graph.constant(f"last_{i}", np.array([n])) for i, n in enumerate((self.last, self.last + 1, 1))]
        difference = graph.op("Sub", graph.op("Slice", given.frame, *bounds), predicted)
        error = graph.op("Abs", difference) if self.error == "absolute" else graph.square(difference)
        shape = (1, 1, self.predicted.rows, self.predicted.columns)
        local = graph.reshape(graph.reduce("ReduceMean", error, [2]), shape)
        if self.error != "psnr":
            return self.postprocessor.build(graph, local)
        mean = graph.op("Add", graph.reduce("ReduceMean", local, [1, 2, 3]), graph.number("floor", self._floor))
        decibels = graph.op("Mul", graph.op("Log", mean), graph.number("decibels", 10 / math.log(10)))
        score = graph.op("Sub", decibels, graph.number("peak", 20 * math.log10(self.peak)))
        return HeadOutputs(score, self.postprocessor.smooth(graph, local))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        predicted = self.predicted.reference(given.values[0])[0]
        difference = np.abs(np.asarray(given.frame, np.float64)[0, self.last] - predicted)
        local = np.mean(difference ** (1 if self.error == "absolute" else 2), axis=0)
        if self.error != "psnr":
            return self.postprocessor.reference(local)
        score = 10 * math.log10((float(local.mean()) + self._floor) / self.peak**2)
        return HeadResult(score, self.postprocessor.smooth_reference(local))

    @property
    def _floor(self) -> float:
        return _FLOOR * self.peak**2


@dataclass(frozen=True)
class ClipReconstructionHead(FrameErrorHead):
    """The error of every pixel, averaged over channels and frames."""

    OPTIONS: ClassVar = frozenset({"predicted_output", "error", "blur", "map_score"})

    error: Literal["squared", "absolute"]

    @classmethod
    def make(cls, request: HeadRequest) -> ClipReconstructionHead:
        """Raises :class:`InputError` or :class:`ModelError` where the output is no clip like the input."""
        error = request.options.error or "squared"
        if error not in ("squared", "absolute"):
            raise InputError(f"--error {error}: --family clip-reconstruction takes squared or absolute")
        predicted = frames_output(request, clip_of(request).length)
        request.assume(f"{predicted.name} has the range of the model's input")
        return cls(predicted, predicted.postprocessor(request), "absolute" if error == "absolute" else "squared")

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        difference = graph.op("Sub", given.frame, self.predicted.build(graph, given.values[0]))
        error = graph.op("Abs", difference) if self.error == "absolute" else graph.square(difference)
        local = graph.reduce("ReduceMean", error, [1, 2])
        shape = (1, 1, self.predicted.rows, self.predicted.columns)
        return self.postprocessor.build(graph, graph.reshape(local, shape))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        difference = np.asarray(given.frame, np.float64)[0] - self.predicted.reference(given.values[0])
        power = 1 if self.error == "absolute" else 2
        return self.postprocessor.reference(np.mean(np.abs(difference) ** power, axis=(0, 1)))


@dataclass(frozen=True)
class SegmentHead(ScoreOnlyHead):
    """The largest of the numbers of ``source``, one a segment.

    In multiple-instance learning a bag is as anomalous as its worst segment (Sultani et al. 2018). A final sigmoid is
    left out: it keeps the order of the scores, but sticks at 1.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    segments: int

    @classmethod
    def make(cls, request: HeadRequest) -> SegmentHead:
        """Raises :class:`InputError` or :class:`ModelError` where there is no clip, or no number a segment."""
        if request.spec.clip is None:
            raise InputError("--family mil scores clips: say --clip-length FRAMES, or another family")
        name = request.importing.score_output or request.only_output()
        source = _before_sigmoid(request.value(name))
        shape = request.shape(source)
        if shape is None or max(shape, default=0) != int(np.prod(shape)):
            raise ModelError(f"{name} has the shape {shape}: expected a number a segment; name it with --score-output")
        request.assume(f"higher is more anomalous in {name}")
        return cls(source, int(np.prod(shape)))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        return HeadOutputs(graph.reduce("ReduceMax", graph.reshape(given.values[0], (1, self.segments)), [1]), None)

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        return HeadResult(float(np.asarray(given.values[0], np.float64).max()), None)


def _before_sigmoid(value: ir.Value) -> str:
    node = value.producer()
    behind = node is not None and node.op_type in ("Sigmoid", "Identity", "Squeeze", "Flatten", "Reshape")
    if node is None or not behind or node.inputs[0] is None:
        return str(value.name)
    inner = _before_sigmoid(node.inputs[0])
    return inner if node.op_type == "Sigmoid" or inner != str(node.inputs[0].name) else str(value.name)
