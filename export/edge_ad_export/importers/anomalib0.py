"""Imports what anomalib 0.7 writes, as ONNX and as OpenVINO IR: no preprocessing is in the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.importers.albumentations import Preprocessing, from_metadata, from_model_info, unused_entries
from edge_ad_export.importers.centre_crop import Crop, crop_input, pad_map
from edge_ad_export.importers.inputs import refuse_options, resolve_input
from edge_ad_export.importers.outputs import anomalib_outputs, find_family, static_outputs
from edge_ad_export.model.imported import ImportedModel, ImportOptions
from edge_ad_export.model.input_spec import Size

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.model.input_spec import InputSpec

__all__ = ["Anomalib0Importer"]

_APPLICABLE = {"score_output", "map_output"}
_REASON = "what lies beside an anomalib 0.7 export says it"


class Anomalib0Importer:
    """Input ``input``, ``[1, 3, H, W]``; outputs are raw, the first is named ``output``.

    Resize, centre crop and normalisation are described beside the graph: as an albumentations pipeline in
    ``metadata.json``, or in an IR's ``rt_info/model_info``. The crop goes into the graph, mean and standard deviation
    into the preprocessing, the resampling kernel to the geometry.
    """

    def recognises(self, file: ModelFile) -> bool:
        if file.format == "tflite" or "output" not in {value.name for value in file.onnx.graph.outputs}:
            return False
        return (file.metadata is not None and b'"transform"' in file.metadata) or "mean_values" in file.model_info

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        refuse_options(options, _APPLICABLE, _REASON)
        found = _preprocessing(file)
        said = ImportOptions(color=found.color, layout="nchw", scale=found.scale, mean=found.mean, std=found.std)
        spec = resolve_input(file, said).spec
        shape = spec.shape(spec.batch)
        outputs = anomalib_outputs(file, options, shape)
        imported = ImportedModel(
            model=file.onnx,
            input=spec,
            score=outputs.score,
            map=outputs.map,
            family=find_family(file.onnx),
            importer="anomalib0",
            provenance=found.statistics,
            kernel=found.kernel,
            assumptions=unused_entries(file.model_info),
        )
        return imported if found.resize in (None, spec.size) else _cropped(imported, _crop(file, found.resize, spec))


def _preprocessing(file: ModelFile) -> Preprocessing:
    """Raises :class:`ModelError` where nothing beside the graph says what the pixels go through."""
    if file.metadata is not None and b'"transform"' in file.metadata:
        return from_metadata(file.metadata, file.path)
    if "mean_values" in file.model_info:
        return from_model_info(file.model_info, file.path)
    raise ModelError(
        f"an anomalib 0.7 export has its preprocessing in metadata.json, which is not beside {file.path}: copy it "
        "there, or say --importer onnx with --mean, --std and --scale"
    )


def _crop(file: ModelFile, resize: Size | None, spec: InputSpec) -> Crop:
    if resize is None or resize.width < spec.size.width or resize.height < spec.size.height:
        raise ModelError(
            f"{file.path} takes {spec.size} pixels, but what lies beside it describes images of {resize}: they do "
            "not belong together; copy both again"
        )
    return Crop.centred(resize, spec.size)


def _cropped(imported: ImportedModel, crop: Crop) -> ImportedModel:
    """The model that takes the whole image, and gives a map of the whole image."""
    model, map_name = crop_input(imported.model, crop), imported.map
    shapes = static_outputs(imported.model, imported.input.shape(imported.input.batch))
    size = None if map_name is None else shapes[map_name]
    if map_name is not None and size is not None:
        model, map_name = pad_map(model, map_name, crop, size), f"{map_name}_padded"
    spec = replace(imported.input, size=Size(crop.width, crop.height))
    return replace(imported, model=model, map=map_name, input=spec)
