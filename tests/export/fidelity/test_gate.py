"""The figures a variant is judged by, and the judgement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto
from support.field_models import Net

from edge_ad.bundle.records import Fidelity, LabelledFidelity, Trial
from edge_ad_export.fidelity.agreement import Agreement, LabelledFigures, relative_error
from edge_ad_export.fidelity.gate import PARITY, Gate, golden_tolerance, parity_for
from edge_ad_export.pages.variant_table import format_table
from edge_ad_export.provenance import Provenance

REFERENCE = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
SCORES = arrays(np.float64, 6, elements=st.floats(-1e6, 1e6, width=32))


def agreement(scores: list[float], heat: float | None = 1.0) -> Agreement:
    return Agreement(REFERENCE, np.array(scores), heat, latency_ms=1.0)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], 1.0, id="equal"),
        pytest.param([10, 20, 21, 40, 99], 1.0, id="same-order"),
        pytest.param([5, 4, 3, 2, 1], -1.0, id="reversed"),
        pytest.param([1, 2, 2, 4, 5], 0.9747, id="a-tie"),
        pytest.param([7, 7, 7, 7, 7], 0.0, id="all-the-same"),
    ],
)
def test_spearman(scores: list[float], expected: float) -> None:
    assert agreement(scores).spearman == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "reference", "expected"),
    [
        pytest.param([1.0, 2.02], [1.0, 2.0], 0.01, id="relative-to-the-reference"),
        pytest.param([0.001, 10.0], [0.0, 10.0], 0.01, id="near-zero-relative-to-the-spread"),
        pytest.param([-2.0, -1.0], [-2.0, -1.0], 0.0, id="negative-and-equal"),
    ],
)
def test_relative_error(scores: list[float], reference: list[float], expected: float) -> None:
    assert relative_error(np.array(scores), np.array(reference)) == pytest.approx(expected)


@given(SCORES)
def test_relative_error_of_equal_scores_is_zero(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    assert relative_error(scores, scores) == 0.0


@given(SCORES, st.floats(1e-3, 1e3))
def test_relative_error_does_not_depend_on_the_unit(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], unit: float
) -> None:
    reference = np.linspace(1, 2, 6)

    assert relative_error(scores * unit, reference * unit) == pytest.approx(relative_error(scores, reference))


@pytest.mark.parametrize(
    ("scores", "heat", "precision", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], 1.0, "fp32", None, id="equal"),
        pytest.param([1, 2, 3, 4, 5.01], 1.0, "fp32", "relative score error 0.002 above 0.001", id="fp32-parity"),
        pytest.param([1, 2, 3, 4, 5.01], 1.0, "fp16", None, id="fp16-has-no-parity-to-keep"),
        pytest.param([1, 2, 3, 4, 5.01], 1.0, "bf16", None, id="bf16-has-no-parity-to-keep"),
        pytest.param([2, 1, 3, 4, 5], 1.0, "bf16", "rank correlation 0.9000 below 0.99", id="order-in-bf16"),
        pytest.param([2, 1, 3, 4, 5], 1.0, "int8", "rank correlation 0.9000 below 0.99", id="order"),
        pytest.param([1, 2, 3, 4, 5], 0.98, "int8", "map correlation 0.9800 below 0.99", id="map"),
        pytest.param([1, 2, 3, 4, 5], None, "int8", None, id="no-map"),
        pytest.param([float("nan")] * 5, 1.0, "fp32", "relative score error nan above 0.001", id="nan"),
    ],
)
def test_gate(scores: list[float], heat: float | None, precision: str, expected: str | None) -> None:
    assert Gate().refuses(agreement(scores, heat), precision) == expected


def with_defects(scores: list[float], defects: list[float]) -> Agreement:
    """Five normals and as many defects, which the imported model scores 6 to 10."""
    return Agreement(REFERENCE, np.array(scores), None, 1.0, REFERENCE + 5, np.array(defects))


def test_ranks_are_those_of_normals_and_defects_together() -> None:
    swapped = with_defects([2, 1, 3, 4, 5], [6, 7, 8, 9, 10])

    assert swapped.spearman_normals == pytest.approx(0.9)
    assert swapped.spearman == pytest.approx(1 - 6 * 2 / (10 * 99))


@pytest.mark.parametrize(
    ("scores", "defects", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], None, id="equal"),
        pytest.param([1, 2, 3, 4, 6], [5, 7, 8, 9, 10],
                     "ROC-AUC on synthetic defects lower by 0.0400, more than 0.005", id="one-pair-swapped"),
    ],
)  # fmt: skip
def test_gate_on_synthetic_defects(scores: list[float], defects: list[float], expected: str | None) -> None:
    assert Gate(min_spearman=0.5).refuses(with_defects(scores, defects), "int8") == expected


@pytest.mark.parametrize(
    ("reference", "found", "expected"),
    [
        pytest.param(0.8, 0.8, None, id="equal"),
        pytest.param(0.8, 0.9, None, id="better"),
        pytest.param(0.8, 0.7, "AUPIMO on synthetic defects lower by 0.1000, more than LIMIT", id="lost"),
        pytest.param(None, None, None, id="no-map"),
        pytest.param(0.8, float("nan"), "AUPIMO on synthetic defects lower by nan, more than LIMIT", id="nan"),
    ],
)
def test_gate_on_what_maps_mark(reference: float | None, found: float | None, expected: str | None) -> None:
    marked = Agreement(REFERENCE, REFERENCE, 1.0, 1.0, aupimo_reference=reference, aupimo=found)

    limit = f"{Gate().max_aupimo_lost:g}"
    assert Gate().refuses(marked, "int8") == (expected and expected.replace("LIMIT", limit))
    assert Gate(max_aupimo_lost=0.1).refuses(marked, "int8") == (
        "AUPIMO on synthetic defects lower by nan, more than 0.1" if np.isnan(found or 0) else None
    )


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        pytest.param(0.945, None, id="lost-as-much-as-allowed"),
        pytest.param(0.94, "ROC-AUC on the labelled images lower by 0.0100, more than 0.005", id="lost-more"),
        pytest.param(1.0, None, id="better"),
    ],
)
def test_gate_on_labelled_images(real: float, expected: str | None) -> None:
    found = Agreement(
        REFERENCE,
        REFERENCE,
        None,
        1.0,
        labelled_reference=LabelledFigures(0.95, 0.9, None),
        labelled=LabelledFigures(real, 0.9, None),
    )

    assert Gate().refuses(found, "int8") == expected


@pytest.mark.parametrize(
    ("raised", "limit", "more", "refused"),
    [
        pytest.param((10,), 0.0, 0, False, id="as-many"),
        pytest.param((10, 12), 0.0, 1, False, id="one-more-is-chance"),
        pytest.param((10, 12, 14), 0.0, 2, True, id="two-more"),
        pytest.param((10, 12, 14), 0.1, 2, False, id="as-many-more-as-allowed"),
    ],
)
def test_false_rejects_after_each_was_calibrated_anew(
    raised: tuple[int, ...], limit: float, more: int, *, refused: bool
) -> None:
    """The imported model's odd-numbered half reaches 19, the even-numbered one 18: one reject."""
    reference = np.arange(20.0)
    scores = reference.copy()
    scores[list(raised)] = 40  # all of one half, so that the other half's largest score is exceeded as often

    found = Agreement(reference, scores, None, 1.0)

    assert found.more_false_rejects == more
    assert (Gate(-1, -1, None, 1, limit).refuses(found, "int8") is not None) is refused


@pytest.mark.parametrize(
    ("precision", "refused"),
    [
        pytest.param("int8", True, id="int8"),
        pytest.param("fp16", True, id="fp16"),
        pytest.param("fp32", False, id="nothing-was-fitted-in-float32"),
    ],
)
def test_ranks_are_held_against_the_lower_end_of_their_interval(precision: str, *, refused: bool) -> None:
    random = np.random.default_rng(0)
    reference = np.arange(40.0)
    few = Agreement(reference, reference + random.normal(0, 2, 40), None, 1.0)
    reason = Gate(parity=None, max_more_false_rejects=1).refuses(few, precision)

    assert few.spearman > 0.99 > few.spearman_low
    assert (reason is not None) is refused
    assert str(reason).startswith("rank correlation 0.99") is refused


def test_the_interval_is_corrected_where_one_of_several_forms_is_taken() -> None:
    random = np.random.default_rng(0)
    reference = np.arange(200.0)
    one = Agreement(reference, reference + random.normal(0, 7.6, 200), None, 1.0)
    of_four = replace(one, looks=4)
    gate = Gate(parity=None, max_more_false_rejects=1)

    assert of_four.spearman == one.spearman > one.spearman_low > 0.99 > of_four.spearman_low
    assert gate.refuses(one, "int8") is None
    assert str(gate.refuses(of_four, "int8")).startswith("rank correlation 0.99")


def test_gate_is_as_strict_as_asked() -> None:
    assert Gate(min_spearman=0.1, min_map_correlation=0.5).refuses(agreement([2, 1, 3, 4, 5], 0.6), "int8") is None


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        pytest.param("fp32", 0.045, id="fp32"),
        pytest.param("fp16", 0.045, id="fp16"),
        pytest.param("bf16", 0.205, id="bf16"),
        pytest.param("int8", 0.205, id="int8"),
    ],
)
def test_golden_tolerance(precision: str, expected: float) -> None:
    assert golden_tolerance(agreement([1, 2, 3, 4, 5]), precision) == pytest.approx(expected)


def test_golden_tolerance_of_a_model_in_float16() -> None:
    assert golden_tolerance(agreement([1, 2, 3, 4, 5]), "fp32", 4e-3) == pytest.approx(0.06)


def cast_and_back(kind: int, *, between: str | None) -> ir.Model:
    """Casts to another type and back, with or without an operator between them; no value in between is stated."""
    net = Net()
    value = net.op("Cast", net.input("x", [1, 4]), to=kind)
    value = value if between is None else net.op(between, value)
    net.op("Cast", value, out="y", to=TensorProto.FLOAT)
    net.output("y", [1, 4])
    return ir.from_proto(net.proto())


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(cast_and_back(TensorProto.FLOAT16, between="Relu"), 2.0**-8, id="float16"),
        pytest.param(cast_and_back(TensorProto.BFLOAT16, between="Relu"), 2.0**-5, id="bfloat16"),
        pytest.param(cast_and_back(TensorProto.DOUBLE, between="Relu"), PARITY, id="double"),
        pytest.param(cast_and_back(TensorProto.FLOAT16, between=None), PARITY, id="stored-in-16-bits"),
    ],
)
def test_parity_follows_from_the_type_that_a_graph_calculates_in(model: ir.Model, expected: float) -> None:
    assert parity_for(model) == expected


def fidelity(heat: float | None, labelled: LabelledFidelity | None = None) -> Fidelity:
    return Fidelity(
        images=5,
        score_max_abs=0.1,
        score_max_rel=0.02,
        spearman=0.995,
        spearman_low=0.9912,
        map_correlation_min=heat,
        latency_ms=1.234,
        size_bytes=2_500_000,
        roc_auc_lost=0.0012,
        aupimo=0.5,
        aupimo_lost=-0.00001,
        labelled=labelled,
    )


def test_table() -> None:
    fast = fidelity(heat=None)
    trials = (
        Trial(id="onnx-fp32", fidelity=fast),
        Trial(id="onnx-int8", fidelity=fast, rejected="order"),
        Trial(id="openvino-int8", fidelity=None, rejected="NNCF"),
    )

    provenance: Provenance = {"source": "m.onnx", "source_bytes": 3_000_000, "source_latency_ms": 4.0}
    lines = format_table(trials, "onnx-fp32", provenance, ["onnx-fp32", "onnx-int8"]).splitlines()
    assert [line[:104].rstrip() for line in lines] == [
        "variant        latency    size  score error  rank corr.  at least  worst map  AUC change  AUPIMO change",
        "onnx-fp32      1.23 ms  2.5 MB      2.0e-02      0.9950    0.9912     no map     -0.0012         0.0000",
        "onnx-int8      1.23 ms  2.5 MB      2.0e-02      0.9950    0.9912     no map     -0.0012         0.0000",
        "openvino-int8        -       -            -           -         -          -           -              -",
        "as imported    4.00 ms  3.0 MB            -           -         -          -           -              -",
    ]
    assert [line[104:].lstrip() for line in lines] == [
        "",
        "default",
        "rejected, but written: order",
        "rejected: NNCF",
        "m.onnx",
    ]


def test_the_table_prefers_real_labels() -> None:
    real = LabelledFidelity(
        images=9,
        roc_auc=0.9,
        roc_auc_lost=0.05,
        average_precision=0.8,
        pixel_roc_auc=None,
        aupimo=0.4,
        aupimo_lost=0.07,
    )

    row = format_table((Trial(id="onnx-fp32", fidelity=fidelity(0.999, real)),), "onnx-fp32", {}).splitlines()[1]

    assert row.split()[-3:] == ["-0.0500", "-0.0700", "default"]


@pytest.mark.parametrize(
    ("reference", "refusal"),
    [
        pytest.param(None, None, id="too-few-normal-pixels-for-both"),
        pytest.param(
            0.5,
            "AUPIMO on synthetic defects cannot be measured: too many normal pixels have the maps' highest value",
            id="the-variant-alone",
        ),
    ],
)
def test_a_variant_without_aupimo(reference: float | None, refusal: str | None) -> None:
    found = Agreement(REFERENCE, REFERENCE, 1.0, 1.0, aupimo_reference=reference, aupimo=None)

    assert Gate().refuses(found, "int8") == refusal
