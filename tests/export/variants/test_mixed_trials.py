"""How many operations of a mixed variant are in float, form after form, and that it is timed before it is scored."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.export_onnx import graph as onnx_graph

from edge_ad_export.fidelity import agreement
from edge_ad_export.fidelity.agreement import ROUGH_ROUNDS, ROUNDS, measure_latency
from edge_ad_export.fidelity.evaluation import Candidate
from edge_ad_export.fidelity.gate import Gate
from edge_ad_export.graph.embedded import to_openvino
from edge_ad_export.lowering.recipes import RECIPES, Recipe
from edge_ad_export.quantize.int8_graph import onnx_ops, openvino_ops
from edge_ad_export.variants import mixed_trials, quantizer
from edge_ad_export.variants.maker import MadeVariant
from edge_ad_export.variants.mixed_precision import Ranking, Search, rank_layers, where_to_begin
from edge_ad_export.variants.quantizer import Int8, Mixed, Quantizer


def made(name: str, latency_ms: float) -> MadeVariant:
    """Its engine says how long it takes."""
    scorer = SimpleNamespace(run_bare=lambda: latency_ms)
    return MadeVariant(RECIPES[name], Candidate(name, cast("Any", scorer)))


class _Files:
    """In place of the evaluation that made the variants: their sizes, and whether this CPU is the one they are for."""

    def __init__(self, sizes: dict[str, int], *, measured: bool = True) -> None:
        self._sizes = sizes
        self.trials = SimpleNamespace(plan=SimpleNamespace(measured=measured))

    def size_bytes(self, recipe: Any) -> int:
        return self._sizes[recipe.id]


@pytest.fixture
def engines_that_say_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_trials, "measure_latency", lambda runs, most: tuple([run()] * most for run in runs))


SLOWER = "2.00 times as slow as openvino-fp32, which is more precise"
NO_GAIN = "neither faster nor smaller than openvino-fp32, which is more precise"


@pytest.mark.parametrize(
    ("latency_ms", "size", "measured", "expected"),
    [
        pytest.param(5.0, 100, True, None, id="faster"),
        pytest.param(20.0, 10, True, SLOWER, id="slower"),
        pytest.param(10.0, 50, True, None, id="smaller"),
        pytest.param(10.0, 95, True, NO_GAIN, id="neither"),
        pytest.param(20.0, 95, False, None, id="made-for-another-cpu"),
    ],
)
@pytest.mark.usefixtures("engines_that_say_their_time")
def test_a_mixed_form_has_to_be_worth_its_scoring(
    latency_ms: float, size: int, expected: str | None, *, measured: bool
) -> None:
    evaluation = cast("Any", _Files({"openvino-int8": size, "openvino-fp32": 100}, measured=measured))
    mixed = made("openvino-int8", latency_ms)

    found = mixed_trials._no_gain(evaluation, mixed, [made("onnx-fp32", 0.1), made("openvino-fp32", 10.0)])

    assert found == expected
    assert mixed.latencies_ms == [latency_ms] * ROUGH_ROUNDS


@pytest.mark.parametrize(
    ("run_s", "most", "rounds"),
    [
        pytest.param(0.001, ROUNDS, ROUNDS, id="fast"),
        pytest.param(10.0, ROUNDS, 5, id="slow"),
        pytest.param(0.2, ROUNDS, 8, id="between"),
        pytest.param(0.001, 4, 4, id="asked-for-fewer"),
    ],
)
def test_what_takes_long_is_timed_in_fewer_rounds(
    monkeypatch: pytest.MonkeyPatch, run_s: float, most: int, rounds: int
) -> None:
    now = [0.0]

    def run() -> None:
        now[0] += run_s

    monkeypatch.setattr(agreement, "perf_counter", lambda: now[0])

    (found,) = measure_latency([run], most)

    assert found == pytest.approx([run_s * 1e3] * rounds)


class _FakeMaker:
    """In place of a maker and its quantizer: a graph of forty layers, ``shortlists`` of them mended afterwards.

    The time of a form is that of the whole int8 graph, 10 ms, and ``float_ms`` for each layer in float, ``mended_ms``
    where only what is mended is in int8. The gate lets through what has ``needed`` layers in float.
    """

    def __init__(self, root: Path, *, needed: int, float_ms: float, mended_ms: float = 0.0) -> None:
        self.root, self._needed, self._float_ms, self._mended_ms = root, needed, float_ms, mended_ms
        shortlists = ("layer39",) if mended_ms else ()
        self._quantized = _Graph({}, shortlists=shortlists)
        self._int8 = Int8(self._quantized, cast("Any", SimpleNamespace(label="NNCF")))
        self.said = list[str]()
        self.tell = SimpleNamespace(say=self.said.append)
        self.trials = SimpleNamespace(plan=SimpleNamespace(measured=True, effort="normal"), gate=Gate())
        self.searched, self.looks = 0, list[int]()
        self.scored = list[int]()

    def variant(self, name: str, latency_ms: float, rejected: str | None = None) -> MadeVariant:
        scorer = SimpleNamespace(run_bare=lambda: latency_ms)
        found = MadeVariant(RECIPES[name], Candidate(name, cast("Any", scorer)), rejected)
        found.agreement, found.latencies_ms = cast("Any", "measured"), [latency_ms] * ROUNDS
        return found

    def make(self, recipe: Recipe) -> MadeVariant:
        (self.root / recipe.model).parent.mkdir(parents=True)
        recipe.write(cast("Any", None), self.root / recipe.model, None)
        floats = len(self._quantized.tried[-1])
        made = self.variant("openvino-int8", self._mended_ms if recipe.mended else 10 + self._float_ms * floats)
        made.recipe, made.agreement = recipe, None
        made.label = str(floats)
        return made

    def score(self, variants: list[MadeVariant], *, looks: int = 1, **_: object) -> None:
        self.looks.append(looks)
        self.scored.append(floats := len(self._quantized.tried[-1]))
        variants[0].agreement = cast("Any", "measured")
        variants[0].rejected = None if floats >= self._needed else "not close enough"

    def measure_latency(self, variants: list[MadeVariant]) -> None:
        pass

    def size_bytes(self, _recipe: Recipe) -> int:
        return 100

    def mended_form(self, _engine: str) -> Mixed | None:
        return Quantizer.mended_form(cast("Any", SimpleNamespace(int8=lambda _: self._int8)), "openvino")

    def mixed(self, _engine: str, _gate: Gate, share: float, last: Mixed | None) -> Mixed:
        self.searched += 1
        most = int(share * 40) if last is None else last.count
        return Mixed(self._int8, self._int8.quantized.layers, 1, most)


def mixed_of(maker: _FakeMaker, int8_rejected: str | None = "not close enough") -> MadeVariant | None:
    made = [maker.variant("openvino-fp32", 20.0), maker.variant("openvino-int8", 10.0, int8_rejected)]
    found = mixed_trials.add_mixed(cast("Any", maker), made, cast("Any", lambda _recipe: maker))
    assert [one.recipe.id for one in found[:2]] == ["openvino-fp32", "openvino-int8"]
    return found[2] if found[2:] else None


@pytest.mark.parametrize(
    ("needed", "float_ms", "mended_ms", "scored", "searched"),
    [
        pytest.param(1, 0.1, 0.0, [1], 1, id="the-first-holds"),
        pytest.param(9, 0.1, 0.0, [1, 4, 12], 1, id="more-in-float-until-one-holds"),
        pytest.param(4, 0.1, 15.0, [1, 4], 1, id="much-faster-than-the-mended-form"),
        pytest.param(39, 0.1, 15.0, [1, 4, 13, 39], 1, id="the-mended-form-is-the-last"),
        pytest.param(12, 0.5, 15.0, [1, 4, 39], 1, id="hardly-faster-than-the-mended-form"),
        pytest.param(1, 50.0, 15.0, [39], 1, id="slower-than-float"),
        pytest.param(1, 0.5, 11.0, [39], 0, id="int8-is-hardly-faster-than-the-mended-form"),
        pytest.param(1, 0.1, 30.0, [1], 1, id="a-mended-form-that-saves-no-time"),
    ],
)
@pytest.mark.usefixtures("engines_that_say_their_time")
def test_forms_are_tried_until_one_holds_that_is_worth_it(
    tmp_path: Path, needed: int, float_ms: float, mended_ms: float, scored: list[int], searched: int
) -> None:
    maker = _FakeMaker(tmp_path, needed=needed, float_ms=float_ms, mended_ms=mended_ms)

    found = mixed_of(maker)

    assert found is not None
    assert (found.recipe.id, found.rejected, found.recipe.mended) == ("openvino-mixed", None, scored[-1] == 39)
    assert (maker.scored, maker.searched) == (scored, searched)
    assert maker.looks == [4 if searched else 1] * len(scored)
    assert "openvino-int8 fails the gate" in "".join(maker.said)
    assert ("only its search stays in int8" in maker.said[-1]) is (searched == 0)


@pytest.mark.parametrize(
    ("mended_ms", "scored"),
    [
        pytest.param(0.0, [], id="nothing-is-mended"),
        pytest.param(11.0, [39], id="a-mended-form"),
        pytest.param(30.0, [], id="a-mended-form-that-saves-no-time"),
    ],
)
@pytest.mark.usefixtures("engines_that_say_their_time")
def test_int8_that_passes_has_the_mended_form_beside_it(tmp_path: Path, mended_ms: float, scored: list[int]) -> None:
    maker = _FakeMaker(tmp_path, needed=0, float_ms=0.1, mended_ms=mended_ms)

    found = mixed_of(maker, int8_rejected=None)

    assert (maker.scored, maker.searched, maker.looks) == (scored, 0, [1] * len(scored))
    assert [folder.name for folder in tmp_path.glob("variants/*")] == ([] if found is None else ["openvino-mixed"])
    assert (found is not None) is bool(scored)


@pytest.mark.usefixtures("engines_that_say_their_time")
def test_a_form_that_would_be_left_out_for_its_latency_is_not_scored(tmp_path: Path) -> None:
    maker = _FakeMaker(tmp_path, needed=1, float_ms=50.0)

    found = mixed_of(maker)

    assert found is not None
    assert (found.recipe.id, found.rejected) == (
        "openvino-mixed",
        "3.00 times as slow as openvino-fp32, which is more precise",
    )
    assert maker.scored == []


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        pytest.param(1, 64, [4, 16, 64], id="a-long-way"),
        pytest.param(35, 42, [38, 40, 42], id="a-short-way"),
        pytest.param(40, 42, [41, 42], id="fewer-than-steps"),
        pytest.param(42, 42, [], id="no-more-left"),
    ],
)
def test_the_last_form_has_as_many_operations_in_float_as_can_pay(count: int, most: int, expected: list[int]) -> None:
    form: Mixed | None = Mixed(cast("Any", None), tuple(map(str, range(70))), count, most)
    found = []
    for left in (3, 2, 1, 0):
        form = None if form is None else form.with_more(left)
        found += [] if form is None else [form.count]

    assert found == expected


class _Probes:
    """Frames on which a graph gives these correlations."""

    def __init__(self, correlation: float, low: float, worst_map: float) -> None:
        self.run = lambda *_: self
        self.spearman = lambda _found: correlation
        self.spearman_low = lambda _found: low
        self.worst_map = lambda _found: worst_map


@pytest.mark.parametrize(
    ("correlation", "low", "worst_map", "holds", "refutes"),
    [
        pytest.param(0.995, 0.95, 0.995, True, False, id="above"),
        pytest.param(0.985, 0.95, 0.995, False, False, id="below-by-less-than-the-interval"),
        pytest.param(0.97, 0.96, 0.995, False, True, id="below-by-more"),
        pytest.param(0.995, 0.95, 0.985, False, True, id="a-bad-map"),
    ],
)
def test_what_a_few_frames_leave_open_is_left_to_the_gate(
    correlation: float, low: float, worst_map: float, *, holds: bool, refutes: bool
) -> None:
    probes, quantized = _Probes(correlation, low, worst_map), SimpleNamespace(save=lambda *_: None)
    search = Search(cast("Any", probes), *cast("Any", (None, quantized, ("a", "b"), Gate(), Path("candidate"))))

    assert (search.holds(1), search.refutes(1)) == (holds, refutes)


class _Graph:
    """Forty layers of which some do harm, also as probes: the damage that is left is the harm of those in int8."""

    layers = tuple(f"layer{number}" for number in range(40))

    def __init__(self, harm: dict[str, float], sums: tuple[str, ...] = (), shortlists: tuple[str, ...] = ()) -> None:
        self._harm, self.sums, self.shortlists = harm, sums, shortlists
        self.tried: list[tuple[str, ...]] = []

    def save(self, _path: Path, floats: Collection[str] = ()) -> None:
        self.tried.append(tuple(floats))

    def run(self, *_: object) -> float:
        return sum(harm for layer, harm in self._harm.items() if layer not in self.tried[-1])

    def damage(self, found: float) -> float:
        return found


def rank(
    harm: dict[str, float], deadline_s: float = math.inf, *, thorough: bool = False, **kinds: tuple[str, ...]
) -> tuple[_Graph, Ranking]:
    graph = _Graph(harm, **kinds)
    runner = cast("Any", SimpleNamespace(engine="onnxruntime"))
    return graph, rank_layers(graph, cast("Any", graph), runner, Path(), deadline_s, thorough=thorough)


def test_layers_are_measured_with_their_neighbours() -> None:
    graph, ranking = rank({"layer30": 1.0, "layer3": 3.0, "layer4": 2.0})

    assert ranking.layers.index("layer30") < 3 * 3
    assert max(map(ranking.layers.index, ("layer3", "layer4"))) < 2 * 3
    assert sorted(ranking.layers) == sorted(graph.layers)
    assert (ranking.unmeasured, len(graph.tried)) == (0, 1 + 16)


def test_with_much_effort_the_better_ranking_is_kept() -> None:
    scattered = {f"layer{number}": 1.0 + number for number in range(1, 40, 4)}
    graph, ranking = rank(scattered, thorough=True)

    assert ranking.layers[:10] == tuple(sorted(scattered, key=lambda layer: -scattered[layer]))
    assert len(graph.tried) == (1 + 16) + (1 + 40) + 2


def test_a_damage_that_is_no_number_ranks_what_takes_it_away_first() -> None:
    assert "layer7" in rank({"layer7": math.inf, "layer20": 1.0})[1].layers[:3]


def test_a_search_that_is_stopped_says_how_many_layers_were_not_measured() -> None:
    graph, ranking = rank({"layer3": 1.0}, deadline_s=-math.inf)

    assert (ranking.layers, ranking.unmeasured) == (graph.layers, 40)
    assert graph.tried == []


def test_sums_are_in_float_before_anything_is_ranked() -> None:
    """In float they take hardly more time than in int8."""
    graph, ranking = rank({"layer30": 1.0}, sums=("layer5", "layer30"))

    assert ranking.layers[:2] == ("layer5", "layer30")
    assert sorted(ranking.layers) == sorted(graph.layers)
    assert all(tried[:2] == ("layer5", "layer30") for tried in graph.tried)


def test_the_product_of_a_shortlist_is_the_last_in_float() -> None:
    """Its errors are mended, and it takes a good part of the time."""
    graph, ranking = rank({"layer7": 9.0, "layer30": 1.0}, shortlists=("layer7",))

    assert ranking.layers[-1] == "layer7"
    assert sorted(ranking.layers) == sorted(graph.layers)
    assert not any("layer7" in tried for tried in graph.tried)


def test_a_share_may_be_in_float_beside_the_sums() -> None:
    assert quantizer._most_floats(_Graph({}, ("layer0", "layer1", "layer2", "layer3")), 0.5) == 22


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_only_what_adds_two_results_is_a_sum(engine: str) -> None:
    constants = {"w": np.ones((3, 3, 1, 1), np.float32), "b": np.ones((1, 3, 1, 1), np.float32)}
    nodes = "v = Conv(x, w) u = Add(v, x) t = Add(u, b) y = Mul(t, v)"
    model = onnx_graph("float[1, 3, 4, 4] x", "float[1, 3, 4, 4] y", nodes, 18, **constants)
    for index, node in enumerate(model.graph):
        node.name = f"n{index}"

    ops = onnx_ops(model.graph) if engine == "onnxruntime" else openvino_ops(to_openvino(model))

    assert [op.sums for op in ops].count(True) == 1
    assert next(op for op in ops if op.sums).feeds[0] == next(op for op in ops if op.kernel is not None).name


@pytest.mark.parametrize(
    ("sums", "refuted", "needed", "expected"),
    [
        pytest.param(5, 0, 9, 5, id="the-sums-alone"),
        pytest.param(5, 6, 9, 9, id="more-than-the-sums"),
        pytest.param(5, 6, 3, 5, id="no-fewer-than-the-sums"),
        pytest.param(0, 0, 9, 9, id="no-sums"),
        pytest.param(0, 12, 99, 20, id="left-to-the-gate"),
        pytest.param(5, 99, 99, None, id="hopeless"),
    ],
)
def test_the_first_form_has_the_sums_alone_in_float(sums: int, refuted: int, needed: int, expected: int | None) -> None:
    search = SimpleNamespace(refutes=lambda count: count < refuted, holds=lambda count: count >= needed)

    assert where_to_begin(cast("Any", search), sums, 20) == expected
