"""Imports what AnomaVision 3.x writes with its ``export`` command, as ONNX and as OpenVINO IR."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.importers.inputs import refuse_options, resolve_input
from edge_ad_export.importers.outputs import listing, weight_names
from edge_ad_export.model.imported import ImportedModel, ImportOptions

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile

__all__ = ["AnomaVisionImporter"]

_SCORE, _MAP, _EMBEDDINGS = "output_0", "output_1", "output_2"
# The exporter's wrapper calls the model in it by this name.
_WRAPPED = "m."
_WRAPPED_NODE = "/m/"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_APPLICABLE = {"size", "scale", "mean", "std"}
_REASON = "an AnomaVision export takes RGB and gives output_0 and output_1"
# Names of weights that tell its models. PatchCore has an extractor too, and is asked for first.
_FAMILIES = {"m.memory_bank": "patchcore", "m.student": "efficientad", "m.embeddings_extractor": "padim"}


class AnomaVisionImporter:
    """Input ``input``, RGB, NCHW, normalised outside of the graph; ``output_0``: raw score, ``output_1``: raw map.

    How it was normalised stands in the ``config.yml`` of the training run alone. Its default are the statistics of
    ImageNet, which are assumed and reported; ``--mean``, ``--std`` and ``--scale`` say otherwise.
    """

    def recognises(self, file: ModelFile) -> bool:
        graph = file.onnx.graph
        outputs = {str(value.name) for value in graph.outputs}
        if not {_SCORE, _MAP} <= outputs <= {_SCORE, _MAP, _EMBEDDINGS} or [v.name for v in graph.inputs] != ["input"]:
            return False
        named = any(name.startswith(_WRAPPED) for name in weight_names(file.onnx))
        return named or any(str(node.name).startswith(_WRAPPED_NODE) for node in graph)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        refuse_options(options, _APPLICABLE, _REASON)
        if not {_SCORE, _MAP} <= {str(value.name) for value in file.onnx.graph.outputs}:
            raise ModelError(
                f"{file.path} is no AnomaVision export: expected the outputs {_SCORE} and {_MAP}; {listing(file)}; "
                "leave --importer out"
            )
        said = replace(options, color="rgb", layout="nchw", mean=options.mean or _IMAGENET_MEAN)
        spec = resolve_input(file, replace(said, std=options.std or _IMAGENET_STD)).spec
        assumed = (
            "assumed: normalised with ImageNet's mean and standard deviation, AnomaVision's default (--mean, --std)"
        )
        return ImportedModel(
            model=file.onnx,
            input=spec,
            score=_SCORE,
            map=_MAP,
            family=_family(file),
            importer="anomavision",
            assumptions=() if options.mean and options.std else (assumed,),
        )


def _family(file: ModelFile) -> str:
    names = weight_names(file.onnx)
    return next((family for part, family in _FAMILIES.items() if any(n.startswith(part) for n in names)), "anomavision")
