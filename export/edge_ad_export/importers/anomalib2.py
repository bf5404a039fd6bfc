"""Imports what anomalib 2.x writes with ``engine.export``, as ONNX and as OpenVINO IR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.graph.embedded import find_embedded
from edge_ad_export.importers.inputs import only_input, refuse_options, resolve_input
from edge_ad_export.importers.onnx_tail import Exposed, RawOutput, expose_onnx
from edge_ad_export.importers.openvino_tail import expose_openvino
from edge_ad_export.importers.outputs import find_family
from edge_ad_export.importers.picture_crop import WholeMap, lay_over_picture
from edge_ad_export.model.imported import ImportedModel, ImportOptions, Provenance

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.files.model_file import ModelFile

__all__ = ["Anomalib2Importer"]

_OUTPUTS = {"pred_score", "pred_label", "anomaly_map", "pred_mask"}
_APPLICABLE = {"size"}
_REASON = "an anomalib 2.x export takes RGB from 0 to 1 and names its outputs"


class Anomalib2Importer:
    """Input ``input``, RGB, 0 to 1, NCHW; resize (if any) and normalisation are in the graph already.

    Both exporters are known: the older one (opset 14) and dynamo's (2.7, opset 18), which keeps ``Where`` nodes
    around the normalisation and may fix the batch at 2; and what OpenVINO makes of either.
    """

    def recognises(self, file: ModelFile) -> bool:
        graph = file.onnx.graph
        outputs = {value.name for value in graph.outputs}
        return "pred_score" in outputs and outputs <= _OUTPUTS and [v.name for v in graph.inputs] == ["input"]

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        refuse_options(options, _APPLICABLE, _REASON)
        outputs = [str(value.name) for value in file.onnx.graph.outputs]
        if "pred_score" not in outputs:
            raise ModelError(
                f"{file.path} is no anomalib 2.x export: expected an output pred_score, "
                f"found {', '.join(outputs)}; leave --importer out to read it as plain ONNX"
            )
        frame = only_input(file)
        spec = resolve_input(frame, ImportOptions(size=options.size, color="rgb", layout="nchw", scale=255.0)).spec
        exposed = _expose(file.onnx, [name for name in ("pred_score", "anomaly_map") if name in outputs])
        heat = exposed.raw.get("anomaly_map")
        shape = spec.shape(spec.batch)
        whole = WholeMap(exposed.model, None)
        if heat is not None:
            whole = lay_over_picture(exposed.model, heat.name, "anomaly_map", shape)
        return ImportedModel(
            model=whole.model,
            input=spec,
            score=exposed.raw["pred_score"].name,
            map=whole.name,
            family=find_family(file.onnx),
            importer="anomalib2",
            provenance=_removed(exposed.raw["pred_score"], heat),
        )


def _expose(model: ir.Model, outputs: list[str]) -> Exposed:
    return expose_openvino(model, outputs) if find_embedded(model) else expose_onnx(model, outputs)


def _removed(score: RawOutput, heat: RawOutput | None) -> Provenance:
    removed: dict[str, str | int | float | bool | None] = {}
    for what, raw in (("image", score), ("pixel", heat)):
        removed[f"baked_{what}_threshold"] = raw.threshold if raw else None
        removed[f"baked_{what}_range"] = raw.range if raw else None
    return removed
