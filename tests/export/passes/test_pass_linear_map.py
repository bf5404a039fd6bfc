"""Upsampling, border and blur of a map as two products with constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import LinearMapPass, SeparableBlurPass

CELLS, SIDE, KERNEL = 8, 64, 9
RADIUS = KERNEL // 2


def gaussian(size: int = KERNEL, sigma: float = 2.0) -> NDArray[np.float32]:
    """A two-dimensional kernel that sums to 1, ``[1, 1, size, size]``."""
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    kernel = np.outer(line, line)
    normalised: NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return normalised[None, None]


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape, np.float32)


def upsampled(resize: str, pad: str, opset: int = 18) -> ir.Model:
    """A map of 8x8 cells, upsampled to 64x64, padded and blurred."""
    return graph(
        f"float[1, 1, {CELLS}, {CELLS}] x",
        f"float[1, 1, {SIDE}, {SIDE}] y",
        f"big = Resize<{resize}>(x, , , sizes) padded = Pad<{pad}>(big, pads) y = Conv(padded, kernel)",
        opset,
        sizes=np.array([1, 1, SIDE, SIDE]),
        pads=np.array([0, 0, RADIUS, RADIUS, 0, 0, RADIUS, RADIUS]),
        kernel=gaussian(),
    )


@pytest.mark.parametrize(
    "resize",
    [
        pytest.param('mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"', id="nearest"),
        pytest.param('mode="linear", coordinate_transformation_mode="half_pixel"', id="linear-half-pixel"),
        pytest.param('mode="linear", coordinate_transformation_mode="align_corners"', id="linear-align-corners"),
        pytest.param('mode="cubic", coordinate_transformation_mode="half_pixel"', id="cubic"),
    ],
)
@pytest.mark.parametrize(
    "pad", [pytest.param('mode="reflect"', id="reflect"), pytest.param('mode="constant"', id="zeros")]
)
def test_a_chain_becomes_two_products(resize: str, pad: str) -> None:
    model = upsampled(resize, pad)
    x = noise(1, 1, CELLS, CELLS)
    expected = run(model, x=x)

    SeparableBlurPass()(model)
    LinearMapPass()(model)

    assert operators(model) == ["MatMul", "MatMul"]
    assert_allclose(run(model, x=x), expected, rtol=2e-6, atol=1e-6)


def test_the_products_are_those_of_the_opset_of_the_graph() -> None:
    model = upsampled('mode="linear"', 'mode="reflect"', opset=13)
    x = noise(1, 1, CELLS, CELLS)
    expected = run(model, x=x)

    SeparableBlurPass()(model)
    LinearMapPass()(model)

    assert_allclose(run(model, x=x), expected, rtol=2e-6, atol=1e-6)


def test_scales_that_do_not_end_on_a_whole_pixel_are_taken_as_they_are() -> None:
    model = graph(
        "float[1, 1, 7, 10] x",
        "float[1, 1, 17, 25] y",
        'y = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(x, , scales)',
        scales=np.array([1, 1, 2.5, 2.55], np.float32),
    )
    x = noise(1, 1, 7, 10)
    expected = run(model, x=x)

    assert LinearMapPass()(model).modified
    assert_allclose(run(model, x=x), expected, rtol=2e-6, atol=1e-6)


def test_a_blur_alone_at_full_size_stays_two_small_convolutions() -> None:
    model = graph(
        f"float[1, 1, {4 * SIDE}, {4 * SIDE}] x", "float[1, 1, n, m] y", "y = Conv(x, kernel)", kernel=gaussian()
    )
    x = noise(1, 1, 4 * SIDE, 4 * SIDE)
    expected = run(model, x=x)

    assert SeparableBlurPass()(model).modified
    assert not LinearMapPass()(model).modified
    assert operators(model) == ["Conv", "Conv"]
    assert_allclose(run(model, x=x), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(np.random.default_rng(0).random((1, 1, 9, 9), np.float32), id="rank-nine"),
        pytest.param(gaussian() + 1e-4 * np.eye(9, dtype=np.float32), id="nearly-rank-one"),
        pytest.param(gaussian(3), id="too-small-to-gain"),
        pytest.param(np.repeat(gaussian(), 2, axis=0), id="two-planes"),
    ],
)
def test_other_convolutions_stay(kernel: NDArray[np.float32]) -> None:
    model = graph(f"float[1, 1, {SIDE}, {SIDE}] x", "float[1, c, n, m] y", "y = Conv(x, kernel)", kernel=kernel)

    assert not SeparableBlurPass()(model).modified
    assert operators(model) == ["Conv"]


@given(
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    strides=st.tuples(*[st.integers(1, 3)] * 2),
    dilations=st.tuples(*[st.integers(1, 2)] * 2),
)
def test_splitting_keeps_padding_stride_and_dilation(
    pads: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    row, column = np.array([1, 2, 4, 2, 1], np.float32), np.array([3, 1, 0, 1, 5], np.float32)
    model = graph(
        "float[1, 1, 15, 17] x",
        "float[1, 1, n, m] y",
        f"y = Conv<pads=[{','.join(map(str, pads))}], strides=[{strides[0]}, {strides[1]}], "
        f"dilations=[{dilations[0]}, {dilations[1]}]>(x, kernel)",
        kernel=np.outer(column, row)[None, None],
    )
    x = noise(1, 1, 15, 17)
    expected = run(model, x=x)

    assert SeparableBlurPass()(model).modified
    assert_allclose(run(model, x=x), expected, rtol=1e-5)


def test_a_map_that_is_used_between_the_nodes_is_kept() -> None:
    model = graph(
        "float[1, 1, 8, 8] x",
        "float[1, 1, 64, 64] big, float[1, 1, 56, 56] y",
        'big = Resize<mode="nearest">(x, , , sizes) y = Conv(big, kernel)',
        sizes=np.array([1, 1, 64, 64]),
        kernel=gaussian(),
    )
    x = noise(1, 1, 8, 8)
    expected = run(model, x=x)

    SeparableBlurPass()(model)
    LinearMapPass()(model)

    for found, wanted in zip(run(model, x=x), expected, strict=True):
        assert_allclose(found, wanted, rtol=2e-6)


@pytest.mark.parametrize("by", ["sizes", "scales"])
@pytest.mark.parametrize("opset", [11, 12, 13, 18])
def test_opsets_whose_resize_needs_all_its_inputs(opset: int, by: str) -> None:
    inputs = "x, none, none, sizes" if by == "sizes" else "x, none, scales"
    model = graph(
        f"float[1, 1, {CELLS}, {CELLS}] x",
        f"float[1, 1, {SIDE}, {SIDE}] y",
        f'big = Resize<mode="linear">({inputs}) padded = Pad<mode="reflect">(big, pads) y = Conv(padded, kernel)',
        opset,
        none=np.empty(0, np.float32),
        sizes=np.array([1, 1, SIDE, SIDE]),
        scales=np.array([1, 1, SIDE / CELLS, SIDE / CELLS], np.float32),
        pads=np.array([0, 0, RADIUS, RADIUS, 0, 0, RADIUS, RADIUS]),
        kernel=gaussian(),
    )
    x = noise(1, 1, CELLS, CELLS)
    expected = run(model, x=x)
    SeparableBlurPass()(model)
    LinearMapPass()(model)
    assert operators(model) == ["MatMul", "MatMul"]
    assert_allclose(run(model, x=x)[0], expected[0], rtol=1e-5, atol=1e-6)
