"""The closed-form model: its ONNX graph says what its NumPy says, and it finds defects where they are."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from edge_ad.errors import InputError
from edge_ad_demo.line.defects import Kind
from edge_ad_demo.line.product import Product, Split
from edge_ad_demo.trained.features import COLOURS, filter_bank, responses
from edge_ad_demo.trained.gaussian_model import INPUT_HEIGHT, INPUT_WIDTH, DemoModel, ModelOutput, fit, to_model_size
from edge_ad_demo.trained.onnx_graph import to_onnx

BLANK = np.zeros((INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def product() -> Product:
    return Product(seed=1)


@pytest.fixture(scope="module")
def model(product: Product) -> DemoModel:
    return fit([to_model_size(product.normal(index, Split.TRAIN)) for index in range(60)])


@pytest.fixture(scope="module")
def graph(model: DemoModel) -> bytes:
    return to_onnx(model)


def run(graph: bytes, image: NDArray[np.uint8]) -> ModelOutput:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rgb = image[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    score, heat = session.run(["score", "map"], {"image": rgb})
    assert score.shape == (1,)
    return ModelOutput(float(score[0]), heat[0, 0])


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in Kind])
def test_the_graph_computes_what_numpy_computes(model: DemoModel, graph: bytes, product: Product, kind: Kind) -> None:
    image = to_model_size(product.defect(kind, 0).image)
    expected, found = model.measure(image), run(graph, image)
    np.testing.assert_allclose(found.map, expected.map, rtol=1e-4)
    assert found.score == pytest.approx(expected.score, rel=1e-4)
    assert found.score == found.map.max()


@pytest.mark.parametrize("noise_seed", range(3))
def test_the_graph_computes_what_numpy_computes_on_noise(model: DemoModel, graph: bytes, noise_seed: int) -> None:
    image = np.random.default_rng(noise_seed).integers(0, 256, BLANK.shape, np.uint8)
    np.testing.assert_allclose(run(graph, image).map, model.measure(image).map, rtol=1e-4)


def test_the_file_is_small_and_of_plain_operators(graph: bytes) -> None:
    proto = onnx.load_from_string(graph)
    assert len(graph) < 6e6
    assert {node.domain for node in proto.graph.node} == {""}
    # The only thing for int8: the statistics are a matrix product.
    assert [node.op_type for node in proto.graph.node].count("Conv") == 1


def test_the_map_of_a_good_part_is_about_one(model: DemoModel, product: Product) -> None:
    heats = [model.measure(to_model_size(product.normal(index))).map for index in range(10)]
    assert np.mean(heats) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in Kind])
def test_a_strong_defect_is_found_where_it_is(model: DemoModel, product: Product, kind: Kind) -> None:
    frames = [product.defect(kind, index) for index in range(8)]
    outputs = [model.measure(to_model_size(frame.image)) for frame in frames]
    strongest = int(np.argmax([output.score for output in outputs]))
    heat = cv2.resize(outputs[strongest].map, (640, 480))
    near = cv2.dilate(frames[strongest].mask, np.ones((33, 33), np.uint8))
    assert near[np.unravel_index(heat.argmax(), heat.shape)] == 255


def test_defects_score_above_good_parts(model: DemoModel, product: Product) -> None:
    good = [model.measure(to_model_size(product.normal(index))).score for index in range(20)]
    bad = [model.measure(to_model_size(product.defect(kind, index).image)).score for kind in Kind for index in range(4)]
    area = float(mannwhitneyu(bad, good).statistic) / (len(good) * len(bad))
    assert area > 0.95


def test_filters_are_blind_to_even_brightness() -> None:
    gray = np.full_like(BLANK, 128)
    inside = responses(filter_bank(), gray)[:, 5:-5, 5:-5]
    np.testing.assert_allclose(inside[:COLOURS], 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(inside[COLOURS:], 0, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        pytest.param([BLANK] * 19, "at least 20 images .* found 19", id="too few"),
        pytest.param([BLANK] * 19 + [BLANK[:-1]], r"found \(239, 320, 3\)", id="another size"),
        pytest.param([BLANK[..., 0]] * 20, r"found \(240, 320\)", id="gray"),
    ],
)
def test_what_cannot_be_fitted_is_refused(images: list[NDArray[np.uint8]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(images)
