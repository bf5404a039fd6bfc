"""The distance from a Gaussian at every position, whitened and shared between the positions of a block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_heads_as_exported import CHANNELS, SIZES, padim, padim_gaussians
from support.export_onnx import graph, operators, run

from edge_ad.errors import ModelError
from edge_ad_export.passes import GaussianPass, SimplifyPass
from edge_ad_export.passes.channel_sources import channel_sources
from edge_ad_export.passes.gaussian_levels import FeatureGrid, split_levels

FACTORS = (1, 1, 2, 2, 4, 4, 4, 2)
"""How often each of PaDiM's picked features repeats its pixels, in each direction."""


def features(seed: int = 0, sizes: Sequence[int] = SIZES) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    maps = zip("abc", CHANNELS, sizes, strict=True)
    return {name: random.normal(0, 1, (1, channels, size, size)).astype(np.float32) for name, channels, size in maps}


def largest_constant(model: ir.Model) -> int:
    return max(value.const_value.size for value in model.graph.initializers.values() if value.const_value is not None)


@pytest.mark.parametrize("shared", [pytest.param(True, id="repeated-features"), pytest.param(False, id="unrelated")])
@pytest.mark.parametrize("seed", range(3))
def test_distances_stay(shared: bool, seed: int) -> None:
    model = padim(shared=shared)
    (expected,) = run(model, **features(seed))

    assert GaussianPass()(model).modified
    SimplifyPass()(model)

    (found,) = run(model, **features(seed))
    assert_allclose(found, expected, rtol=1e-4)


def test_repeated_features_are_whitened_once_a_block() -> None:
    model = padim()

    GaussianPass()(model)
    SimplifyPass()(model)

    shapes = {tuple(v.shape.numpy()) for v in model.graph.initializers.values() if v.shape and len(v.shape) == 3}
    # Cells, features seen, features of the level: 3 of the coarsest, then 3, then the 2 of the finest map.
    assert shapes == {(4, 3, 3), (16, 6, 3), (64, 8, 2)}
    assert "Concat" in operators(model)


def test_features_may_fill_blocks_of_several_sizes() -> None:
    """As those of SqueezeNet do, whose maps have 63, 31 and 15 pixels a side."""
    sizes = (11, 5, 3)
    model = padim(sizes=sizes)
    (expected,) = run(model, **features(sizes=sizes))

    assert GaussianPass()(model).modified
    SimplifyPass()(model)

    (found,) = run(model, **features(sizes=sizes))
    assert_allclose(found, expected, rtol=1e-4)
    shapes = {tuple(v.shape.numpy()) for v in model.graph.initializers.values() if v.shape and len(v.shape) == 3}
    # The blocks of the map of 5 and those of the map of 3 start in 7 places of a side.
    assert shapes == {(9, 3, 3), (49, 6, 3), (121, 8, 2)}


@pytest.mark.parametrize(
    ("before", "after", "resize", "repeated"),
    [
        pytest.param(3, 7, ", , , sizes", True, id="by-size"),
        pytest.param(4, 9, ", , scales", True, id="by-scale"),
        pytest.param(3, 7, ", , other_scales", False, id="of-another-scale"),
        pytest.param(2, 4, ", , other_scales", False, id="of-another-scale-with-whole-sizes"),
        pytest.param(2, 6, ", , , sizes", True, id="by-a-whole-factor"),
        pytest.param(7, 5, ", , , sizes", False, id="made-smaller"),
    ],
)
def test_a_map_is_traced_to_what_it_repeats(before: int, after: int, resize: str, repeated: bool) -> None:
    model = graph(
        f"float[1, 2, {before}, {before}] x",
        "float[1, 2, a, b] y",
        f'y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x{resize})',
        sizes=np.array([1, 2, after, after]),
        scales=np.array([1, 1, after / before, after / before], np.float32),
        other_scales=np.array([1, 1, 2.4, 2.4], np.float32),
    )
    x = np.arange(2 * before * before, dtype=np.float32).reshape(1, 2, before, before)
    SimplifyPass()(model)

    sources = channel_sources(model.graph.outputs[0])

    assert sources is not None
    assert {one.source.name for one in sources} == {"x" if repeated else "y"}
    (y,) = run(model, x=x)
    source = x if repeated else y
    traced = [source[0, one.index][np.ix_(one.rows, one.columns)] for one in sources]
    assert_allclose(np.stack(traced), y[0])


def test_a_model_whose_blocks_differ_is_whitened_at_full_size() -> None:
    model = padim(shared=False)

    GaussianPass()(model)
    SimplifyPass()(model)

    assert largest_constant(model) == 64 * 8 * 8


def test_without_a_positive_definite_matrix_nothing_changes() -> None:
    model = padim()
    value = model.graph.initializers["precision"]
    value.const_value = ir.tensor(-padim_gaussians()[1], name="precision")

    assert not GaussianPass()(model).modified


def test_a_model_without_gaussians_is_told() -> None:
    model = graph("float[2, 3] x", "float[2, 3] y", "y = Relu(x)")

    assert not GaussianPass()(model).modified
    with pytest.raises(ModelError, match="no Gaussian at every place"):
        GaussianPass(0.9)(model)


@given(energy=st.floats(0.5, 0.999))
def test_a_truncated_distance_is_never_larger(energy: float) -> None:
    mean, precision = padim_gaussians()
    deviations = np.random.default_rng(1).normal(0, 1, (64, 8))

    def squared(part: float) -> NDArray[np.float64]:
        # On one level: the deviations are not repeated.
        (level,) = split_levels(mean, precision, FeatureGrid.even(8, 8, (1,) * 8), part)
        white = np.einsum("nk,nkr->nr", deviations[:, list(level.features)], level.whitening)
        distances: NDArray[np.float64] = np.square(white).sum(axis=1)
        return distances

    assert np.all(squared(energy) <= squared(1.0) * (1 + 1e-5))


def test_less_energy_keeps_fewer_directions() -> None:
    mean, precision = padim_gaussians()

    ranks = [
        sum(
            level.whitening.shape[2] for level in split_levels(mean, precision, FeatureGrid.even(8, 8, FACTORS), energy)
        )
        for energy in (1.0, 0.8, 0.3)
    ]

    assert ranks[0] == 8
    assert ranks[0] > ranks[1] > ranks[2]


def test_the_factors_multiply_to_the_inverse_covariance() -> None:
    mean, precision = padim_gaussians()

    levels = split_levels(mean, precision, FeatureGrid.even(8, 8, FACTORS))

    seen: list[int] = []
    total = np.zeros((64, 8, 8))
    for level in levels:
        seen = [*level.features, *seen]
        cells = len(level.rows)
        gram = level.whitening @ level.whitening.swapaxes(1, 2)
        blocks = gram.reshape(cells, cells, *gram.shape[1:])
        full = blocks.repeat(8 // cells, axis=0).repeat(8 // cells, axis=1).reshape(64, *gram.shape[1:])
        total[np.ix_(range(64), seen, seen)] += full
    assert_allclose(total, precision, atol=1e-3 * np.abs(precision).max())


@pytest.mark.parametrize(
    "resize",
    [
        pytest.param('mode="linear", coordinate_transformation_mode="half_pixel"', id="linear"),
        pytest.param('mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="ceil"', id="ceil"),
    ],
)
def test_features_that_were_interpolated_are_whitened_at_full_size(resize: str) -> None:
    random = np.random.default_rng(0)
    roots = random.normal(0, 1, (16, 3, 3)).astype(np.float32)
    model = graph(
        "float[1, 3, 2, 2] x",
        "float[16] y",
        f"big = Resize<{resize}>(x, , , sizes) flat = Reshape(big, shape) delta = Sub(flat, mean) "
        "d = Transpose<perm=[2, 0, 1]>(delta) dp = MatMul(d, precision) m = Mul(d, dp) "
        "s = ReduceSum<keepdims=0>(m, last) y = Reshape(s, out)",
        sizes=np.array([1, 3, 4, 4]),
        shape=np.array([1, 3, 16]),
        out=np.array([16]),
        last=np.array([2]),
        mean=random.normal(0, 1, (3, 16)).astype(np.float32),
        precision=roots @ roots.swapaxes(1, 2) + np.eye(3, dtype=np.float32),
    )
    x = random.normal(0, 1, (1, 3, 2, 2)).astype(np.float32)
    (expected,) = run(model, x=x)

    assert GaussianPass()(model).modified

    (found,) = run(model, x=x)
    assert_allclose(found, expected, rtol=1e-4)
    assert operators(model).count("Resize") == 1
