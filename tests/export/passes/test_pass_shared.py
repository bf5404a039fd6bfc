"""The passes on real trained models: the same scores and maps, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import operators
from support.onnx_session import open_session
from support.real_models import RealModels

from edge_ad_export.lowering.contract import Lowered, shorten_search
from edge_ad_export.model.shrink import Shrink

pytestmark = pytest.mark.shared

MODELS = [
    pytest.param("cookies/padim.onnx", id="padim"),
    pytest.param("cookies/patchcore.onnx", id="patchcore"),
    pytest.param("cookies/patchcore_batch2.onnx", id="patchcore-batch2", marks=pytest.mark.slow),
    pytest.param("cookies/patchcore_v120/model.onnx", id="patchcore-anomalib1", marks=pytest.mark.slow),
    pytest.param("cookies/stfpm.onnx", id="stfpm"),
]


def frames(shared: Path) -> list[NDArray[np.uint8]]:
    paths = sorted((shared / "data/cookies/test").glob("[ag]*/*.jpg"))[::24]
    return [cv2.resize(cv2.imread(str(path)), (256, 256), interpolation=cv2.INTER_AREA)[None] for path in paths]


def opened(lowered: Lowered) -> Any:
    return open_session(ir.to_proto(lowered.model).SerializeToString())


def size(lowered: Lowered) -> int:
    """Bytes of the constants."""
    values = lowered.model.graph.initializers.values()
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_maps_of_trained_models_stay(shared: Path, real_models: RealModels, name: str) -> None:
    before, after = real_models.plain(name), real_models.cheap(name)
    images = frames(shared)

    assert images
    assert after.cheaper
    sessions = [opened(before), opened(after)]
    for frame in images:
        (score, anomaly_map), (found, found_map) = (session.run(None, {"frame": frame}) for session in sessions)
        assert_allclose(found, score, rtol=1e-3)
        assert_allclose(found_map, anomaly_map, atol=1e-3 * float(np.abs(anomaly_map).max()))


def test_padim_carries_less_than_a_fifth_of_its_constants(real_models: RealModels) -> None:
    name = "cookies/padim.onnx"

    assert size(real_models.cheap(name)) < 0.2 * size(real_models.plain(name))


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        pytest.param("cookies/padim.onnx", {"Pad", "ReduceSum"}, id="padim"),
        pytest.param("cookies/patchcore.onnx", {"Pad", "TopK"}, id="patchcore"),
        pytest.param("cookies/patchcore_v120/model.onnx", {"Pad", "TopK"}, id="patchcore-anomalib1"),
        pytest.param("cookies/stfpm.onnx", {"Expand", "Resize", "Pow"}, id="stfpm"),
    ],
)
def test_every_pattern_of_the_exporters_is_met(real_models: RealModels, name: str, gone: set[str]) -> None:
    assert gone <= set(operators(real_models.plain(name).model))
    assert not gone & set(operators(real_models.cheap(name).model))


@pytest.mark.parametrize(
    ("shrink", "part"),
    [
        pytest.param(Shrink(coreset=1000), 0.6, id="coreset", marks=pytest.mark.slow),
        pytest.param(Shrink(project=256), 0.65, id="projection", marks=pytest.mark.slow),
        pytest.param(Shrink(coreset=1000, project=192), 0.5, id="both"),
    ],
)
def test_a_smaller_bank_scores_much_the_same(
    shared: Path, real_models: RealModels, shrink: Shrink, part: float
) -> None:
    name = "cookies/patchcore.onnx"
    exact, small = real_models.cheap(name), real_models.cheap(name, shrink)
    images = frames(shared)

    sessions = [opened(exact), opened(small)]
    scores = [[float(session.run(["score"], {"frame": frame})[0][0]) for frame in images] for session in sessions]

    assert size(small) < part * size(exact)
    assert_allclose(scores[1], scores[0], rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["cookies/patchcore.onnx", "cookies/patchcore_batch2.onnx", "cookies/patchcore_v120/model.onnx"]
)
def test_a_shortlist_keeps_scores_and_hardly_changes_maps(shared: Path, real_models: RealModels, name: str) -> None:
    short = shorten_search(real_models.cheap(name), Shrink())
    assert short is not None

    sessions = [opened(real_models.plain(name)), opened(short)]
    for frame in frames(shared):
        (score, anomaly_map), (found, found_map) = (session.run(None, {"frame": frame}) for session in sessions)
        assert_allclose(found, score, rtol=1e-4)
        assert np.corrcoef(found_map.ravel(), anomaly_map.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("name", ["cookies/padim.onnx", "cookies/stfpm.onnx"])
def test_a_model_without_a_memory_bank_has_no_shortlist(real_models: RealModels, name: str) -> None:
    assert shorten_search(real_models.cheap(name), Shrink()) is None
