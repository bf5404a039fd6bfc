"""Imports what anomalib 2.x writes with ``engine.export(export_type=ONNX)``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxscript import optimizer

from edge_ad.errors import ModelError
from edge_ad_export.imported import ImportedModel, ImportOptions, Provenance
from edge_ad_export.importers.inputs import only_input, resolve_input
from edge_ad_export.importers.tail import Tap, find_raw
from edge_ad_export.quiet import quiet_logs

if TYPE_CHECKING:
    from edge_ad_export.importers.model_file import ModelFile

__all__ = ["Anomalib2Importer"]

_OUTPUTS = {"pred_score", "pred_label", "anomaly_map", "pred_mask"}
# Names that only one of anomalib's models gives its weights.
_FAMILIES = {"memory_bank": "patchcore", "gaussian.inv_covariance": "padim", "student_model.": "stfpm"}
_APPLICABLE = {"importer", "size"}


class Anomalib2Importer:
    """Input ``input``, RGB, 0 to 1, NCHW; resize (if any) and normalisation are in the graph already.

    Both exporters are known: the older one (opset 14) and dynamo's (2.7, opset 18), which keeps ``Where`` nodes
    around the normalisation and may fix the batch at 2.
    """

    def recognises(self, file: ModelFile) -> bool:
        graph = file.onnx.graph
        outputs = {value.name for value in graph.outputs}
        return "pred_score" in outputs and outputs <= _OUTPUTS and [v.name for v in graph.inputs] == ["input"]

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        _refuse_options(options)
        model = file.onnx
        outputs = [value.name for value in model.graph.outputs]
        if "pred_score" not in outputs:
            raise ModelError(
                f"{file.path} is no anomalib 2.x export: expected an output pred_score, found {', '.join(map(str, outputs))}; "
                "leave --importer out to read it as plain ONNX"
            )
        frame = only_input(file)
        spec = resolve_input(frame, ImportOptions(size=options.size, color="rgb", layout="nchw", scale=255.0)).spec
        taps = _taps(model)
        return ImportedModel(
            model=model,
            input=spec,
            score=taps["pred_score"].raw.name,
            map=taps["anomaly_map"].raw.name if "anomaly_map" in taps else None,
            family=_family(model),
            importer="anomalib2",
            provenance=_removed(taps),
        )


def _refuse_options(options: ImportOptions) -> None:
    given = [f.name for f in fields(options) if f.name not in _APPLICABLE and getattr(options, f.name) is not None]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ModelError(
            f"{names} does not apply: an anomalib 2.x export takes RGB from 0 to 1 and names its outputs; "
            "leave it out, or say --importer onnx"
        )


def _taps(model: ir.Model) -> dict[str, Tap]:
    """By output name. Found on a copy with folded constants; the values keep their names."""
    copy = model.clone()
    with quiet_logs("onnx_ir", "onnxscript"):
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
        optimizer.fold_constants(copy)
    return {str(v.name): find_raw(v) for v in copy.graph.outputs if v.name in ("pred_score", "anomaly_map")}


def _family(model: ir.Model) -> str:
    names = list(model.graph.initializers)
    return next((family for part, family in _FAMILIES.items() if any(part in name for name in names)), "anomalib")


def _removed(taps: dict[str, Tap]) -> Provenance:
    removed: dict[str, str | int | float | bool | None] = {}
    for output, what in (("pred_score", "image"), ("anomaly_map", "pixel")):
        tap = taps.get(output)
        removed[f"baked_{what}_threshold"] = tap.threshold if tap else None
        removed[f"baked_{what}_range"] = tap.range if tap else None
    return removed
