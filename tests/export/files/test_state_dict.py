"""Weights are found in what training scripts save, without PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_ad_export.files.state_dict import find_weights

WEIGHTS: dict[str, Any] = {
    "f.0.weight": np.full(3, 1.0),
    "f.0.bias": np.full(1, 2.0),
    "f.2.weight": np.full(3, 3.0),
}


def prefixed(prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(WEIGHTS, id="plain"),
        pytest.param({"state_dict": WEIGHTS, "epoch": 3}, id="state-dict"),
        pytest.param(prefixed("module."), id="data-parallel"),
        pytest.param({"state_dict": prefixed("model."), "epoch": 1}, id="lightning"),
        pytest.param({"model": WEIGHTS, "epoch": 3}, id="model"),
        pytest.param({"model_state_dict": WEIGHTS, "optimizer_state_dict": {}}, id="model-state-dict"),
        pytest.param(prefixed("model.module."), id="two-prefixes"),
        pytest.param(prefixed("_orig_mod."), id="compiled"),
        pytest.param({"net": prefixed("module."), "acc": 0.9}, id="net"),
        pytest.param({"epoch": 2, "model_ema": WEIGHTS, "args": {"lr": 0.1}}, id="ema-alone"),
        pytest.param({"checkpoint": {"state_dict": WEIGHTS}, "step": 5}, id="twice"),
        pytest.param({"f.module.0.weight": WEIGHTS["f.0.weight"], "f.module.0.bias": WEIGHTS["f.0.bias"],
                      "f.module.2.weight": WEIGHTS["f.2.weight"]}, id="wrapped-inside"),
        pytest.param({"state_dict": {**prefixed("model."), "loss.weight": np.ones(2)}}, id="beside-a-loss"),
        pytest.param({name.removeprefix("f."): value for name, value in WEIGHTS.items()}, id="of-the-wrapped"),
        pytest.param({"state_dict": WEIGHTS, "ema": prefixed("x.")}, id="the-usual-key-first"),
        pytest.param(
            {"model": WEIGHTS, "optimizer": {"state": {0: {"exp_avg": np.ones(3)}}, "param_groups": []}},
            id="beside-an-optimizer",
        ),
    ],
)  # fmt: skip
def test_weights_are_found(saved: Any) -> None:
    found = find_weights(saved, list(WEIGHTS))
    assert found.keys() == WEIGHTS.keys()
    for name, value in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], value)


def test_what_the_network_does_not_have_is_left_for_pytorch_to_refuse() -> None:
    found = find_weights({**WEIGHTS, "g.weight": np.ones(2)}, list(WEIGHTS))
    assert "g.weight" in found


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        pytest.param({"student": WEIGHTS, "teacher": WEIGHTS}, "several weights .*student, teacher", id="two-keys"),
        pytest.param(
            {**prefixed("student."), **prefixed("teacher.")}, r"several .*student\., teacher\.", id="prefixes"
        ),
        pytest.param({"other.weight": np.ones(3)}, r"Missing key\(s\) f\.0\.weight.*other\.weight", id="another"),
        pytest.param({"epoch": 3}, "no weights in it", id="none"),
        pytest.param([1, 2], "no weights in it", id="a-list"),
    ],
)
def test_what_does_not_fit_is_said(saved: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_weights(saved, list(WEIGHTS))
