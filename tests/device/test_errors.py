"""Errors that get more words on their way keep their kind and what they carry."""

from __future__ import annotations

import pickle

import pytest

from edge_ad import errors
from edge_ad.errors import EdgeAdError

ERRORS: dict[str, EdgeAdError] = {
    "InputError": errors.InputError("why"),
    "FrameError": errors.FrameError("dark", "why"),
    "NotEnoughNormalsError": errors.NotEnoughNormalsError(7, "why"),
    "MissingExtraError": errors.MissingExtraError("onnxruntime", "onnx"),
    "GoldenError": errors.GoldenError("why"),
    "LinkRefusedError": errors.LinkRefusedError("not_ready", "why"),
    "LinkTimeoutError": errors.LinkTimeoutError("why"),
    "StationFaultError": errors.StationFaultError("camera", "why"),
    "OutputError": errors.OutputError("why"),
    "GateError": errors.GateError("why"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_same_error_says_more(name: str) -> None:
    error = ERRORS[name]
    before = str(error)
    assert str(pickle.loads(pickle.dumps(error))) == before  # noqa: S301
    other = error.saying(f"inspect.top: {error}")
    assert (type(other), other.exit_code, vars(other)) == (type(error), error.exit_code, vars(error))
    assert (str(other), str(error)) == (f"inspect.top: {before}", before)
