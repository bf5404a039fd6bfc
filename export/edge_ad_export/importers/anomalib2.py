"""Imports what anomalib 2.x writes with ``engine.export``, as ONNX and as OpenVINO IR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.importers.centre_crop import pad_cropped_map
from edge_ad_export.importers.inputs import refuse_options, resolve_input
from edge_ad_export.importers.outputs import find_family
from edge_ad_export.importers.raw_outputs import RawOutput, find_raw_outputs
from edge_ad_export.model.imported import ImportedModel, ImportOptions, Provenance

if TYPE_CHECKING:
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
        spec = resolve_input(file, ImportOptions(size=options.size, color="rgb", layout="nchw", scale=255.0)).spec
        found = find_raw_outputs(file.onnx, [name for name in ("pred_score", "anomaly_map") if name in outputs])
        score, anomaly_map = found.raw["pred_score"], found.raw.get("anomaly_map")
        map_name = None if anomaly_map is None else anomaly_map.name
        padded = pad_cropped_map(found.model, map_name, spec.shape(spec.batch), output="anomaly_map")
        return ImportedModel(
            model=padded.model,
            input=spec,
            score=score.name,
            map=padded.name,
            family=find_family(file.onnx),
            importer="anomalib2",
            provenance=_removed(score, anomaly_map),
        )


def _removed(score: RawOutput, anomaly_map: RawOutput | None) -> Provenance:
    """The constants of the normalisation that was taken away."""
    removed: dict[str, str | int | float | bool | None] = {}
    for what, raw in (("image", score), ("pixel", anomaly_map)):
        removed[f"baked_{what}_threshold"] = raw.threshold if raw else None
        removed[f"baked_{what}_range"] = raw.range if raw else None
    return removed
