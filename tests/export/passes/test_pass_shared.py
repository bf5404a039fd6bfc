"""The passes on real trained models: the same scores and maps, and what is saved."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import operators, run

from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.lowering.contract import Lowered, lower
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.model.shrink import Shrink

pytestmark = pytest.mark.shared

MODELS = [
    pytest.param("cookies/padim.onnx", id="padim"),
    pytest.param("cookies/patchcore.onnx", id="patchcore"),
    pytest.param("cookies/patchcore_batch2.onnx", id="patchcore-batch2"),
    pytest.param("cookies/patchcore_v120/model.onnx", id="patchcore-anomalib1"),
    pytest.param("cookies/stfpm.onnx", id="stfpm"),
]


class Models:
    """Each model is imported and lowered once; tests only read what they get."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.load, self.cheap, self.plain = cache(self._load), cache(self._cheap), cache(self._plain)

    def _load(self, name: str) -> ImportedModel:
        return import_model(ModelFile(self._folder / name))

    def _cheap(self, name: str, shrink: Shrink | None = None) -> Lowered:
        return lower(self.load(name), lambda _candidate: True, shrink)

    def _plain(self, name: str) -> Lowered:
        """On the contract, but no cheaper: nothing that was recognised by a pattern is kept."""
        return lower(self.load(name), lambda candidate: not candidate.cheaper)


@pytest.fixture(scope="module")
def models(shared: Path) -> Models:
    return Models(shared / "models")


def frames(shared: Path) -> list[NDArray[np.uint8]]:
    paths = sorted((shared / "data/cookies/test").glob("[ag]*/*.jpg"))[::24]
    return [cv2.resize(cv2.imread(str(path)), (256, 256), interpolation=cv2.INTER_AREA)[None] for path in paths]


def size(lowered: Lowered) -> int:
    """Bytes of the constants."""
    values = lowered.model.graph.initializers.values()
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_maps_of_trained_models_stay(shared: Path, models: Models, name: str) -> None:
    before, after = models.plain(name), models.cheap(name)
    images = frames(shared)

    assert images
    assert after.cheaper
    for frame in images:
        (score, anomaly_map), (found, found_map) = run(before.model, frame=frame), run(after.model, frame=frame)
        assert_allclose(found, score, rtol=1e-3)
        assert_allclose(found_map, anomaly_map, atol=1e-3 * float(np.abs(anomaly_map).max()))


def test_padim_carries_less_than_a_fifth_of_its_constants(models: Models) -> None:
    name = "cookies/padim.onnx"

    assert size(models.cheap(name)) < 0.2 * size(models.plain(name))


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        pytest.param("cookies/padim.onnx", {"Pad", "ReduceSum"}, id="padim"),
        pytest.param("cookies/patchcore.onnx", {"Pad", "TopK"}, id="patchcore"),
        pytest.param("cookies/patchcore_v120/model.onnx", {"Pad", "TopK"}, id="patchcore-anomalib1"),
        pytest.param("cookies/stfpm.onnx", {"Expand", "Resize", "Pow"}, id="stfpm"),
    ],
)
def test_every_pattern_of_the_exporters_is_met(models: Models, name: str, gone: set[str]) -> None:
    assert gone <= set(operators(models.plain(name).model))
    assert not gone & set(operators(models.cheap(name).model))


@pytest.mark.parametrize(
    ("shrink", "part"),
    [
        pytest.param(Shrink(coreset=1000), 0.6, id="coreset"),
        pytest.param(Shrink(project=256), 0.65, id="projection"),
        pytest.param(Shrink(coreset=1000, project=192), 0.5, id="both"),
    ],
)
def test_a_smaller_bank_scores_much_the_same(shared: Path, models: Models, shrink: Shrink, part: float) -> None:
    name = "cookies/patchcore.onnx"
    exact, small = models.cheap(name), models.cheap(name, shrink)
    images = frames(shared)

    scores = [[float(run(lowered.model, frame=frame)[0][0]) for frame in images] for lowered in (exact, small)]

    assert size(small) < part * size(exact)
    assert_allclose(scores[1], scores[0], rtol=0.05)
