"""The raw value behind anomalib's normalisation: found exactly, and nothing of the model taken with it."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from edge_ad_export.importers.raw_outputs import find_raw

HEADER = '<ir_version: 8, opset_import: ["" : 18]> tiny (float[1] x) => (float[1] y) <{constants}> {{ {nodes} }}'
CONSTANTS = (
    "float t = {2.5}, float r = {4.0}, float zero = {0.0}, float half = {0.5}, float one = {1.0}, float two = {2.0}"
)
MODEL = "raw = Sigmoid(x) "
SHIFT = "a = Sub(raw, t) b = Div(a, r) c = Add(b, half) "


def graph(nodes: str, constants: str = CONSTANTS) -> ir.Graph:
    return ir.from_onnx_text(HEADER.format(constants=constants, nodes=nodes)).graph


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(MODEL + SHIFT + "y = Clip(c, zero, one)", id="clip"),
        pytest.param(MODEL + SHIFT + "d = Min(c, one) y = Max(d, zero)", id="max-of-min"),
        pytest.param(MODEL + SHIFT + "d = Max(zero, c) y = Min(one, d)", id="min-of-max"),
        pytest.param(MODEL + "a = Sub(raw, t) b = Div(a, r) c = Add(half, b) y = Clip(c, zero, one)", id="half-first"),
        pytest.param(MODEL + SHIFT + "d = Clip(c, zero, one) y = Identity(d)", id="identity"),
        pytest.param(
            MODEL + SHIFT + "d = Clip(c, zero, one) g = Greater(raw, t) w = Where(g, one, zero) y = Where(g, w, d)",
            id="where-second-branch",
        ),
        pytest.param(
            MODEL + SHIFT + "d = Clip(c, zero, one) g = Greater(raw, t) w = Where(g, zero, d) y = Where(g, w, raw)",
            id="where-nested",
        ),
    ],
)
def test_takes_the_normalisation_away(nodes: str) -> None:
    raw = find_raw(graph(nodes).outputs[0])

    assert raw.name == "raw"
    assert (raw.threshold, raw.range) == (2.5, 4.0)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("y = Sigmoid(x)", id="post-processor-off"),
        pytest.param(MODEL + "a = Sub(raw, t) y = Div(a, r)", id="affine-without-clamp"),
        pytest.param(MODEL + SHIFT + "y = Clip(c, zero, two)", id="other-bounds"),
        pytest.param(MODEL + SHIFT + "y = Clip(c, zero)", id="one-bound"),
        pytest.param(MODEL + "a = Sub(t, raw) b = Div(a, r) c = Add(b, half) y = Clip(c, zero, one)", id="reversed"),
        pytest.param(MODEL + "g = Greater(raw, t) y = Where(g, raw, zero)", id="where-of-the-model"),
    ],
)
def test_leaves_the_models_own_arithmetic(nodes: str) -> None:
    output = graph(nodes).outputs[0]

    raw = find_raw(output)

    assert raw.name == output.name
    assert (raw.threshold, raw.range) == (None, None)


@pytest.mark.parametrize(
    ("nodes", "name", "threshold", "spread"),
    [
        pytest.param("a = Sub(raw, t) b = Div(a, r) c = Add(b, one)", "raw", 0.5, 4.0, id="not-a-half"),
        pytest.param("b = Div(raw, r) c = Add(b, half)", "raw", 0.0, 4.0, id="no-threshold"),
        pytest.param("b = Mul(half, raw) c = Sub(b, two)", "raw", 5.0, 2.0, id="product-and-difference"),
        pytest.param("a = Sub(t, raw) b = Div(a, k) c = Add(b, half)", "raw", 2.5, 4.0, id="turned-twice"),
        pytest.param("c = Sub(raw, t)", "raw", 3.0, 1.0, id="difference-alone"),
        pytest.param("a = Sub(raw, x) b = Div(a, r) c = Add(b, half)", "a", 0.0, 4.0, id="threshold-of-x"),
        pytest.param("a = Sub(raw, t) f = Unsqueeze(a, ax) b = Div(f, r) c = Add(b, half)", "raw", 2.5, 4.0, id="axes"),
    ],
)
def test_any_affine_function_that_is_clamped_is_taken_away(
    nodes: str, name: str, threshold: float, spread: float
) -> None:
    constants = CONSTANTS + ", float k = {-4.0}, int64[1] ax = {0}"
    raw = find_raw(graph(MODEL + nodes + " y = Clip(c, zero, one)", constants).outputs[0])

    assert (raw.name, raw.found) == (name, True)
    assert (raw.threshold, raw.range) == pytest.approx((threshold, spread))


@pytest.mark.parametrize(
    ("nodes", "clamp"),
    [
        pytest.param("y = Sigmoid(x)", "Sigmoid to 0..1", id="sigmoid"),
        pytest.param("a = Sqrt(x) y = Clip(a, zero, two)", "Clip to 0..2", id="clip"),
        pytest.param("a = Sub(t, x) y = Clip(a, zero, one)", "Clip to 0..1", id="turned-round"),
        pytest.param("a = Tanh(x) b = Relu(a) y = Identity(b)", "Tanh to -1..1", id="relu-of-tanh"),
        pytest.param("y = Relu(x)", None, id="no-upper-bound"),
        pytest.param("a = Clip(x, zero, one) y = Sqrt(a)", None, id="clamped-before"),
    ],
)
def test_a_value_that_stays_in_a_range_is_found(nodes: str, clamp: str | None) -> None:
    assert find_raw(graph(nodes).outputs[0]).clamp == clamp


def test_statistics_that_are_no_numbers_are_not_reported() -> None:
    nodes = MODEL + SHIFT + "y = Clip(c, zero, one)"
    found = graph(nodes, CONSTANTS)
    found.initializers["t"].const_value = ir.tensor(float("nan"), dtype=ir.DataType.FLOAT, name="t")

    raw = find_raw(found.outputs[0])

    assert (raw.name, raw.threshold, raw.range) == ("raw", None, 4.0)


def test_bounds_of_old_opsets_are_attributes() -> None:
    raw = find_raw(graph(MODEL + SHIFT + "y = Clip<min=0.0, max=1.0>(c)").outputs[0])

    assert (raw.name, raw.threshold) == ("raw", 2.5)
