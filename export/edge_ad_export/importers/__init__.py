"""From a trained model's file to an :class:`~edge_ad_export.model.imported.ImportedModel`.

An importer knows one contract (what an exporter writes); nothing after it does. A new one is a module with a
class that follows :class:`Importer` and a line in :data:`IMPORTERS`.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from edge_ad.errors import InputError
from edge_ad_export.files.model_file import ModelFile
from edge_ad_export.graph.embedded import name_outputs
from edge_ad_export.importers.checks import check_model
from edge_ad_export.importers.engine_trial import try_onnxruntime
from edge_ad_export.importers.random_nodes import switch_off_dropout
from edge_ad_export.importers.reshape_input import fix_inputs
from edge_ad_export.importers.training_mode import normalize_by_image
from edge_ad_export.model.imported import ImportedModel, ImportOptions

__all__ = ["IMPORTERS", "Importer", "ModelFile", "import_model"]

# In the order in which they are asked whether a file is theirs; the last one takes any graph.
IMPORTERS = {
    "anomalib2": "edge_ad_export.importers.anomalib2:Anomalib2Importer",
    "anomalib0": "edge_ad_export.importers.anomalib0:Anomalib0Importer",
    "anomalib1": "edge_ad_export.importers.anomalib1:Anomalib1Importer",
    "anomavision": "edge_ad_export.importers.anomavision:AnomaVisionImporter",
    "onnx": "edge_ad_export.importers.plain_onnx:PlainOnnxImporter",
}


class Importer(Protocol):
    """One contract of a trained model's file."""

    def recognises(self, file: ModelFile) -> bool:
        """Whether the file says of itself that it follows this contract."""
        ...

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        """Raises :class:`~edge_ad.errors.ModelError` where the file or the options do not fit."""
        ...


def import_model(file: ModelFile, options: ImportOptions | None = None) -> ImportedModel:
    """Reads the file with the importer named in the options, or with the first one that recognises it.

    Raises:
        InputError: no importer of that name, or the file is not there.
        ModelError: the file is unreadable, or nothing in it can be used as score or map.
    """
    options = options or ImportOptions()
    if options.importer is not None and options.importer not in IMPORTERS:
        raise InputError(f"no importer {options.importer!r}: choose one of {', '.join(IMPORTERS)}")
    head = options.head
    named = (options.score_output, options.map_output, *(head.feature_output + head.predicted_output if head else ()))
    name_outputs(file.onnx, [name for name in named if name is not None])
    if options.input_value:
        fix_inputs(file, options.input_value)
    try_onnxruntime(file.onnx, options.size)
    if options.importer is not None:
        importer = _importer(options.importer)
    else:
        importer = next((found for found in map(_importer, IMPORTERS) if found.recognises(file)), _importer("onnx"))
    imported = normalize_by_image(switch_off_dropout(importer.load(file, options)))
    check_model(imported, file.path)
    return imported


def _importer(name: str) -> Importer:
    module, _, attribute = IMPORTERS[name].partition(":")
    importer: Importer = getattr(importlib.import_module(module), attribute)()
    return importer
