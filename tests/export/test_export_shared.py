"""Real exports of anomalib 2.7 over real photographs."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
from support.real_models import RealModels

from edge_ad.bundle.records import Geometry, Resize
from edge_ad.engines import Artefact, EngineOptions, open_engine
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.verification import verify_bundle
from edge_ad_export import ExportRequest, export_bundle
from edge_ad_export.lowering.contract import Batch
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.images import collect_pixels, select_images

pytestmark = pytest.mark.shared

MODELS = [
    pytest.param("cookies/patchcore.onnx", "patchcore", (8.6395, 4.9064, 8.4022, 8.6013), id="patchcore"),
    pytest.param(
        "cookies/patchcore_batch2.onnx", "patchcore", (8.6395, 4.9064, 8.4022, 8.6013), id="patchcore-batch-2"
    ),
    pytest.param("cookies/padim.onnx", "padim", (56.2972, 97.4293, 56.2972, 108.3453), id="padim"),
    pytest.param("cookies/stfpm.onnx", "stfpm", (0.0305, 0.0399, 0.0305, 0.0553), id="stfpm"),
    pytest.param("magnetic_tile/patchcore.onnx", "patchcore", (9.4751, 5.6040, 8.8632, 8.1282), id="tiles-patchcore"),
]


@pytest.mark.parametrize(("name", "family", "baked"), MODELS)
def test_normalisation_is_taken_away(real_models: RealModels, name: str, family: str, baked: tuple[float, ...]) -> None:
    imported = real_models.imported(name)

    assert (imported.importer, imported.family, imported.assumptions) == ("anomalib2", family, ())
    assert list(imported.provenance.values()) == pytest.approx(baked, abs=1e-4)


@pytest.mark.parametrize(("name", "family", "baked"), MODELS)
def test_lowered_graph_scores_as_the_model(
    shared: Path, real_models: RealModels, name: str, family: str, baked: tuple[float, ...]
) -> None:
    imported, lowered = real_models.imported(name), real_models.cheap(name)
    images = select_images(shared / "data" / Path(name).parent / "train" / "good", 4)
    geometry = Geometry(resize=Resize(width=256, height=256))

    rewritten = open_engine(
        "onnxruntime", Artefact(ir.to_proto(lowered.model).SerializeToString()), EngineOptions(threads=2)
    )
    reference = ReferenceEngine(imported, 2)
    for pixels in collect_pixels(Preprocessor(geometry, lowered.input), images, 4):
        rewritten.input[:] = reference.input[:] = pixels
        expected = reference.run()
        assert rewritten.run().score == pytest.approx(expected.score, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "batch", "like"),
    [
        pytest.param("patchcore_batch2.onnx", "rebatched", "patchcore.onnx", id="batch-of-two"),
        pytest.param("patchcore.onnx", "one", "patchcore.onnx", id="one-image"),
    ],
)
def test_a_batch_of_two_becomes_the_very_graph_of_one(
    real_models: RealModels, name: str, batch: Batch, like: str
) -> None:
    found, single = real_models.cheap(f"cookies/{name}"), real_models.cheap(f"cookies/{like}")

    assert found.batch == batch
    assert [n.op_type for n in found.model.graph] == [n.op_type for n in single.model.graph]


@pytest.mark.parametrize("name", ["patchcore_v120/model.onnx"])
def test_an_export_of_anomalib_1_is_known(real_models: RealModels, name: str) -> None:
    imported = real_models.imported(f"cookies/{name}")

    assert (imported.importer, imported.score, imported.map) == ("anomalib1", "494", "output")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family", "baked"), MODELS)
def test_export_for_real(shared: Path, tmp_path: Path, name: str, family: str, baked: tuple[float, ...]) -> None:
    folder = Path(name).parent
    request = ExportRequest(
        shared / "models" / name, shared / "data" / folder / "train" / "good", tmp_path / "b", max_images=31
    )

    manifest = export_bundle(request).bundle.manifest

    # On some CPUs bfloat16 as well; what ships beside float32 is a question of this machine's speed.
    tried = {trial.id for trial in manifest.trials}
    assert {"onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-fp16", "openvino-int8"} <= tried
    assert {"onnx-fp32", "openvino-fp32"} <= {variant.id for variant in manifest.variants}
    exact = [v.fidelity.score_max_rel for v in manifest.variants if v.precision == "fp32"]
    assert max(exact) < 1e-3
    verify_bundle(request.target)
