"""The search of a memory bank: exact rewrites, and what makes it smaller."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from support.export_heads_as_exported import DIMENSIONS, PATCHES, VECTORS, Exporter, bank, patchcore
from support.export_onnx import graph, operators, run

from edge_ad.errors import ModelError
from edge_ad_export.passes import CoresetPass, NearestPass, NeighbourTablePass, ProjectPass, SimplifyPass
from edge_ad_export.passes.coreset import spread_rows

EXPORTERS = [pytest.param("dynamo", id="dynamo"), pytest.param("legacy", id="legacy")]


def patches(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1.5, (PATCHES, DIMENSIONS)).astype(np.float32)


def cheap(exporter: Exporter) -> ir.Model:
    model = patchcore(exporter)
    ir.passes.Sequential(NeighbourTablePass(), NearestPass(), SimplifyPass())(model)
    return model


def stored(model: ir.Model, shape: tuple[int, ...]) -> int:
    """How many constants of this shape the graph holds."""
    return sum(value.const_value is not None and value.shape == shape for value in model.graph.initializers.values())


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("seed", range(5))
def test_score_and_map_stay(exporter: Exporter, seed: int) -> None:
    expected = run(patchcore(exporter), x=patches(seed))

    for found, wanted in zip(run(cheap(exporter), x=patches(seed)), expected, strict=True):
        assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_one_product_with_the_bank_is_left_and_one_copy_of_it(exporter: Exporter) -> None:
    model = cheap(exporter)

    assert operators(model).count("MatMul") == 1
    assert "TopK" not in operators(model)
    assert stored(model, (DIMENSIONS, VECTORS)) == 1
    assert stored(model, (VECTORS, DIMENSIONS)) == 0


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_roots_clamps_and_indices_are_taken_of_the_least_that_is_needed(exporter: Exporter) -> None:
    model = cheap(exporter)

    sizes = {node.op_type: node.inputs[0].shape for node in model.graph if node.inputs[0] is not None}
    assert sizes["ReduceMin"] == (PATCHES, VECTORS)
    assert sizes["ArgMin"] == (1, VECTORS)
    wide = {node.op_type for node in model.graph if node.outputs[0].shape == (PATCHES, VECTORS)}
    assert wide == {"MatMul", "Add"}


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_the_table_alone_gives_the_same(exporter: Exporter) -> None:
    model = patchcore(exporter)
    expected = run(model, x=patches())

    assert NeighbourTablePass()(model).modified

    for found, wanted in zip(run(model, x=patches()), expected, strict=True):
        assert_allclose(found, wanted, rtol=1e-6)


def test_indices_that_are_asked_of_every_patch_are_kept() -> None:
    model = graph(
        f"float[{PATCHES}, {DIMENSIONS}] x",
        f"float[{PATCHES}] low, int64[{PATCHES}] which",
        "xx = Mul(x, x) nx = ReduceSum<keepdims=1>(xx, last) xb = MatMul(x, bt) m = Mul(xb, minus_two) "
        "a = Add(nx, m) d = Add(a, norms) low = ReduceMin<keepdims=0>(d, last) which = ArgMin<axis=1, keepdims=0>(d)",
        bt=np.ascontiguousarray(bank().T),
        norms=np.square(bank()).sum(axis=1)[None],
        last=np.array([1]),
        minus_two=np.array(-2, np.float32),
    )
    low, which = run(model, x=patches())

    assert NearestPass()(model).modified

    found_low, found_which = run(model, x=patches())
    assert_allclose(found_low, low, rtol=1e-5)
    assert_array_equal(found_which, which)


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param("a = Add(nx, m) d = Sub(a, norms)", id="norms-subtracted"),
        pytest.param("n2 = Mul(norms, minus_two) a = Add(nx, m) d = Add(a, n2)", id="norms-twice"),
        pytest.param("a = Add(nx, xb) d = Add(a, norms)", id="product-once"),
        pytest.param("a = Add(nx, m) d = Add(a, others)", id="other-norms"),
    ],
)
def test_other_sums_are_no_distances(terms: str) -> None:
    model = graph(
        f"float[{PATCHES}, {DIMENSIONS}] x",
        f"float[{PATCHES}] low",
        f"xx = Mul(x, x) nx = ReduceSum<keepdims=1>(xx, last) xb = MatMul(x, bt) m = Mul(xb, minus_two) {terms} "
        "low = ReduceMin<keepdims=0>(d, last)",
        bt=np.ascontiguousarray(bank().T),
        norms=np.square(bank()).sum(axis=1)[None],
        others=np.arange(VECTORS, dtype=np.float32)[None],
        last=np.array([1]),
        minus_two=np.array(-2, np.float32),
    )

    assert not NearestPass()(model).modified


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_coreset_gives_the_scores_of_the_smaller_bank(exporter: Exporter) -> None:
    model = patchcore(exporter)
    kept = bank()[spread_rows(bank(), 12)]

    ir.passes.Sequential(CoresetPass(12), NeighbourTablePass(), NearestPass(), SimplifyPass())(model)

    _, anomaly_map = run(model, x=patches())
    distances = np.linalg.norm(patches()[:, None] - kept[None], axis=2).min(axis=1)
    assert_allclose(anomaly_map.ravel(), distances, rtol=1e-4)
    assert stored(model, (DIMENSIONS, 12)) == 1


def test_a_coreset_leaves_no_vector_farther_than_a_random_choice_does() -> None:
    points = np.random.default_rng(1).normal(0, 1, (300, 4)).astype(np.float32)

    def worst(rows: NDArray[np.intp]) -> float:
        return float(np.linalg.norm(points[:, None] - points[rows][None], axis=2).min(axis=1).max())

    random = [worst(np.random.default_rng(seed).permutation(300)[:30]) for seed in range(20)]
    assert worst(spread_rows(points, 30)) < min(random)


@given(count=st.integers(1, 20))
def test_a_coreset_has_as_many_different_vectors_as_asked(count: int) -> None:
    points = np.random.default_rng(4).normal(0, 1, (20, 3)).astype(np.float32)

    rows = spread_rows(points, count)

    assert len(set(rows.tolist())) == count


def test_a_projection_to_the_dimensions_that_the_bank_has_is_exact() -> None:
    """Patches may lie anywhere: what the bank does not span meets it in the norms alone."""
    flat = bank()
    flat[:, 3:] = 0
    model = graph(
        f"float[{PATCHES}, {DIMENSIONS}] x",
        f"float[{PATCHES}] low",
        "xx = Mul(x, x) nx = ReduceSum<keepdims=1>(xx, last) xb = MatMul(x, bt) m = Mul(xb, minus_two) "
        "a = Add(nx, m) d = Add(a, norms) low = ReduceMin<keepdims=0>(d, last)",
        bt=np.ascontiguousarray(flat.T),
        norms=np.square(flat).sum(axis=1)[None],
        last=np.array([1]),
        minus_two=np.array(-2, np.float32),
    )
    expected = run(model, x=patches())

    ir.passes.Sequential(NearestPass(), ProjectPass(3), SimplifyPass())(model)

    assert_allclose(run(model, x=patches()), expected, rtol=1e-4)
    assert stored(model, (3, VECTORS)) == 1


def test_a_projection_errs_less_the_more_dimensions_it_has() -> None:
    expected = run(patchcore(), x=patches())[1]
    errors = []
    for rank in (2, 4, 5):
        model = cheap("dynamo")
        ProjectPass(rank)(model)
        errors.append(float(np.abs(run(model, x=patches())[1] - expected).max()))

    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    ("shrink", "message"),
    [
        pytest.param(CoresetPass(VECTORS), f"the memory bank holds {VECTORS} vectors, ask for fewer", id="coreset"),
        pytest.param(ProjectPass(DIMENSIONS), "expected fewer than the bank's", id="projection"),
    ],
)
def test_what_makes_nothing_smaller_is_refused(shrink: ir.passes.InPlacePass, message: str) -> None:
    model = patchcore() if isinstance(shrink, CoresetPass) else cheap("dynamo")

    with pytest.raises(ModelError, match=message):
        shrink(model)


@pytest.mark.parametrize(
    "shrink", [pytest.param(CoresetPass(2), id="coreset"), pytest.param(ProjectPass(2), id="projection")]
)
def test_a_model_without_a_bank_is_told(shrink: ir.passes.InPlacePass) -> None:
    model = graph("float[2, 3] x", "float[2] y", "y = ReduceMin<keepdims=0>(x, last)", last=np.array([1]))

    with pytest.raises(ModelError, match="there is no memory bank"):
        shrink(model)
