"""A station takes good bundles, gives bad ones back, and loses no part meanwhile."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.station_files import to_toml
from support.station_trial import StationTrial, eventually
from support.tiny_calibration import calibrate

from edge_ad.bundle import FrameLimit
from edge_ad.capture import FakeCamera
from edge_ad.errors import BundleError
from edge_ad.station import read_station_file
from edge_ad.station.updating import deploy_order
from edge_ad.update import Slots, deploy


def copied(bundle: Path, name: str, threshold: float) -> Path:
    """The same bundle with another calibration."""
    made = Path(shutil.copytree(bundle, bundle.with_name(name)))
    calibrate(made, threshold)
    return made


@pytest.mark.slow
def test_a_good_bundle_is_kept_and_a_bad_one_is_given_back(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    fake = FakeCamera(tmp_path / "fake")
    first, good, blind = copied(tiny_bundle, "first", 2.0), copied(tiny_bundle, "good", 3.0), tmp_path / "dim"
    tables: dict[str, Any] = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": fake.source, "trigger": "software"}},
        "inspect": {"top": {"camera": "top", "bundle": str(first)}},
        "update": {"folder": str(tmp_path / "updates"), "watch_parts": 20, "allowed_percent": 0},
    }
    file = tmp_path / "station.toml"
    shutil.copytree(tiny_bundle, blind)
    calibrate(blind, 3.0, limits={"brightness": FrameLimit(lowest=250.0)})
    with StationTrial(tmp_path, tables) as trial:
        file.write_text(to_toml({**tables, "link": {"socket": str(trial.socket)}}))
        begun = time.monotonic()
        steps: list[str] = []
        order = deploy_order(read_station_file(file), good, None, None, "anna")
        deploy(order, lambda what: steps.append(what.step))
        assert steps == ["STAGED", "CHECKED", "SWITCHED", "WATCHED", "KEPT"]
        with pytest.raises(BundleError, match="was given back, the bundle before it is used again: 1 of 1 parts"):
            deploy(replace(order, bundle=blind), lambda what: steps.append(what.step))
        assert steps[5:] == ["STAGED", "CHECKED", "SWITCHED", "RETURNED"]
        back = time.monotonic()
        eventually(lambda: trial.accepts_since(back) > 3)
        assert trial.stale_since(begun) == 0
        parts = [one for one in trial.outcomes if one.asked_at > begun]
    counts = Counter(one.state for one in parts)
    assert counts["ACCEPT"] > 20
    assert set(counts) == {"ACCEPT", "INVALID"}
    assert counts["INVALID"] < 5
    slots = Slots(tmp_path / "updates", order.named)
    assert (slots.state().active, slots.state().previous, slots.state().trial) == (1, None, None)
    assert [one.name for one in (slots.folder / "slots").iterdir()] == ["1"]
