"""Records where a bundle comes from, so that it can be made again and its figures can be judged."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from edge_ad.engines.processor import this_processor
from edge_ad_metrics.machine import describe_cpu

if TYPE_CHECKING:
    from edge_ad_export.importers import ModelFile
    from edge_ad_export.preparation.prepare import Setup
    from edge_ad_export.request import ExportRequest

__all__ = ["Provenance", "collect_provenance", "producer", "reference_figures"]

Provenance = dict[str, str | int | float | bool | None]

_TOOLS = ("onnx-ir", "onnxscript", "onnxruntime", "openvino", "nncf")


def producer() -> str:
    """The name and version of the program that wrote the bundle."""
    return f"edge-ad {_version('edge-ad')}"


def reference_figures(file: ModelFile, setup: Setup, latency_ms: float | None) -> Provenance:
    """What the imported file costs: its size, and the latency of its own graph in milliseconds. The score is not in
    that graph if export composes it."""
    return {
        "source_bytes": file.size_bytes,
        "source_latency_ms": latency_ms,
        "source_score_composed": setup.imported.head is not None,
    }


def collect_provenance(request: ExportRequest, file: ModelFile, setup: Setup) -> Provenance:
    """The manifest's provenance. It contains no path of this computer.

    ``cpu``, ``cpu_instructions`` and ``cpu_kind`` are of the CPU that made all figures and golden scores.
    """
    cpu = describe_cpu()
    first = None if setup.first is None else setup.first.imported
    spec = setup.imported.input if first is None else first.model.input
    assumed = (*(first.model.assumptions if first else ()), *setup.imported.assumptions)
    return {
        "source": file.path.name,
        "source_sha256": file.sha256,
        "importer": setup.imported.importer,
        "source_format": file.format,
        "source_opset": setup.imported.model.opset_imports.get("") if file.format == "onnx" else None,
        "source_batch": setup.imported.input.batch,
        "batch": setup.lowered.batch,
        "color": spec.color,
        "pixel_scale": spec.scale,
        "assumptions": "; ".join(assumed) or None,
        **({} if first is None else {"extractor": first.file.path.name, "extractor_sha256": first.file.sha256}),
        **setup.imported.provenance,
        "images": len(setup.images.paths),
        "images_given": setup.images.total,
        "min_spearman": request.gate.min_spearman,
        "min_map_correlation": request.gate.min_map_correlation,
        "effort": request.effort,
        "target_cpu": ", ".join(request.target_cpus),
        "engine_threads": request.threads,
        "cpu": cpu.model,
        "cpu_instructions": " ".join(cpu.instructions),
        "cpu_kind": next(iter(this_processor().kinds), None),
        **{tool: _version(tool) for tool in _TOOLS},
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
