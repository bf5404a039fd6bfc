"""From an imported extractor to the first graph of a two-stage variant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx_ir as ir

from edge_ad.bundle.records import ModelInput
from edge_ad.errors import ModelError
from edge_ad_export.graph.builder import OLDEST_OPSET, GraphBuilder, add_constant
from edge_ad_export.graph.static_shape import update_shapes
from edge_ad_export.lowering.contract import Lowered, apply_passes
from edge_ad_export.passes import (
    OldestVersionsPass,
    PreprocessingPass,
    SelectOutputsPass,
    SimplifyPass,
    StaticShapePass,
)
from edge_ad_export.passes.contract import RequireStaticPass
from edge_ad_export.passes.fold_preprocessing import FoldPreprocessingPass
from edge_ad_export.passes.neutral import NeutralPass
from edge_ad_export.passes.preprocessing import ClipInputPass, ClipPreprocessingPass

if TYPE_CHECKING:
    from edge_ad_export.heads.features import LayerOutput
    from edge_ad_export.importers.extractor import ImportedExtractor

__all__ = ["FEATURES", "FeaturesPass", "lower_extractor"]

FEATURES: Final = "features"


class FeaturesPass(ir.passes.InPlacePass):
    """Requires: the one output is what ``layer`` describes, for one image.

    Does: takes the mean over the places of a value that has some, and casts to float32.

    Ensures: the one output is ``features``, float32 ``[1, n]``.
    """

    def __init__(self, layer: LayerOutput) -> None:
        super().__init__()
        self.layer = layer

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        opset = graph.opset_imports.get("", 0)
        if opset < OLDEST_OPSET:
            raise ModelError(
                f"an extractor takes an ONNX file of opset {OLDEST_OPSET} or newer, found {opset}: export it again"
            )
        for value in [*graph.inputs, *(v for node in graph for v in node.outputs)]:
            if value.name == FEATURES:
                value.name = f"{FEATURES}_model"
        builder, (found,) = GraphBuilder(graph, prefix="head_"), graph.outputs
        features = self.layer.build(builder, found)
        vector = features if self.layer.is_vector else builder.reduce("ReduceMean", features, [2, 3])
        if found.dtype != ir.DataType.FLOAT:
            vector = builder.op("Cast", vector, to=ir.DataType.FLOAT)
        shape = add_constant(graph, "features_shape", np.array((1, self.layer.channels)))
        tape = ir.tape.Tape(graph)
        named = ir.val(FEATURES, ir.DataType.FLOAT, (1, self.layer.channels))
        graph.outputs[:] = [tape.op("Reshape", [vector, shape], output=named)]
        update_shapes(model)
        return ir.passes.PassResult(model, True)


def lower_extractor(extractor: ImportedExtractor, agrees: Callable[[Lowered], bool]) -> Lowered:
    """As :func:`~edge_ad_export.lowering.contract.lower`: ``frame`` to ``features``, cheaper
    where that still ``agrees``.

    Raises:
        ModelError: the graph cannot be rewritten.
    """
    spec, model = extractor.model.input, extractor.model.model.clone()
    apply_passes(
        [
            SelectOutputsPass(extractor.model.outputs_read),
            StaticShapePass(spec.shape(spec.batch)),
            SimplifyPass(),
            RequireStaticPass(),
            *([] if spec.clip is None else [ClipInputPass(spec, spec.clip)]),
            FeaturesPass(extractor.output),
            PreprocessingPass(spec) if spec.clip is None else ClipPreprocessingPass(spec, spec.clip),
            SimplifyPass(),
            OldestVersionsPass(),
        ],
        model,
    )
    entry = ModelInput(width=spec.size.width, height=spec.size.height, channels=spec.channels)
    plain = Lowered(model=model, input=entry, map=None, batch="one")
    with suppress(ModelError):
        cheaper = model.clone()
        apply_passes([FoldPreprocessingPass(), NeutralPass(), SimplifyPass(), OldestVersionsPass()], cheaper)
        candidate = replace(plain, model=cheaper, plain=plain)
        if agrees(candidate):
            return candidate
    return plain
