"""The distance of directions, from their cosine."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_heads_as_exported import teacher_student
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import NormalizedDistancePass, SimplifyPass


def features(seed: int, *, alike: float = 0.0) -> NDArray[np.float32]:
    shared = np.random.default_rng(99).normal(0, 1, (1, 7, 5, 5))
    own = np.random.default_rng(seed).normal(0, 1, (1, 7, 5, 5))
    return (alike * shared + (1 - alike) * own).astype(np.float32)


@pytest.mark.parametrize(
    "square",
    [
        pytest.param("norm = ReduceL2<keepdims=1>(diff, channel) y = Pow(norm, two)", id="length-squared"),
        pytest.param("y = ReduceSumSquare<keepdims=1>(diff, channel)", id="sum-of-squares"),
        pytest.param("s = Pow(diff, two) y = ReduceSum<keepdims=1>(s, channel)", id="squares-summed"),
    ],
)
@pytest.mark.parametrize("alike", [pytest.param(0.0, id="far"), pytest.param(0.95, id="near")])
def test_distances_stay(square: str, alike: float) -> None:
    model = teacher_student(square)
    feeds = {"a": features(0, alike=alike), "b": features(1, alike=alike)}
    (expected,) = run(model, **feeds)

    assert NormalizedDistancePass()(model).modified
    SimplifyPass()(model)

    (found,) = run(model, **feeds)
    assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert not {"Expand", "Sub"} & set(operators(model))


def test_features_of_zero_length_keep_their_distance() -> None:
    model = teacher_student()
    feeds = {"a": np.zeros((1, 7, 5, 5), np.float32), "b": features(1)}
    (expected,) = run(model, **feeds)

    NormalizedDistancePass()(model)

    (found,) = run(model, **feeds)
    assert_allclose(found, expected, rtol=1e-6)
    assert_allclose(expected, 1, rtol=1e-6)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("ua = Div(a, fb) ub = Div(b, fb) d = Sub(ua, ub)", id="divided-by-the-other"),
        pytest.param("ua = Div(a, la) ub = Div(b, fb) d = Sub(ua, ub)", id="no-floor"),
        pytest.param("ua = Div(a, fa) ub = Div(b, fb) d = Add(ua, ub)", id="sum"),
    ],
)
def test_other_arithmetic_stays(nodes: str) -> None:
    model = graph(
        "float[1, 7, 5, 5] a, float[1, 7, 5, 5] b",
        "float[1, 1, 5, 5] y",
        "la = ReduceL2<keepdims=1>(a, channel) fa = Clip(la, floor) lb = ReduceL2<keepdims=1>(b, channel) "
        f"fb = Clip(lb, floor) {nodes} y = ReduceSumSquare<keepdims=1>(d, channel)",
        channel=np.array([1]),
        floor=np.array(1e-12, np.float32),
    )

    assert not NormalizedDistancePass()(model).modified
