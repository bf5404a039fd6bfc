"""Our own embedding heads reach the cheap forms that the passes make of others' graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support import export_heads
from support.export_onnx import run

from edge_ad.errors import ModelError
from edge_ad_export import ImportOptions, ModelFile, import_model
from edge_ad_export.graph.backbone import FLOAT_ONLY, find_backbone
from edge_ad_export.graph.match import known_shape
from edge_ad_export.heads.embedding import FitOptions
from edge_ad_export.heads.features import FeatureStack, LayerOutput
from edge_ad_export.heads.gaussian import GaussianFit, GaussianHead, Gaussians
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.heads.memory_bank import MemoryBankHead
from edge_ad_export.lowering.contract import apply_passes, lower
from edge_ad_export.model.head import Head, HeadInputs
from edge_ad_export.model.head_options import FeaturePool, HeadOptions, Interpolation
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.passes import HalfStoragePass, SimplifyPass
from edge_ad_export.passes.cheaper import cheaper_passes
from edge_ad_export.passes.coreset import spread_rows
from edge_ad_export.quantize.int8_graph import onnx_ops

FINE, COARSE = 6, 64
SIDE = 8
VECTORS = 30
NO_FRAME = np.zeros((1, 3, 2, 2), np.float32)
EXACT = Shrink()


def stack(interpolation: Interpolation, pool: FeaturePool = "none", coarse: int = COARSE) -> FeatureStack:
    layers = (LayerOutput("fine", FINE, SIDE, SIDE), LayerOutput("coarse", coarse, SIDE // 2, SIDE // 2))
    return FeatureStack(layers, pool, interpolation)


def values(features: FeatureStack, seed: int = 0) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [random.normal(1, 1, (1, t.channels, t.rows, t.columns)).astype(np.float32) for t in features.layers]


def cheap(head: Head, inputs: Sequence[NDArray[np.float32]], shrink: Shrink = EXACT, *, half: bool = False) -> ir.Model:
    model = export_heads.compose(head, inputs, NO_FRAME)
    passes = [SimplifyPass(), *cheaper_passes(shrink), SimplifyPass()]
    apply_passes([*passes, *([HalfStoragePass()] if half else [])], model)
    return model


def scored(model: ir.Model, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    return [
        found.ravel() for found in run(model, frame=NO_FRAME, **{f"input{i}": given for i, given in enumerate(inputs)})
    ]


def expected(head: Head, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    reference = head.reference(HeadInputs(inputs, NO_FRAME))
    assert reference.map is not None
    return [np.array([reference.score]), reference.map.ravel()]


def constants(model: ir.Model) -> list[tuple[int, ...]]:
    return [tuple(v.const_value.shape.numpy()) for v in model.graph.initializers.values() if v.const_value is not None]


def bank_head(interpolation: Interpolation = "linear", pool: FeaturePool = "3x3", neighbours: int = 4) -> Head:
    features = stack(interpolation, pool)
    bank = np.random.default_rng(3).normal(1, 1, (VECTORS, features.channels))
    return MemoryBankHead(features, MapPostprocessor(SIDE, SIDE, 1.0, 1.0), bank, neighbours)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("pool", ["none", "3x3"])
@pytest.mark.parametrize("neighbours", [1, 4])
def test_a_bank_scores_the_same_on_the_coarse_map(
    interpolation: Interpolation, pool: FeaturePool, neighbours: int
) -> None:
    head = bank_head(interpolation, pool, neighbours)
    for seed in range(3):
        inputs = values(stack(interpolation), seed)
        for found, wanted in zip(scored(cheap(head, inputs), inputs), expected(head, inputs), strict=True):
            assert_allclose(found, wanted, rtol=1e-4)


def test_the_bank_is_multiplied_before_features_are_upsampled_and_stored_once() -> None:
    model = cheap(bank_head(), values(stack("linear")))

    products = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    assert {node.op_type: known_shape(node.inputs[1]) for node in products} == {
        "Conv": (VECTORS, COARSE, 1, 1),
        "Gemm": (FINE, VECTORS),
    }
    assert sum(VECTORS in shape and np.prod(shape) > 4 * VECTORS for shape in constants(model)) == 2


def test_the_nearest_is_searched_for_the_worst_patch_alone() -> None:
    model = cheap(bank_head(), values(stack("linear")))

    sizes = {node.op_type: node.inputs[0].shape for node in model.graph if node.inputs[0] is not None}
    assert sizes["ReduceMin"] == (SIDE**2, VECTORS)
    assert sizes["ArgMin"] == (1, VECTORS)


def test_a_bank_can_be_projected() -> None:
    """To as many dimensions as there are vectors less their mean it is exact."""
    head, inputs = bank_head(), values(stack("linear"))

    model = cheap(head, inputs, Shrink(project=VECTORS - 1))

    assert {(FINE + COARSE, VECTORS - 1), (VECTORS - 1, VECTORS)} <= set(constants(model))
    assert_allclose(scored(model, inputs)[0], expected(head, inputs)[0], rtol=1e-4)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_a_coreset_scores_as_a_head_with_the_smaller_bank(interpolation: Interpolation) -> None:
    head, features = bank_head(interpolation), stack(interpolation, "3x3")
    assert isinstance(head, MemoryBankHead)
    inputs, kept = values(features), spread_rows(head.bank, 9)

    model = cheap(head, inputs, Shrink(coreset=9))

    smaller = replace(head, bank=head.bank[kept])
    for found, wanted in zip(scored(model, inputs), expected(smaller, inputs), strict=True):
        assert_allclose(found, wanted, rtol=1e-4)
    assert not [shape for shape in constants(model) if VECTORS in shape]


def test_a_coreset_keeps_at_least_the_neighbours() -> None:
    with pytest.raises(ModelError, match="weighed with 4 neighbours, keep more"):
        cheap(bank_head(), values(stack("linear")), Shrink(coreset=3))


def test_the_quantizers_know_the_product_with_the_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_ad_export.graph.backbone._HEAVY_ELEMENTS", 12 * 40)
    np.savez(tmp_path / "bank.npz", bank=np.random.default_rng(0).normal(size=(40, 12)))
    options = HeadOptions(family="memory-bank", feature_output=("coarse",), head_data=tmp_path / "bank.npz")
    file = ModelFile(export_heads.write_model(tmp_path / "model.onnx"))

    graph = lower(import_model(file, ImportOptions(head=options)), lambda _candidate: True).model.graph

    (product,) = (node.name for node in graph if node.op_type == "MatMul" and known_shape(node.inputs[1]) == (12, 40))
    assert product in find_backbone(onnx_ops(graph))


def fitted(features: FeatureStack) -> Head:
    postprocessor = MapPostprocessor(features.rows, features.columns, 1.0, 1.0)
    images = [values(features, 100 + i) for i in range(12)]
    return GaussianFit(features, lambda data: GaussianHead(features, postprocessor, data), FitOptions()).fit(images)


@pytest.mark.parametrize(
    ("interpolation", "matrices"),
    [
        # Cells, features seen, features of the level: the coarse ones first.
        pytest.param("nearest", {(16, 10, 10), (64, 16, 6)}, id="repeated-features"),
        pytest.param("linear", {(64, 16, 16)}, id="interpolated-features"),
    ],
)
def test_gaussians_are_whitened_once_a_block(interpolation: Interpolation, matrices: set[tuple[int, int, int]]) -> None:
    features = stack(interpolation, coarse=10)
    head, inputs = fitted(features), values(features)

    model = cheap(head, inputs)

    assert {shape for shape in constants(model) if len(shape) == 3} == matrices
    for found, wanted in zip(scored(model, inputs), expected(head, inputs), strict=True):
        assert_allclose(found, wanted, rtol=1e-4)


def test_whitening_is_stored_in_half() -> None:
    features = stack("nearest", coarse=100)
    head, inputs = fitted(features), values(features)

    model = cheap(head, inputs, half=True)

    halves = [v for v in model.graph.initializers.values() if v.dtype == ir.DataType.FLOAT16]
    assert [known_shape(value) for value in halves] == [(16, 94, 94)]
    assert_allclose(scored(model, inputs)[0], expected(head, inputs)[0], rtol=1e-3)


def test_less_energy_drops_directions_of_our_own_head_too() -> None:
    features = stack("nearest", coarse=10)
    inputs = values(features)

    ranks = [
        sum(shape[2] for shape in constants(cheap(fitted(features), inputs, Shrink(energy=energy))) if len(shape) == 3)
        for energy in (1.0, 0.5)
    ]

    assert ranks[0] == 16
    assert ranks[1] < ranks[0]


def test_features_of_very_different_spread_keep_their_digits() -> None:
    """Rounded to float32 the precision itself loses them, its factor does not."""
    features = stack("nearest", coarse=10)
    count, places = features.channels, SIDE**2
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(count, count)))[0]
    spread = np.logspace(-4, 4, count)
    precision = (basis / spread) @ basis.T
    everywhere = np.broadcast_to(precision, (places, count, count))
    head = GaussianHead(features, MapPostprocessor(SIDE, SIDE), Gaussians(np.zeros((1, count)), everywhere, None))
    direction = (basis[:, -1] * 100).astype(np.float32)
    rounded = direction @ precision.astype(np.float32).astype(np.float64) @ direction
    inputs = [
        np.broadcast_to(part.reshape(1, -1, 1, 1), (1, len(part), layer.rows, layer.columns)).copy()
        for part, layer in zip(np.split(direction, [FINE]), features.layers, strict=True)
    ]

    model = cheap(head, inputs)

    assert {shape for shape in constants(model) if len(shape) == 3} == {(16, 10, 10), (64, 16, 6)}
    (distance,) = expected(head, inputs)[0]
    assert scored(model, inputs)[0] == pytest.approx(distance, rel=1e-3)
    assert rounded != pytest.approx(distance**2, rel=0.05)


@pytest.mark.parametrize("neighbours", [1, 4])
def test_a_large_bank_is_searched_with_a_shortlist(neighbours: int) -> None:
    layers = (LayerOutput("fine", FINE, 16, 16), LayerOutput("coarse", 186, 8, 8))
    features = FeatureStack(layers, "none", "linear")
    random = np.random.default_rng(3)
    plane = random.normal(0, 1, (10, features.channels))
    bank = random.normal(0, 1, (2_100, 10)) @ plane + random.normal(0, 0.1, (2_100, features.channels))
    head = MemoryBankHead(features, MapPostprocessor(16, 16, 1.0, 1.0), bank, neighbours)
    inputs = [(0.1 * array).astype(np.float32) for array in values(features)]
    model = export_heads.compose(head, inputs, NO_FRAME)

    apply_passes([SimplifyPass(), *cheaper_passes(EXACT, shortlist=True), SimplifyPass()], model)

    assert any(str(node.name).startswith(FLOAT_ONLY) for node in model.graph)
    (score, anomaly_map), (wanted, wanted_map) = scored(model, inputs), expected(head, inputs)
    assert_allclose(score, wanted, rtol=1e-4)
    assert np.corrcoef(anomaly_map, wanted_map)[0, 1] > 0.99
