"""Imports what anomalib 2.x writes with ``engine.export``, as ONNX and as OpenVINO IR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.importers.centre_crop import pad_cropped_map
from edge_ad_export.importers.inputs import inapplicable, refuse_options, resolve_input
from edge_ad_export.importers.outputs import FLOATS, OutputNames, find_family, is_map, is_score, static_outputs
from edge_ad_export.importers.plain_onnx import PlainOnnxImporter
from edge_ad_export.importers.raw_outputs import find_raw_outputs, removed
from edge_ad_export.model.imported import ImportedModel, ImportOptions

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile

__all__ = ["Anomalib2Importer"]

_OUTPUTS = {"pred_score", "pred_label", "anomaly_map", "pred_mask"}
_APPLICABLE = {"size"}
_REASON = "an anomalib 2.x export takes RGB from 0 to 1 and names its outputs"


class Anomalib2Importer:
    """RGB, 0 to 1, NCHW; resize (if any) and normalisation are in the graph already.

    Both exporters are known: the older one (opset 14) and dynamo's (2.7, opset 18), which keeps ``Where`` nodes
    around the normalisation and may fix the batch at 2; and what OpenVINO makes of either. An export is known by the
    names that anomalib gives, or, whatever the names, by the post-processor's chain of nodes before score and map.
    """

    def recognises(self, file: ModelFile) -> bool:
        return _is_named(file) or _has_chain(file)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        by_chain = options.importer is None and not _is_named(file)
        if by_chain and inapplicable(options, _APPLICABLE):
            return PlainOnnxImporter().load(file, options)
        refuse_options(options, _APPLICABLE, _REASON)
        spec = resolve_input(file, ImportOptions(size=options.size, color="rgb", layout="nchw", scale=255.0)).spec
        names = _names(file, spec.shape(spec.batch))
        if names is None and by_chain:
            return PlainOnnxImporter().load(file, options)
        if names is None:
            outputs = ", ".join(str(value.name) for value in file.onnx.graph.outputs)
            raise ModelError(
                f"{file.path} is no anomalib 2.x export: expected an output pred_score, "
                f"found {outputs}; leave --importer out to read it as plain ONNX"
            )
        found = find_raw_outputs(file.onnx, [name for name in (names.score, names.map) if name is not None])
        score, anomaly_map = (None if name is None else found.raw[name] for name in (names.score, names.map))
        map_name = None if anomaly_map is None else anomaly_map.name
        padded = pad_cropped_map(found.model, map_name, spec.shape(spec.batch), output=names.map or "")
        return ImportedModel(
            model=padded.model,
            input=spec,
            score=None if score is None else score.name,
            map=padded.name,
            family=find_family(file.onnx),
            importer="anomalib2",
            provenance=removed(score, anomaly_map),
            assumptions=found.warnings(),
        )


def _is_named(file: ModelFile) -> bool:
    graph = file.onnx.graph
    outputs = {value.name for value in graph.outputs}
    return "pred_score" in outputs and outputs <= _OUTPUTS and [v.name for v in graph.inputs] == ["input"]


def _has_chain(file: ModelFile) -> bool:
    """Whether a picture leads to both score and map by way of a normalisation, or to one of them by anomalib's own."""
    graph = file.onnx.graph
    if len(graph.inputs) != 1 or graph.inputs[0].dtype not in FLOATS or graph.inputs[0].shape is None:
        return False
    if len(graph.inputs[0].shape) != 4 or graph.inputs[0].shape[1] != 3:
        return False
    outputs = [str(value.name) for value in graph.outputs if value.dtype in FLOATS]
    raw = [*find_raw_outputs(file.onnx, outputs).raw.values()] if len(outputs) in (1, 2) else []
    return bool(raw) and all(one.found for one in raw) and (len(raw) == 2 or raw[0].exact)


def _names(file: ModelFile, shape: tuple[int, ...]) -> OutputNames | None:
    """The outputs by anomalib's names, or by their shapes; ``None`` where neither tells."""
    outputs = [str(value.name) for value in file.onnx.graph.outputs]
    if "pred_score" in outputs:
        return OutputNames("pred_score", "anomaly_map" if "anomaly_map" in outputs else None)
    if not _has_chain(file):
        return None
    shapes = {name: dims for name, dims in static_outputs(file.onnx, shape).items() if dims is not None}
    scores = [name for name, dims in shapes.items() if is_score(dims, shape[0])]
    maps = [name for name, dims in shapes.items() if is_map(dims, shape)]
    if len(scores) > 1 or len(maps) > 1 or not (scores or maps):
        return None
    return OutputNames(*(found[0] if found else None for found in (scores, maps)))
