"""The search of a memory bank that starts with a shortlist: banks of all kinds and sizes, in both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from support.export_onnx import graph, operators, run

from edge_ad_export.graph import backbone
from edge_ad_export.graph.backbone import FLOAT_ONLY, SHORTLIST, Op, find_backbone
from edge_ad_export.graph.embedded import to_openvino
from edge_ad_export.passes import NearestPass, NeighbourTablePass, ShortlistPass, SimplifyPass
from edge_ad_export.passes.shortlist import EXACT_PATCHES, directions_needed
from edge_ad_export.quantize.int8_graph import OpenVinoInt8, onnx_ops, openvino_ops

EngineName = Literal["onnxruntime", "openvino"]
ENGINES = [pytest.param("onnxruntime", id="onnxruntime"), pytest.param("openvino", id="openvino")]
PATCHES, DIMENSIONS = 256, 192
# As a root leaves it of squared distances that float32 rounds.
ROUNDING = 2e-3

Floats = NDArray[np.float32]


def low_rank(rows: int, seed: int, rank: int = 12, noise: float = 0.05) -> Floats:
    """Vectors that lie near a plane of few dimensions, as features do."""
    random = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(0, 1, (rank, DIMENSIONS))
    points = random.normal(0, 1, (rows, rank)) @ plane / np.sqrt(rank) + random.normal(0, noise, (rows, DIMENSIONS))
    found: Floats = points.astype(np.float32)
    return found


def patches(seed: int = 1) -> Floats:
    """Most of them near the plane, one far away from it and from all others."""
    points = low_rank(PATCHES, seed, noise=0.1)
    points[37] += np.random.default_rng(seed).normal(0, 1, DIMENSIONS).astype(np.float32)
    return points


def search(bank: Floats, count: int = PATCHES, *, batched: bool = True) -> ir.Model:
    """``x`` ``[count, DIMENSIONS]`` to ``map``, the distances, and ``score``, that of the worst patch weighed by its
    neighbours', in the nodes that NearestPass and NeighbourTablePass take."""
    shape = np.array([1, count] if batched else [count])
    return graph(
        f"float[{count}, {DIMENSIONS}] x",
        f"float[1] score, float[{count}] map",
        f"""
        xx = Mul(x, x) nx = ReduceSum<keepdims=1>(xx, last)
        xb = MatMul(x, bt) m = Mul(xb, minus_two) a = Add(nx, m) d = Add(a, norms)
        c = Clip(d, zero) r = Sqrt(c) map = ReduceMin<keepdims=0>(r, last) which = ArgMin<axis=1, keepdims=0>(r)
        lows = Reshape(map, batched) worst = ArgMax<axis={1 if batched else 0}, keepdims=0>(lows)
        iw = Reshape(worst, one_place) xw = Gather<axis=0>(x, iw) jw = Gather<axis=0>(which, iw)
        table = Gather<axis=0>(neighbours, jw) near = Reshape(table, flat) bn = Gather<axis=0>(bank, near)
        xu = Unsqueeze(xw, start) bu = Unsqueeze(bn, start)
        ux = Mul(xu, xu) nu = ReduceSum<keepdims=1>(ux, end) un = Mul(bu, bu) nn = ReduceSum<keepdims=1>(un, end)
        bnt = Transpose<perm=[0, 2, 1]>(bu) p = MatMul(xu, bnt) pm = Mul(p, minus_two)
        pa = Add(pm, nu) nnt = Transpose<perm=[0, 2, 1]>(nn) pd = Add(pa, nnt)
        pc = Clip(pd, zero) pr = Sqrt(pc) ps = Reshape(pr, row) soft = Softmax<axis=1>(ps)
        s0 = Gather<axis=1>(ps, origin) w0 = Gather<axis=1>(soft, origin) rest = Sub(one, w0) score = Mul(rest, s0)
        """,
        bank=bank,
        bt=np.ascontiguousarray(bank.T),
        norms=np.square(bank).sum(axis=1)[None],
        neighbours=np.random.default_rng(3).integers(0, len(bank), (len(bank), 3)),
        last=np.array([1]),
        start=np.array([0]),
        end=np.array([2]),
        origin=np.array(0),
        one=np.array(1, np.float32),
        one_place=np.array([1]),
        flat=np.array([3]),
        row=np.array([1, 3]),
        batched=shape,
        zero=np.array(0, np.float32),
        minus_two=np.array(-2, np.float32),
    )


def cheap(bank: Floats, count: int = PATCHES, *, batched: bool = True) -> ir.Model:
    model = search(bank, count, batched=batched)
    ir.passes.Sequential(NearestPass(), ShortlistPass(least_products=0), SimplifyPass())(model)
    return model


def shortlisted(bank: Floats, *, batched: bool = True) -> ir.Model:
    model = cheap(bank, batched=batched)
    assert has_shortlist(model)
    return model


def has_shortlist(model: ir.Model) -> bool:
    return any(str(node.name).startswith(FLOAT_ONLY) for node in model.graph)


def results(model: ir.Model, engine: EngineName, x: Floats) -> tuple[float, Floats]:
    if engine == "onnxruntime":
        score, distances = run(model, x=x)
        return float(score[0]), distances
    compiled = ov.compile_model(
        ov.Core().read_model(ir.to_proto(model).SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled({"x": x})
    return float(found[0][0]), found[1]


def exact(bank: Floats, x: Floats) -> NDArray[np.float64]:
    """The distance of every patch to its nearest vector."""
    points, vectors = x.astype(np.float64), bank.astype(np.float64)
    squared = np.square(points).sum(axis=1)[:, None] + np.square(vectors).sum(axis=1) - 2 * points @ vectors.T
    distances: NDArray[np.float64] = np.sqrt(np.maximum(squared.min(axis=1), 0))
    return distances


def equal_rows() -> Floats:
    return np.repeat(low_rank(1, seed=5), 600, axis=0)


def one_far_row() -> Floats:
    bank = low_rank(600, seed=5)
    bank[7] += 1000
    return bank


def tiny_clusters() -> Floats:
    """200 places, each with three vectors that differ in the last digits."""
    return np.repeat(low_rank(200, seed=5), 3, axis=0) * np.linspace(1, 1 + 1e-5, 600, dtype=np.float32)[:, None]


BANKS = [
    pytest.param(low_rank(200, seed=5), id="200"),
    pytest.param(low_rank(600, seed=5), id="600"),
    pytest.param(low_rank(601, seed=5), id="a-group-cut-short"),
    pytest.param(equal_rows(), id="equal-rows"),
    pytest.param(one_far_row(), id="one-far-row"),
    pytest.param(tiny_clusters(), id="tiny-clusters"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bank", BANKS)
def test_the_score_stays_and_no_cell_is_below_its_distance(bank: Floats, engine: EngineName) -> None:
    x = patches()
    score, _ = results(search(bank), "onnxruntime", x)

    found, distances = results(cheap(bank), engine, x)

    wanted = exact(bank, x)
    assert found == pytest.approx(score, rel=1e-4, abs=ROUNDING)
    assert np.all(distances >= wanted * (1 - 1e-4) - ROUNDING)
    assert float(distances.max()) == pytest.approx(float(wanted.max()), rel=1e-4)
    worst = np.argsort(wanted)[-3:]
    assert_allclose(distances[worst], wanted[worst], rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("batched", [True, False], ids=["batched", "flat"])
def test_maps_of_features_near_a_plane_hardly_change(batched: bool) -> None:
    bank, x = low_rank(1_000, seed=5), patches(2)

    _, distances = results(shortlisted(bank, batched=batched), "onnxruntime", x)

    wanted = exact(bank, x)
    assert np.corrcoef(distances, wanted)[0, 1] > 0.999
    assert np.all(distances <= wanted.max() + ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vectors", "engine"),
    [
        pytest.param(20_000, "openvino", id="20000-openvino"),
        pytest.param(100_000, "onnxruntime", id="100000-onnxruntime"),
        pytest.param(100_000, "openvino", id="100000-openvino"),
    ],
)
def test_large_banks(vectors: int, engine: EngineName) -> None:
    bank, x = low_rank(vectors, seed=5), patches(2)

    score, distances = results(shortlisted(bank), engine, x)

    wanted = exact(bank, x)
    assert score == pytest.approx(results(search(bank), "onnxruntime", x)[0], rel=1e-4)
    assert np.corrcoef(distances, wanted)[0, 1] > 0.999


def test_a_vector_of_the_bank_has_no_distance() -> None:
    bank = low_rank(600, seed=5)
    x = bank[:PATCHES].copy()
    x[37] += 1

    _, distances = results(shortlisted(bank), "onnxruntime", x)

    assert np.argmax(distances) == 37
    assert np.all(np.delete(distances, 37) < 0.1)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_every_cell_is_a_distance_to_a_vector_of_the_bank(seed: int) -> None:
    bank, x = low_rank(500, seed, noise=0.1), low_rank(PATCHES, seed + 1, noise=0.5)

    _, distances = results(shortlisted(bank), "onnxruntime", x)

    pairs = cdist(x.astype(np.float64), bank.astype(np.float64))
    assert np.abs(pairs - distances[:, None]).min(axis=1).max() < ROUNDING
    assert np.all(distances >= pairs.min(axis=1) - ROUNDING)
    assert np.sum(np.abs(distances - pairs.min(axis=1)) < ROUNDING) >= EXACT_PATCHES


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
def test_what_is_not_finite_points_at_no_vector_that_is_not_there(value: float) -> None:
    x = patches()
    x[3] = value

    _, distances = results(shortlisted(low_rank(601, seed=5)), "onnxruntime", x)

    assert np.isfinite(np.delete(distances, 3)).all()


@pytest.mark.parametrize(
    ("rows", "count", "rank"),
    [
        pytest.param(600, 64, 12, id="few-patches"),
        pytest.param(20, PATCHES, 12, id="few-vectors"),
        pytest.param(600, PATCHES, DIMENSIONS, id="no-main-directions"),
    ],
)
def test_what_would_save_little_is_left_alone(rows: int, count: int, rank: int) -> None:
    model = search(low_rank(rows, seed=5, rank=rank), count)
    NearestPass()(model)

    ShortlistPass(least_products=0)(model)

    assert not has_shortlist(model)


def test_a_search_that_takes_no_time_is_left_alone() -> None:
    model = search(low_rank(600, seed=5))
    NearestPass()(model)

    ShortlistPass()(model)

    assert not has_shortlist(model)


def test_distances_that_are_asked_of_another_patch_than_the_worst_are_left_alone() -> None:
    bank = low_rank(600, seed=5)
    model = graph(
        f"float[{PATCHES}, {DIMENSIONS}] x, int64[1] chosen",
        f"float[{PATCHES}, 1] map, float[1, 600] row",
        "nx = ReduceSumSquare<keepdims=1, axes=[1]>(x) xb = MatMul(x, bt) d = Add(xb, norms) "
        "low = ReduceMin<keepdims=1, axes=[1]>(d) map = Add(low, nx) row = Gather<axis=0>(d, chosen)",
        14,
        bt=np.ascontiguousarray(-2 * bank.T),
        norms=np.square(bank).sum(axis=1)[None],
    )

    assert not ShortlistPass(least_products=0)(model).modified


def test_every_product_of_two_searches_has_a_name_of_its_own() -> None:
    """Which layer is put to float is said by its name."""
    banks = {name: low_rank(600, seed=seed) for name, seed in (("a", 5), ("b", 6))}
    lines = (
        f"p_{one} = MatMul(x, bt_{one}) d_{one} = Add(p_{one}, norms_{one}) "
        f"low_{one} = ReduceMin<keepdims=1, axes=[1]>(d_{one}) map_{one} = Add(low_{one}, nx) "
        f"worst_{one} = ArgMax<axis=0, keepdims=0>(map_{one}) row_{one} = Gather<axis=0>(d_{one}, worst_{one})"
        for one in banks
    )
    model = graph(
        f"float[{PATCHES}, {DIMENSIONS}] x",
        ", ".join(f"float[{PATCHES}, 1] map_{one}, float[1, 600] row_{one}" for one in banks),
        f"nx = ReduceSumSquare<keepdims=1, axes=[1]>(x) {' '.join(lines)}",
        14,
        **{f"bt_{one}": np.ascontiguousarray(-2 * bank.T) for one, bank in banks.items()},
        **{f"norms_{one}": np.square(bank).sum(axis=1)[None] for one, bank in banks.items()},
    )
    SimplifyPass()(model)

    assert ShortlistPass(least_products=0)(model).modified

    names = [str(node.name) for node in model.graph if str(node.name).startswith((FLOAT_ONLY, SHORTLIST))]
    assert len(names) == 4
    assert len(set(names)) == 4


@pytest.mark.parametrize("engine", ENGINES)
def test_the_exact_product_is_never_quantized_and_the_one_that_makes_the_shortlist_is(
    engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "_HEAVY_ELEMENTS", 10_000)
    model = shortlisted(low_rank(600, seed=5))
    ops = onnx_ops(model.graph)
    if engine == "openvino":
        ops = openvino_ops(ov.Core().read_model(ir.to_proto(model).SerializeToString()))
    heavy = [op for op in ops if op.heavy]
    feature = Op("features", (), np.ones((4, 3, 3, 3)))
    behind = [Op(op.name, (*op.feeds, "features"), op.kernel, op.linear, op.heavy) for op in heavy]

    found = find_backbone([feature, *behind])

    assert len(heavy) == 2
    assert len(found) == 2
    assert not any(name.startswith(FLOAT_ONLY) for name in found)


def test_an_int8_file_keeps_all_bits_of_the_bank_of_the_exact_distances(tmp_path: Path) -> None:
    """A bank in 16 bits next to its norms in 32 would make distances of other vectors."""
    model, path = to_openvino(shortlisted(low_rank(600, seed=5))), tmp_path / "model.xml"

    OpenVinoInt8(model, model).save(path)

    products = [node for node in ov.Core().read_model(path).get_ops() if node.get_type_name() == "MatMul"]
    stored = {
        prefix: {
            node.input(1).get_source_output().get_node().get_type_name()
            for node in products
            if node.get_friendly_name().startswith(prefix)
        }
        for prefix in (FLOAT_ONLY, SHORTLIST)
    }
    assert stored == {FLOAT_ONLY: {"Constant"}, SHORTLIST: {"Convert"}}


def test_main_directions_hold_the_energy_that_is_asked_for() -> None:
    bank = low_rank(300, seed=5)

    directions = directions_needed(bank, 0.9)

    share = np.square(bank @ directions).sum() / np.square(bank).sum()
    assert 0.9 <= share <= 1 + 1e-5
    assert directions.shape[1] == 32
    assert_array_equal(np.round(directions.T @ directions, 4), np.eye(32))


def test_the_bank_is_stored_once() -> None:
    bank = low_rank(600, seed=5)
    model = shortlisted(bank)

    sizes = [value.const_value.size for value in model.graph.initializers.values() if value.const_value is not None]

    assert sum(size >= bank.size for size in sizes) == 1


def test_a_table_of_neighbours_is_read_for_the_worst_patch() -> None:
    bank = low_rank(600, seed=5)
    model = search(bank)
    ir.passes.Sequential(NeighbourTablePass(), NearestPass(), ShortlistPass(least_products=0), SimplifyPass())(model)

    assert operators(model).count("TopK") == 1
