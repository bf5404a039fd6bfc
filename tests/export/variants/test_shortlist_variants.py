"""Which variants with a shortlist are tried, in which order, and when int8 and bfloat16 are made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import onnx_ir as ir
import pytest

from edge_ad.errors import ModelError
from edge_ad_export.lowering.recipes import RECIPES, FloatModel, chosen_recipes, with_shortlists
from edge_ad_export.quantize.settings import TARGETS, Plan
from edge_ad_export.variants import maker, trials
from edge_ad_export.variants.result import TimedVariant, not_worth_shipping

if TYPE_CHECKING:
    from edge_ad_export.fidelity.evaluation import Candidate
    from edge_ad_export.variants.quantizer import EngineName

HERE = replace(TARGETS["x86-vnni"], measured=True)


def names(*asked: str) -> list[str]:
    return [recipe.id for recipe in with_shortlists(chosen_recipes(asked, bf16=False))]


def made(name: str, latency_ms: float, rejected: str | None = None) -> maker.MadeVariant:
    return maker.MadeVariant(RECIPES[name], cast("Candidate", name), rejected, latencies_ms=[latency_ms] * 3)


def empty_model() -> FloatModel:
    return FloatModel(ir.Model(ir.Graph([], [], nodes=[]), ir_version=8))


def timed(name: str, latency_ms: float) -> TimedVariant:
    return TimedVariant(RECIPES[name], [latency_ms] * 3, 100)


def test_each_engine_that_is_asked_for_gets_a_shortlist() -> None:
    assert names("onnx-fp32") == ["onnx-fp32", "onnx-shortlist"]
    assert names("onnx-fp32", "openvino-int8") == ["onnx-fp32", "onnx-shortlist", "openvino-shortlist", "openvino-int8"]
    assert {"onnx-shortlist", "openvino-shortlist"} <= set(names())


def test_shortlists_are_judged_with_the_exact_forms_before_anything_is_quantized() -> None:
    first, rest = trials._in_two_rounds(with_shortlists(chosen_recipes((), bf16=False)))

    assert [recipe.id for recipe in first] == ["onnx-fp32", "onnx-shortlist", "openvino-fp32", "openvino-shortlist"]
    assert {"onnx-int8", "openvino-int8", "openvino-fp16"} == {recipe.id for recipe in rest}


def test_without_a_shortlist_the_baseline_is_judged_first() -> None:
    first, rest = trials._in_two_rounds(chosen_recipes((), bf16=False))

    assert [recipe.id for recipe in first] == ["onnx-fp32"]
    assert "openvino-fp32" in {recipe.id for recipe in rest}


@pytest.mark.parametrize(
    ("shortlist_ms", "rejected", "engines"),
    [
        pytest.param(5.0, None, ["onnxruntime"], id="faster"),
        pytest.param(20.0, None, [], id="slower"),
        pytest.param(5.0, "map correlation 0.9 below 0.99", [], id="refused"),
    ],
)
def test_int8_is_made_of_a_shortlist_that_passes_and_saves_time(
    shortlist_ms: float, rejected: str | None, engines: list[str]
) -> None:
    found = [made("onnx-fp32", 10.0), made("onnx-shortlist", shortlist_ms, rejected)]

    assert maker._better_with_shortlist(found, Plan("normal", HERE, 1)) == engines


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        pytest.param("openvino-fp32", "exact", id="float32"),
        pytest.param("openvino-shortlist", "shortlist", id="the-shortlist"),
        pytest.param("openvino-fp16", "exact", id="16-bits"),
        pytest.param("openvino-bf16", "shortlist", id="bfloat16"),
        pytest.param("openvino-int8", "shortlist", id="int8"),
        pytest.param("onnx-int8", "exact", id="int8-of-an-engine-without-one"),
    ],
)
def test_what_calculates_in_few_bits_is_made_of_the_shortlist(name: str, graph: str) -> None:
    exact, short = empty_model(), empty_model()
    narrow: dict[EngineName, FloatModel] = {"onnxruntime": exact, "openvino": short}

    chosen = maker._graph_for(RECIPES[name], exact, short, narrow)

    assert chosen is {"exact": exact, "shortlist": short}[graph]


def test_without_a_bank_there_is_no_shortlist() -> None:
    model = empty_model()

    with pytest.raises(ModelError, match="no memory bank"):
        maker._graph_for(RECIPES["openvino-shortlist"], model, None, {"onnxruntime": model, "openvino": model})


def test_where_latencies_mean_nothing_the_gate_alone_decides() -> None:
    found = [made("onnx-fp32", 10.0), made("onnx-shortlist", 20.0)]

    assert maker._better_with_shortlist(found, Plan("normal", TARGETS["arm64"], 1)) == ["onnxruntime"]


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        pytest.param("openvino-shortlist", "openvino-fp32", id="shortlist-than-exact"),
        pytest.param("openvino-shortlist", "openvino-fp16", id="shortlist-than-16-bits"),
        pytest.param("openvino-int8", "openvino-shortlist", id="int8-than-shortlist"),
    ],
)
def test_what_is_slower_than_something_more_precise_is_left_out(mine: str, other: str) -> None:
    assert not_worth_shipping(timed(mine, 10), [timed(other, 5)])
    assert not_worth_shipping(timed(other, 10), [timed(mine, 5)]) is None
