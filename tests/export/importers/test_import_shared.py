"""Every real trained model of a known contract, without an option."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.real_models import RealModels

from edge_ad.errors import ModelError
from edge_ad.sources import list_images, read_image
from edge_ad_export import ExportRequest, ModelFile, export_bundle, import_model
from edge_ad_export.reference.engine import ReferenceEngine

pytestmark = pytest.mark.shared

MODELS = [
    "cookies/patchcore.onnx",
    "cookies/patchcore_batch2.onnx",
    "cookies/patchcore_openvino",
    "cookies/patchcore_v120",
    "cookies/padim.onnx",
    "cookies/stfpm.onnx",
    "cookies/stfpm_openvino",
    "magnetic_tile/patchcore.onnx",
]


def photographs(folder: Path, count: int, side: int = 256) -> list[NDArray[np.uint8]]:
    """BGR ``(side, side, 3)``."""
    images = [read_image(path) for path in list_images(folder)[:count]]
    colour = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image for image in images]
    return [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8) for image in colour]


@pytest.mark.parametrize("name", MODELS)
def test_raw_scores_agree_with_the_import(shared: Path, real_models: RealModels, name: str) -> None:
    exported, reference = real_models.engine(name), ReferenceEngine(real_models.imported(name))

    for pixels in photographs(shared / "data" / Path(name).parts[0] / "train/good", 3):
        exported.input[0] = reference.input[0] = pixels
        found, expected = exported.run(), reference.run()
        assert found.score == pytest.approx(expected.score, rel=1e-3)
        assert found.map is not None
        assert expected.map is not None
        assert_allclose(found.map, expected.map, rtol=1e-3, atol=1e-3 * float(expected.map.max()))


def test_one_fitted_model_scores_the_same_from_every_exporter(shared: Path, real_models: RealModels) -> None:
    """anomalib 2.7 as ONNX and IR, with a batch of two, and anomalib 1.2: the same memory bank in all of them."""
    names = ("patchcore.onnx", "patchcore_openvino", "patchcore_batch2.onnx", "patchcore_v120")
    engines = [real_models.engine(f"cookies/{name}") for name in names]

    for pixels in photographs(shared / "data/cookies/test/anomaly", 3):
        for engine in engines:
            engine.input[0] = pixels
        scores = [engine.run().score for engine in engines]
        assert scores == pytest.approx([scores[0]] * len(engines), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_exports_without_an_option(shared: Path, tmp_path: Path, name: str) -> None:
    images = shared / "data" / Path(name).parts[0] / "train/good"
    request = ExportRequest(
        shared / "models" / name, images, tmp_path / "bundle", variants=("openvino-fp32",), max_images=8
    )

    manifest = export_bundle(request).bundle.manifest

    assert [variant.id for variant in manifest.variants] == ["openvino-fp32"]
    assert manifest.variants[0].fidelity.score_max_rel < 1e-3


def test_a_model_of_features_names_them(shared: Path) -> None:
    file = ModelFile(shared / "models/backbones/squeezenet1_1_imagenet_features.onnx")

    with pytest.raises(ModelError, match=r"--score-output.*fire3 float.*fire9 float"):
        import_model(file)
