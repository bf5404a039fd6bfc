"""Imports what anomalib 1.x writes with ``engine.export``, as ONNX and as OpenVINO IR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_ad.errors import ModelError
from edge_ad_export.importers.centre_crop import pad_cropped_map
from edge_ad_export.importers.inputs import refuse_options, resolve_input
from edge_ad_export.importers.outputs import anomalib_outputs, find_family
from edge_ad_export.model.imported import ImportedModel, ImportOptions, Provenance

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile

__all__ = ["Anomalib1Importer"]

_APPLICABLE = {"size", "score_output", "map_output"}
_REASON = "an anomalib 1.x export takes RGB from 0 to 1"
# The exporter's wrapper calls the transform in the graph by this name.
_TRANSFORM = "/transform/"


class _Metadata(msgspec.Struct):
    """``metadata.json``. What the exporter could not know is absent."""

    image_threshold: float | None = None
    pixel_threshold: float | None = None
    pred_scores_min: float | None = msgspec.field(default=None, name="pred_scores.min")
    pred_scores_max: float | None = msgspec.field(default=None, name="pred_scores.max")
    anomaly_maps_min: float | None = msgspec.field(default=None, name="anomaly_maps.min")
    anomaly_maps_max: float | None = msgspec.field(default=None, name="anomaly_maps.max")


class Anomalib1Importer:
    """Input ``input``, RGB, 0 to 1, NCHW; resize, centre crop and normalisation are in the graph; outputs are raw.

    The first output is named ``output``, the others get numbers. Thresholds and statistics are in ``metadata.json``
    and go to the provenance; PatchCore's score is an output of its own, not the largest value of the map.
    """

    def recognises(self, file: ModelFile) -> bool:
        graph = file.onnx.graph
        if [v.name for v in graph.inputs] != ["input"] or "output" not in {v.name for v in graph.outputs}:
            return False
        known = file.metadata is not None and b'"task"' in file.metadata and b'"transform"' not in file.metadata
        return known or any(_TRANSFORM in str(node.name) for node in graph)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        refuse_options(options, _APPLICABLE, _REASON)
        spec = resolve_input(file, ImportOptions(size=options.size, color="rgb", layout="nchw", scale=255.0)).spec
        shape = spec.shape(spec.batch)
        outputs = anomalib_outputs(file, options, shape)
        padded = pad_cropped_map(file.onnx, outputs.map, shape)
        return ImportedModel(
            model=padded.model,
            input=spec,
            score=outputs.score,
            map=padded.name,
            family=find_family(file.onnx),
            importer="anomalib1",
            provenance=_statistics(file),
        )


def _statistics(file: ModelFile) -> Provenance:
    if file.metadata is None:
        return {}
    try:
        found = msgspec.json.decode(file.metadata, type=_Metadata)
    except msgspec.DecodeError as error:
        raise ModelError(
            f"the metadata.json beside {file.path} is not anomalib's: {error}; remove or replace it"
        ) from None
    return {f"baked_{name}": value for name, value in msgspec.structs.asdict(found).items()}
