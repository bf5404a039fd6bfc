"""Every head's graph says what its NumPy says, in both engines and in every operator set that it may meet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import export_heads

from edge_ad_export.heads import FAMILIES
from edge_ad_export.model.head import HeadInputs, HeadResult
from edge_ad_export.model.head_options import MapScore
from edge_ad_export.model.imported import ImportOptions

FEATURES = {"feature_output": ("fine", "coarse"), "fit": "normals"}
PAIRS = {"feature_output": ("fine", "coarse"), "predicted_output": ("fine_student", "coarse_student")}
LOGITS, PROBABILITIES = ImportOptions(score_output="logits"), ImportOptions(score_output="probabilities")
HEAT = ImportOptions(map_output="distance_map")

# What takes clips is tested where clips are.
OF_CLIPS = {"next-frame", "clip-reconstruction", "mil"}
HEADS = [
    pytest.param("score", LOGITS, {"anomalous_class": 2}, id="logit of the anomalous class"),
    pytest.param("score", LOGITS, {"normal_class": 0}, id="logit of the normal class"),
    pytest.param("score", PROBABILITIES, {"anomalous_class": 2}, id="log odds of the anomalous class"),
    pytest.param("score", PROBABILITIES, {"normal_class": 3}, id="log odds of the normal class"),
    pytest.param("map", HEAT, {}, id="map as it is"),
    pytest.param("map", HEAT, {"blur": 5.0, "map_score": MapScore("top", 7)}, id="map blurred, mean of the largest"),
    pytest.param("map", HEAT, {"map_score": MapScore("quantile", 0.9)}, id="map quantile"),
    pytest.param("reconstruction", None, {"predicted_output": ("recon",)}, id="reconstruction squared"),
    pytest.param(
        "reconstruction", None, {"predicted_output": ("recon",), "error": "absolute", "blur": 0.0}, id="absolute"
    ),
    pytest.param("reconstruction", None, {"predicted_output": ("recon",), "error": "ssim"}, id="ssim"),
    pytest.param(
        "reconstruction",
        None,
        {"predicted_output": ("fine_student",), "feature_output": ("fine",)},
        id="feature error",
    ),
    pytest.param("student-teacher", None, PAIRS, id="cosine product"),
    pytest.param("student-teacher", None, {**PAIRS, "distance": "l2", "combine": "sum"}, id="l2 sum"),
    pytest.param("student-teacher", None, {**PAIRS, "combine": "mean", "blur": 3.0}, id="cosine mean blurred"),
    pytest.param("flow", None, {"feature_output": ("distance_map",)}, id="log-likelihood map"),
    pytest.param("flow", None, {"feature_output": ("fine", "coarse")}, id="latents"),
    pytest.param(
        "flow",
        None,
        {"feature_output": ("fine", "distance_map"), "likelihood": "probability"},
        id="latent and map",
    ),
    pytest.param("gaussian", None, {**FEATURES, "fit_channels": 9}, id="a Gaussian at every place"),
    pytest.param("gaussian", None, {**FEATURES, "fit_shared": True}, id="one Gaussian"),
    pytest.param("gaussian", None, {**FEATURES, "feature_pool": "global"}, id="one Gaussian of global features"),
    pytest.param("memory-bank", None, {**FEATURES, "fit_bank": 200, "feature_pool": "3x3"}, id="memory bank"),
    pytest.param("memory-bank", None, {**FEATURES, "fit_bank": 50, "neighbours": 1}, id="no reweighting"),
    pytest.param("memory-bank", None, {**FEATURES, "feature_pool": "global"}, id="memory bank of global features"),
    pytest.param("one-class", None, {**FEATURES, "feature_resize": "nearest"}, id="centre at every place"),
    pytest.param("one-class", None, {**FEATURES, "feature_pool": "global"}, id="centre of global features"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_heads.write_model(tmp_path_factory.mktemp("heads") / "model.onnx")


def test_the_table_above_knows_every_family() -> None:
    assert {param.values[0] for param in HEADS} == set(FAMILIES) - OF_CLIPS


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
@pytest.mark.parametrize(("family", "importing", "options"), HEADS)
def test_onnxruntime_agrees_with_numpy(
    model: Path, family: str, importing: ImportOptions | None, options: Mapping[str, Any], opset: int
) -> None:
    head = export_heads.make(model, family, importing, **options)
    for seed in range(3):
        inputs, frame = export_heads.values(head.inputs, seed), export_heads.values(["recon"], 50 + seed)[0]
        _same(export_heads.run_onnx(head, inputs, frame, opset), head.reference(HeadInputs(inputs, frame)))


@pytest.mark.parametrize(("family", "importing", "options"), HEADS)
def test_openvino_agrees_with_numpy(
    model: Path, family: str, importing: ImportOptions | None, options: Mapping[str, Any]
) -> None:
    head = export_heads.make(model, family, importing, **options)
    inputs, frame = export_heads.values(head.inputs, 7), export_heads.values(["recon"], 57)[0]
    _same(export_heads.run_openvino(head, inputs, frame), head.reference(HeadInputs(inputs, frame)))


def _same(found: export_heads.Ran, expected: HeadResult) -> None:
    assert found.score == pytest.approx(expected.score, rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(_cells(found.map), _cells(expected.map), rtol=1e-3, atol=1e-5)


def _cells(anomaly_map: NDArray[np.floating] | None) -> NDArray[np.floating]:
    return np.empty(0) if anomaly_map is None else anomaly_map
