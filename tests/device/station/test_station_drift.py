"""Drift in a station: told, kept over restarts, and without any influence on verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support import drifting, tiny
from support.station_files import MS, a_frame, a_verdict, at, events, of, opened_core, station_file

from edge_ad import Detector
from edge_ad.drift import DriftWatch
from edge_ad.link import AlarmChanged
from edge_ad.station.actions import ScoreFrame
from edge_ad.station.core import StationCore
from edge_ad.station.parts import InspectedPart
from edge_ad.station.running import run_station
from edge_ad.station.scorer_drift import DriftChoice, ScorerDrift
from edge_ad.verdict import Drift, DriftState, State

OK, WATCH, RECALIBRATE = DriftState


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tiny.write_bundle(tmp_path / "bundle")
    drifting.calibrate(made)
    return made


@pytest.fixture
def detector(bundle: Path) -> Iterator[Detector]:
    with Detector.open(bundle) as opened:
        yield opened


def photographs(count: int, light: float, seed: int = 5) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    return [drifting.photograph(random, light=light) for _ in range(count)]


def a_station(bundle: Path, images: Path, **more: Any) -> dict[str, Any]:
    return {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast"}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        **more,
    }


def inspected(tables: dict[str, Any]) -> tuple[list[InspectedPart], list[AlarmChanged]]:
    told: list[Any] = []
    run_station(station_file(**tables), told.append)
    parts = [one for one in told if isinstance(one, InspectedPart)]
    return parts, [one for one in told if isinstance(one, AlarmChanged)]


def bare(part: InspectedPart) -> tuple[Any, ...]:
    verdict = part.frames[0].verdict
    return part.part_id, part.state, part.reason, verdict.state, verdict.score, verdict.p_value, verdict.regions


def test_a_lamp_that_fails_raises_an_alarm_and_changes_no_verdict(bundle: Path, tmp_path: Path) -> None:
    images = tiny.write_images(tmp_path / "images", photographs(40, 0.6))
    watched, alarms = inspected(a_station(bundle, images, drift={"folder": str(tmp_path / "drift")}))
    unwatched, silence = inspected(a_station(bundle, images))
    assert [bare(one) for one in watched] == [bare(one) for one in unwatched]
    assert [one.alarm for one in alarms][:1] == ["drift top"]
    assert "brightness lower" in alarms[-1].text
    assert silence == []
    assert [one.frames[0].verdict.drift for one in unwatched] == [None] * 40


def test_what_was_seen_is_remembered_over_a_restart(bundle: Path, tmp_path: Path) -> None:
    images = tiny.write_images(tmp_path / "images", photographs(6, 1.0))
    tables = a_station(bundle, images, drift={"folder": str(tmp_path / "drift")})
    last = [inspected(tables)[0][-1].frames[0].verdict.drift for _ in range(2)]
    assert [one and one.frames for one in last] == [6, 12]
    assert (tmp_path / "drift" / "top.default.json").exists()


def test_a_damaged_file_is_set_aside_and_said(detector: Detector, tmp_path: Path) -> None:
    file = tmp_path / "top.a.json"
    file.write_bytes(b"{}")
    drift = ScorerDrift(DriftChoice(folder=str(tmp_path)), "top", "a", detector)
    drift.close()
    assert drift.warning is not None
    assert "it is now called top.a.json.damaged" in drift.warning
    assert (tmp_path / "top.a.json.damaged").read_bytes() == b"{}"
    assert ScorerDrift(DriftChoice(folder=str(tmp_path)), "top", "a", detector).warning is None


def test_a_folder_that_cannot_be_made_costs_only_the_memory(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    drift = ScorerDrift(DriftChoice(folder=str(tmp_path / "file" / "drift")), "top", "a", detector)
    verdict = drift.observe(detector.score(photographs(1, 1.0)[0]))
    drift.close()
    assert "without its state being kept" in (drift.warning or "")
    assert (verdict.drift and verdict.drift.frames, drift.error) == (1, None)


def test_a_disk_that_fails_later_shows_and_costs_no_verdict(detector: Detector, tmp_path: Path) -> None:
    drift = ScorerDrift(DriftChoice(folder=str(tmp_path / "drift")), "top", "a", detector)
    for one in (tmp_path / "drift").iterdir():
        one.unlink()
    (tmp_path / "drift").rmdir()
    states = [drift.observe(detector.score(one)).drift for one in photographs(40, 0.4)]
    assert states[-1] is not None
    assert states[-1].state is RECALIBRATE
    writer = drift._writer
    assert writer is not None
    writer.close()
    assert "drift" in (drift.error or "")
    drift.close()


def test_the_next_scorer_waits_until_the_one_before_has_let_go(detector: Detector, tmp_path: Path) -> None:
    choice = DriftChoice(folder=str(tmp_path))
    first = ScorerDrift(choice, "top", "a", detector)
    first.observe(detector.score(photographs(1, 1.0)[0]))

    def waits(_: float) -> None:
        first.close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("edge_ad.station.scorer_drift.time.sleep", waits)
        second = ScorerDrift(choice, "top", "a", detector)
    assert second.warning is None
    seen = second.observe(detector.score(photographs(1, 1.0)[0])).drift
    assert seen is not None
    assert seen.frames == 2
    second.close()


def brought(core: StationCore, now_ms: int, state: DriftState) -> list[AlarmChanged]:
    """Alarms of a part whose frame has this state of drift."""
    core.trigger(None, None, at(now_ms))
    core.frame("top", 1, a_frame((now_ms + 1) * MS), at(now_ms + 1))
    (job,) = [one.job for one in of(core.actions(), ScoreFrame)]
    drift = Drift(state=state, evidence=0.5, causes=("brightness lower",), since=1, frames=2, rejects=0)
    core.scored(job, msgspec.structs.replace(a_verdict(State.ACCEPT), drift=drift), at(now_ms + 2))
    return events(core.actions(), AlarmChanged)


def test_the_alarm_comes_once_for_each_state_and_goes_with_the_drift() -> None:
    core = opened_core(station_file(station={"name": "trial", "trigger": "link"}, link={}))
    states = [OK, WATCH, WATCH, RECALIBRATE, RECALIBRATE, OK, OK]
    told = [brought(core, 10 * n, state) for n, state in enumerate(states)]
    assert [[(one.active, one.text.split(": ")[1]) for one in alarms] for alarms in told] == [
        [],
        [(True, "WATCH")],
        [],
        [(True, "RECALIBRATE")],
        [],
        [(False, "RECALIBRATE")],
        [],
    ]


def test_the_watch_is_that_of_score(detector: Detector) -> None:
    frames = photographs(10, 0.9)
    watch = DriftWatch(detector)
    expected = [watch.observe(detector.score(one)).drift for one in frames]
    drift = ScorerDrift(DriftChoice(folder="/dev/null/none"), "top", "a", detector)
    assert [drift.observe(detector.score(one)).drift for one in frames] == expected
