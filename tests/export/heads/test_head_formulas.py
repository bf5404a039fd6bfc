"""Known answers of the heads' arithmetic, and rules that hold for all inputs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from support import export_heads

from edge_ad_export.heads.direct import ScoreHead
from edge_ad_export.heads.embedding import FitOptions
from edge_ad_export.heads.features import FeatureStack, LayerOutput
from edge_ad_export.heads.gaussian import GaussianFit, GaussianHead, Gaussians
from edge_ad_export.heads.maps import MapPostprocessor, gaussian_matrix, linear_matrix
from edge_ad_export.heads.memory_bank import BankFit, MemoryBankHead, bank_neighbours
from edge_ad_export.heads.one_class import CentreFit, OneClassHead
from edge_ad_export.heads.ssim import Ssim
from edge_ad_export.model.head import Array, HeadInputs
from edge_ad_export.model.head_options import MapScore, parse_map_score

VECTOR = FeatureStack((LayerOutput("vector", 3, 1, 1),))
NO_FRAME = np.zeros((1, 3, 2, 2))


@given(st.integers(1, 60), st.floats(0.3, 12))
def test_gaussian_matrix_is_scipys_blur(length: int, sigma: float) -> None:
    expected = gaussian_filter1d(np.eye(length), sigma, axis=0, mode="mirror", truncate=4.0)
    np.testing.assert_allclose(gaussian_matrix(length, sigma), expected, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 80))
def test_linear_matrix_is_opencvs_interpolation(source: int, target: int) -> None:
    expected = cv2.resize(np.eye(source), (source, target), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(linear_matrix(source, target), np.reshape(expected, (target, source)), atol=1e-5)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 1), st.integers(0, 99))
def test_a_quantile_is_the_smallest_of_the_largest_cells(rows: int, columns: int, share: float, seed: int) -> None:
    postprocessor = MapPostprocessor(rows, columns, score=MapScore("quantile", share))
    anomaly_map = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    largest = np.sort(anomaly_map, axis=None)[-postprocessor.score.largest(anomaly_map.size) :]
    assert postprocessor.reference(anomaly_map.astype(np.float64)).score == largest[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("max", MapScore(), id="max"),
        pytest.param("top:12", MapScore("top", 12), id="top"),
        pytest.param("quantile:0.95", MapScore("quantile", 0.95), id="quantile"),
    ],
)
def test_what_is_asked_of_a_map_is_read(text: str, expected: MapScore) -> None:
    assert parse_map_score(text) == expected


@pytest.mark.parametrize(
    "text", ["", "top", "top:0", "top:-1", "top:2.5", "quantile:0", "quantile:1.1", "mean", "max:2"]
)
def test_other_scores_of_a_map_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # float() and the parser itself both raise it
        parse_map_score(text)


def test_a_picture_is_like_itself() -> None:
    picture = np.random.default_rng(0).random((3, 20, 24))
    np.testing.assert_allclose(Ssim((1.0,) * 3, 20, 24).reference(picture, picture), 0, atol=1e-12)


def test_ssim_of_two_flat_pictures_compares_their_means() -> None:
    """Without variance the paper's formula is (2 a b + c1) / (a^2 + b^2 + c1)."""
    dark, light = np.full((1, 16, 16), 0.2), np.full((1, 16, 16), 0.8)
    expected = 1 - (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    np.testing.assert_allclose(Ssim((1.0,), 16, 16).reference(dark, light), expected)


def test_identity_covariance_is_the_euclidean_distance() -> None:
    data = Gaussians(np.array([[1.0, 2.0, 3.0]]), np.eye(3)[None], None)
    head = GaussianHead(VECTOR, MapPostprocessor(1, 1), data)
    assert head.reference(HeadInputs([np.array([[4.0, 6.0, 3.0]])], NO_FRAME)).score == pytest.approx(5)


def test_one_class_is_the_squared_distance() -> None:
    head = OneClassHead(VECTOR, MapPostprocessor(1, 1), np.array([1.0, 2.0, 3.0]))
    assert head.reference(HeadInputs([np.array([[4.0, 6.0, 3.0]])], NO_FRAME)).score == pytest.approx(25)


def test_patchcores_weight_by_hand() -> None:
    """The nearest is (0, 0, 0) at 2, its own neighbour (0, 1, 0) at sqrt(5); the far row counts for nothing."""
    bank = np.array([[0.0, 0, 0], [9.0, 9, 9], [0.0, 1, 0]])
    head = MemoryBankHead(VECTOR, MapPostprocessor(1, 1), bank, 2)
    expected = 2 * (1 - np.exp(2) / (np.exp(2) + np.exp(np.sqrt(5))))
    assert head.reference(HeadInputs([np.array([[2.0, 0, 0]])], NO_FRAME)).score == pytest.approx(expected)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 99))
def test_a_row_of_the_bank_is_its_own_first_neighbour(rows: int, channels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    bank = random.integers(0, 3, (rows, channels)).astype(np.float64)  # with doubles
    table = bank_neighbours(bank, min(4, rows))
    np.testing.assert_array_equal(table[:, 0], np.arange(rows))
    away = np.linalg.norm(bank[table] - bank[:, None], axis=2)
    assert np.all(np.diff(away, axis=1) >= -1e-9)


def test_log_odds_order_as_the_probability_where_it_has_stuck() -> None:
    head = ScoreHead("logits", 3, 1, normal=False, log_odds=True)
    scores = [head.reference(HeadInputs([np.array([[0.0, margin, 1.0]])], NO_FRAME)).score for margin in (40.0, 50.0)]
    sure = [1 / (1 + np.exp(-score)) for score in scores]
    assert sure == [1.0, 1.0]
    assert scores[0] < scores[1]


def test_tokens_are_patches_in_raster_order() -> None:
    layer = LayerOutput("nlc", 2, 2, 2, "nlc", skip=1)
    tokens = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    np.testing.assert_array_equal(layer.reference(tokens)[0], [[2, 4], [6, 8]])


def test_a_fitted_gaussian_is_numpys_covariance() -> None:
    images = [export_heads.values(["fine"], seed) for seed in range(20)]
    stack = FeatureStack((LayerOutput("fine", 8, 16, 16),))
    head = GaussianFit(stack, lambda data: GaussianHead(stack, MapPostprocessor(16, 16), data), FitOptions()).fit(
        images
    )
    assert isinstance(head, GaussianHead)
    corner = np.stack([values[0][0, :, 0, 1] for values in images]).astype(np.float64)
    np.testing.assert_allclose(head.data.mean[1], corner.mean(axis=0), rtol=1e-5)
    regularised = np.cov(corner, rowvar=False) + 0.01 * np.eye(8)
    np.testing.assert_allclose(np.linalg.inv(head.data.precision[1]), regularised, rtol=1e-3, atol=1e-4)


def test_a_fitted_bank_is_made_of_patches() -> None:
    images = [export_heads.values(["fine"], seed) for seed in range(3)]
    stack = FeatureStack((LayerOutput("fine", 8, 16, 16),))
    made: list[Array] = []

    def make(bank: Array) -> MemoryBankHead:
        made.append(bank)
        return MemoryBankHead(stack, MapPostprocessor(16, 16), bank, 1)

    BankFit(stack, make, FitOptions(bank=50)).fit(images)
    patches = np.concatenate([values[0][0].reshape(8, -1).T for values in images])
    assert made[0].shape == (50, 8)
    assert {row.tobytes() for row in made[0].astype(np.float32)} <= {row.tobytes() for row in patches}


def test_a_fitted_centre_is_the_mean() -> None:
    images = [export_heads.values(["fine"], seed) for seed in range(3)]
    stack = FeatureStack((LayerOutput("fine", 8, 16, 16),))
    head = CentreFit(stack, lambda centre: OneClassHead(stack, MapPostprocessor(16, 16), centre)).fit(images)
    assert isinstance(head, OneClassHead)
    np.testing.assert_allclose(head.centre, np.mean([values[0] for values in images], axis=(0, 1, 3, 4)), rtol=1e-5)
