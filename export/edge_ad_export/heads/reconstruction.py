"""The head of an autoencoder, VAE or GAN: how badly the picture, or its features, were made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError, ModelError
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.heads.ssim import Ssim
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead
from edge_ad_export.model.head_options import PixelError

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["ReconstructionHead"]


# The blur that the field gives its maps by default, in pixels of the model's input.
_BLUR_PX = 4.0


@dataclass(frozen=True)
class ReconstructionHead(ScoreAndMapHead):
    """The error between ``target`` and ``predicted`` at every place, averaged over the channels.

    ``feature``: the target is a value of the graph; otherwise it is the model's own input.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | {"feature_output", "predicted_output", "error", "blur", "map_score"}

    target: LayerOutput
    predicted: LayerOutput
    feature: bool
    error: PixelError
    ssim: Ssim | None
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.predicted.name, self.target.name) if self.feature else (self.predicted.name,)

    @classmethod
    def make(cls, request: HeadRequest) -> ReconstructionHead:
        """Raises :class:`InputError` or :class:`ModelError` where picture and reconstruction do not fit."""
        options, spec = request.options, request.spec
        names = options.predicted_output or (request.only_output(),)
        if len(names) > 1 or len(options.feature_output) > 1:
            raise InputError(
                "--family reconstruction compares one pair: say one --predicted-output; "
                "--family student-teacher takes features of several levels"
            )
        predicted = request.layer(names[0])
        target = LayerOutput(spec.name, spec.channels, spec.size.height, spec.size.width, spec.layout)
        for name in options.feature_output:
            target = request.layer(name)
        _check(target, predicted)
        if not options.feature_output:
            request.assume(f"{predicted.name} is the picture made again, in the range of the model's input")
        error = options.error or "squared"
        if error == "psnr":
            raise InputError("--error psnr: --family reconstruction takes squared, absolute or ssim")
        return cls(
            target,
            predicted,
            feature=bool(options.feature_output),
            error=error,
            ssim=_ssim(request, target) if error == "ssim" else None,
            postprocessor=request.postprocessor(target.rows, target.columns, blur_px=_BLUR_PX),
        )

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        predicted = self.predicted.build(graph, given.values[0])
        target = self.target.build(graph, given.values[1] if self.feature else given.frame)
        if self.ssim is not None:
            return self.postprocessor.build(graph, self.ssim.build(graph, target, predicted))
        difference = graph.op("Sub", target, predicted)
        error = graph.square(difference) if self.error == "squared" else graph.op("Abs", difference)
        return self.postprocessor.build(graph, graph.reduce("ReduceMean", error, [1]))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        predicted = self.predicted.reference(given.values[0])
        target = self.target.reference(given.values[1] if self.feature else given.frame)
        return self.postprocessor.reference(self._reference(target, predicted))

    def _reference(self, target: Array, predicted: Array) -> Array:
        if self.ssim is not None:
            return self.ssim.reference(target, predicted)
        power = 2 if self.error == "squared" else 1
        return np.asarray(np.mean(np.abs(target - predicted) ** power, axis=0))


def _check(target: LayerOutput, predicted: LayerOutput) -> None:
    shapes = [(side.channels, side.rows, side.columns) for side in (target, predicted)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"{predicted.name} is compared with {target.name} place by place, but they hold {shapes[1]} and "
            f"{shapes[0]} (channels, height, width): name another with --predicted-output"
        )


def _ssim(request: HeadRequest, target: LayerOutput) -> Ssim:
    if request.options.feature_output:
        raise InputError("--error ssim compares pictures, whose range is known: features take squared or absolute")
    spec = request.spec
    # What 0 to 255 becomes on the way to the model.
    spans = np.broadcast_to(255.0 / spec.scale / np.array(spec.std), (target.channels,))
    return Ssim(tuple(float(span) for span in spans), target.rows, target.columns)
