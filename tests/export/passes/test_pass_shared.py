"""The passes on real trained models: the same scores and maps, and what is saved."""

from __future__ import annotations

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


def load(shared: Path, name: str) -> ImportedModel:
    return import_model(ModelFile(shared / "models" / name))


def cheap(imported: ImportedModel, shrink: Shrink | None = None) -> Lowered:
    return lower(imported, lambda _candidate: True, shrink)


def plain(imported: ImportedModel) -> Lowered:
    """On the contract, but no cheaper: nothing that was recognised by a pattern is kept."""
    return lower(imported, lambda candidate: not candidate.cheaper)


def frames(shared: Path) -> list[NDArray[np.uint8]]:
    paths = sorted((shared / "data/cookies/test").glob("[ag]*/*.jpg"))[::12]
    return [cv2.resize(cv2.imread(str(path)), (256, 256), interpolation=cv2.INTER_AREA)[None] for path in paths]


def size(lowered: Lowered) -> int:
    """Bytes of the constants."""
    values = lowered.model.graph.initializers.values()
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_maps_of_trained_models_stay(shared: Path, name: str) -> None:
    imported = load(shared, name)
    before, after = plain(imported), cheap(imported)
    images = frames(shared)

    assert images
    assert after.cheaper
    for frame in images:
        (score, heat), (found, found_heat) = run(before.model, frame=frame), run(after.model, frame=frame)
        assert_allclose(found, score, rtol=1e-3)
        assert_allclose(found_heat, heat, atol=1e-3 * float(np.abs(heat).max()))


def test_padim_carries_less_than_a_fifth_of_its_constants(shared: Path) -> None:
    imported = load(shared, "cookies/padim.onnx")

    assert size(cheap(imported)) < 0.2 * size(plain(imported))


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        pytest.param("cookies/padim.onnx", {"Pad", "ReduceSum"}, id="padim"),
        pytest.param("cookies/patchcore.onnx", {"Pad", "TopK"}, id="patchcore"),
        pytest.param("cookies/patchcore_v120/model.onnx", {"Pad", "TopK"}, id="patchcore-anomalib1"),
        pytest.param("cookies/stfpm.onnx", {"Expand", "Resize", "Pow"}, id="stfpm"),
    ],
)
def test_every_pattern_of_the_exporters_is_met(shared: Path, name: str, gone: set[str]) -> None:
    imported = load(shared, name)

    assert gone <= set(operators(plain(imported).model))
    assert not gone & set(operators(cheap(imported).model))


@pytest.mark.parametrize(
    ("shrink", "part"),
    [
        pytest.param(Shrink(coreset=1000), 0.6, id="coreset"),
        pytest.param(Shrink(project=256), 0.65, id="projection"),
        pytest.param(Shrink(coreset=1000, project=192), 0.5, id="both"),
    ],
)
def test_a_smaller_bank_scores_much_the_same(shared: Path, shrink: Shrink, part: float) -> None:
    imported = load(shared, "cookies/patchcore.onnx")
    exact, small = cheap(imported), cheap(imported, shrink)
    images = frames(shared)

    scores = [[float(run(lowered.model, frame=frame)[0][0]) for frame in images] for lowered in (exact, small)]

    assert size(small) < part * size(exact)
    assert_allclose(scores[1], scores[0], rtol=0.05)
