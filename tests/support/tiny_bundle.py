"""What the bundles of tiny models have in common: two variants of one graph, and a manifest."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edge_ad.bundle import FORMAT, UNSEALED, BundleWriter, Manifest, Variant
from edge_ad.bundle.records import Clip, Fidelity, Geometry, Golden, MapSize, ModelInput
from edge_ad.engines.openvino import switch_off_telemetry

FIDELITY = Fidelity(
    images=1,
    score_max_abs=0.0,
    score_max_rel=0.0,
    spearman=1.0,
    map_correlation_min=1.0,
    latency_ms=1.0,
    size_bytes=1,
)


def write_variants(writer: BundleWriter, graph: onnx.ModelProto, heat: MapSize | None) -> tuple[Variant, ...]:
    """The graph for ONNX Runtime and for OpenVINO, and an empty folder for golden frames."""
    switch_off_telemetry()
    import openvino as ov

    for folder in ("variants/onnx-fp32", "variants/openvino-fp32", "golden"):
        (writer.root / folder).mkdir(parents=True)
    path = writer.root / "variants/onnx-fp32/model.onnx"
    onnx.save(graph, path)
    ov.save_model(ov.convert_model(str(path)), writer.root / "variants/openvino-fp32/model.xml", compress_to_fp16=False)
    return (
        _variant("onnx-fp32", "onnxruntime", "model.onnx", heat),
        _variant("openvino-fp32", "openvino", "model.xml", heat),
    )


def commit(
    writer: BundleWriter,
    variants: tuple[Variant, ...],
    model_input: ModelInput,
    geometry: Geometry,
    frames: Sequence[str],
    clip: Clip | None = None,
    version: str = "1",
) -> None:
    """Writes the manifest; what is expected of the golden ``frames`` lies in ``golden/<variant>.npz``."""
    writer.commit(
        Manifest(
            format=FORMAT,
            seal=UNSEALED,
            name="tiny",
            version=version,
            producer="tests",
            created="2026-01-01T00:00:00Z",
            family="test",
            input=model_input,
            geometry=geometry,
            clip=clip,
            variants=variants,
            default_variant="onnx-fp32",
            golden=Golden(frames=tuple(frames), expected={v.id: f"golden/{v.id}.npz" for v in variants}),
            files={},
        )
    )


def _variant(variant_id: str, engine: str, file: str, heat: MapSize | None) -> Variant:
    return Variant(
        id=variant_id,
        engine=engine,  # type: ignore[arg-type]
        precision="fp32",
        model=f"variants/{variant_id}/{file}",
        map=heat,
        fidelity=FIDELITY,
        golden_tolerance=1e-4,
    )
