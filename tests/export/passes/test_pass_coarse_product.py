"""Products of upsampled features with a bank, taken before they are upsampled."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.graph.match import known_shape
from edge_ad_export.passes import CoarseProductPass

VECTORS = 7
FINE, COARSE = 3, 64


def features(channels: int, size: int) -> NDArray[np.float32]:
    return np.random.default_rng(size).normal(1, 1, (1, channels, size, size)).astype(np.float32)


def search(upsampling: str, stack: str, *, coarse: int = COARSE, channels: int = FINE + COARSE) -> ir.Model:
    """``fine`` ``[1, 3, 8, 8]`` and ``coarse`` ``[1, coarse, 4, 4]`` to ``relative`` ``[64, VECTORS]``."""
    rng = np.random.default_rng(2)
    return graph(
        f"float[1, {FINE}, 8, 8] fine, float[1, {coarse}, 4, 4] coarse",
        f"float[64, {VECTORS}] relative",
        f"{upsampling} {stack} last = Transpose<perm=[0, 2, 3, 1]>(x) rows = Reshape(last, flat) "
        "centred = Sub(rows, mean) product = MatMul(centred, bank) relative = Add(product, norms)",
        scales=np.array([1, 1, 2, 2], np.float32),
        sizes=np.array([1, coarse, 8, 8]),
        pair=np.array([2, 2], np.float32),
        around=np.array([0, 0, 2, 2, 0, 0, 2, 2]),
        flat=np.array([64, channels]),
        mean=rng.normal(1, 1, channels).astype(np.float32),
        bank=rng.normal(0, 1, (channels, VECTORS)).astype(np.float32),
        norms=rng.uniform(0, 9, (1, VECTORS)).astype(np.float32),
    )


BEHIND = "x = Concat<axis=1>(fine, up)"
BILINEAR = 'up = Resize<mode="linear">(coarse, , scales)'


@pytest.mark.parametrize(
    ("upsampling", "stack", "channels"),
    [
        pytest.param(BILINEAR, BEHIND, FINE + COARSE, id="bilinear-by-scales"),
        pytest.param('up = Resize<mode="linear">(coarse, , , sizes)', BEHIND, FINE + COARSE, id="bilinear-by-sizes"),
        pytest.param('up = Resize<mode="nearest">(coarse, , scales)', BEHIND, FINE + COARSE, id="nearest"),
        pytest.param('up = Resize<mode="cubic">(coarse, , scales)', BEHIND, FINE + COARSE, id="cubic"),
        pytest.param(
            'up = Resize<mode="linear", coordinate_transformation_mode="align_corners">(coarse, , scales)',
            BEHIND,
            FINE + COARSE,
            id="corners-aligned",
        ),
        pytest.param(BILINEAR, "x = Concat<axis=1>(up, fine)", FINE + COARSE, id="coarse-first"),
        pytest.param(BILINEAR, "x = Concat<axis=1>(fine, up, fine)", 2 * FINE + COARSE, id="fine-on-both-sides"),
        pytest.param(BILINEAR, "x = Concat<axis=1>(up, up)", 2 * COARSE, id="two-coarse-and-nothing-fine"),
    ],
)
def test_sums_stay(upsampling: str, stack: str, channels: int) -> None:
    feeds = {"fine": features(FINE, 8), "coarse": features(COARSE, 4)}
    model = search(upsampling, stack, channels=channels)
    (expected,) = run(model, **feeds)

    assert CoarseProductPass()(model).modified

    (found,) = run(model, **feeds)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max()))


def test_the_large_product_is_taken_on_the_coarse_map() -> None:
    model = search(BILINEAR, BEHIND)

    CoarseProductPass()(model)

    products = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    shapes = {node.op_type: known_shape(node.inputs[1]) for node in products}
    assert shapes == {"Conv": (VECTORS, COARSE, 1, 1), "Gemm": (FINE, VECTORS)}
    assert "Add" not in operators(model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(search(BILINEAR, BEHIND, coarse=8, channels=FINE + 8), id="too-few-channels-to-pay"),
        pytest.param(search('up = Resize<mode="linear", axes=[2, 3]>(coarse, , pair)', BEHIND), id="axes-named"),
        pytest.param(search("up = Pad(coarse, around)", BEHIND), id="not-interpolated"),
    ],
)
def test_what_does_not_fit_is_left_alone(model: ir.Model) -> None:
    assert not CoarseProductPass()(model).modified
