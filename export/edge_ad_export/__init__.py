"""From a trained model's file to a bundle. Runs on a workstation; the device never imports it.

Names are loaded when they are first used: the command line asks this package for its command, and must not load
onnx and its tools for that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_export.export import ExportResult, export_bundle
    from edge_ad_export.fidelity.gate import Gate
    from edge_ad_export.importers import ModelFile, import_model
    from edge_ad_export.model.imported import ImportedModel, ImportOptions
    from edge_ad_export.model.input_spec import InputSpec, Size
    from edge_ad_export.request import ExportRequest
    from edge_ad_export.samples.geometry import GeometryOptions

__all__ = [
    "ExportRequest",
    "ExportResult",
    "Gate",
    "GeometryOptions",
    "ImportOptions",
    "ImportedModel",
    "InputSpec",
    "ModelFile",
    "Size",
    "export_bundle",
    "import_model",
]

_HOMES = {
    "ExportRequest": "request",
    "ExportResult": "export",
    "Gate": "fidelity.gate",
    "GeometryOptions": "samples.geometry",
    "ImportOptions": "model.imported",
    "ImportedModel": "model.imported",
    "InputSpec": "model.input_spec",
    "ModelFile": "importers",
    "Size": "model.input_spec",
    "export_bundle": "export",
    "import_model": "importers",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_export' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad_export.{_HOMES[name]}"), name)
