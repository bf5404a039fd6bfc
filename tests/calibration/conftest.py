"""Fixtures for the workstation's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad_calibration.thresholds import pareto_tail


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands keep scores by default: a folder of this test, never the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg/edge-ad"


@pytest.fixture(scope="session")
def _fits() -> dict[tuple[bytes, str], Any]:
    return {}


@pytest.fixture
def full_fits() -> None:
    """A test that asks for this one has its tails fitted anew, with as many simulated ones as a user's."""


@pytest.fixture(autouse=True)
def _quick_fits(
    request: pytest.FixtureRequest, _fits: dict[tuple[bytes, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tail is fitted once, whatever rate and confidence are asked of it, and checked against 39 simulated ones."""
    if "full_fits" in request.fixturenames:
        return
    fit = pareto_tail._fit

    def fit_once(excess: NDArray[np.float64], what: str) -> Any:
        key = (excess.tobytes(), what)
        if key not in _fits:
            _fits[key] = fit(excess, what)
        return _fits[key]

    monkeypatch.setattr(pareto_tail, "_SAMPLES", 39)
    monkeypatch.setattr(pareto_tail, "_fit", fit_once)
