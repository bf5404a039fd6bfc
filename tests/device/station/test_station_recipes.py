"""Recipes: made ready beside the active one, changed between two parts, and given up when they do not verify."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.station_files import (
    MS,
    a_frame,
    at,
    events,
    of,
    opened_core,
    refusals,
    score_all,
    state_of,
    station_file,
    to_toml,
)
from support.station_trial import WAIT_S, StationTrial, eventually
from support.tiny_calibration import calibrate

from edge_ad.cameras import CameraState, CameraStatus
from edge_ad.capture import FakeCamera
from edge_ad.errors import InputError
from edge_ad.link import Client, messages
from edge_ad.link.messages import StationState
from edge_ad.station.actions import ChangeCamera, ScoreFrame, StartScorer, StopScorer
from edge_ad.station.core import StationCore
from edge_ad.station.parts import Asker
from edge_ad.station.station_file import read_station_file

FILE: dict[str, Any] = {
    "station": {"name": "trial", "trigger": "link"},
    "link": {},
    "recipe": {"a": {}, "b": {"inspect": {"top": {"bundle": "blue"}}}},
}


def test_the_new_bundle_is_verified_beside_the_old_one() -> None:
    core = opened_core(station_file(**FILE))
    core.trigger(None, "A", at(0))
    core.actions()
    core.request_recipe(Asker(1, "r"), "b")
    assert of(core.actions(), StartScorer) == [StartScorer(2, "b", "top")]
    core.trigger(Asker(1, "x"), "B", at(1))
    assert refusals(core.actions()) == ["recipe_pending"]
    core.scorer_ready(2, at(2))
    assert core.recipes.active.name == "a"
    core.frame("top", 1, a_frame(3 * MS), at(3))
    score_all(core, core.actions(), at(4))
    actions = core.actions()
    assert of(actions, StopScorer) == [StopScorer(1)]
    assert events(actions, messages.RecipeChanged) == [messages.RecipeChanged(requested="b", active="b")]
    core.trigger(None, "C", at(5))
    core.frame("top", 1, a_frame(6 * MS), at(6))
    assert [one.scorer for one in of(core.actions(), ScoreFrame)] == [2]


@pytest.mark.parametrize(
    ("fails", "error"),
    [
        (lambda core: core.scorer_refused(2, "not calibrated"), "top: not calibrated"),
        (lambda core: core.scorer_lost(2, "SIGSEGV", at(1)), "top: its scorer ended: SIGSEGV"),
    ],
    ids=["refused", "died"],
)
def test_back_to_the_old_one_when_the_new_one_does_not_verify(fails: Callable[[StationCore], None], error: str) -> None:
    core = opened_core(station_file(**FILE))
    core.request_recipe(Asker(1, "r"), "b")
    fails(core)
    actions = core.actions()
    assert events(actions, messages.RecipeChanged)[-1].error == error
    assert of(actions, StopScorer) == [StopScorer(2)]
    assert state_of(core) is StationState.READY
    assert core.trigger(None, "A", at(1)) is not None


WITH_CAMERA: dict[str, Any] = {
    **FILE,
    "camera": {"top": {"source": "0", "exposure_us": 1000}},
    "recipe": {"a": {}, "b": {"camera": {"top": {"exposure_us": 2000}}}},
}


def test_a_camera_is_set_before_the_recipe_is_active_and_no_part_begins_meanwhile() -> None:
    core = opened_core(station_file(**WITH_CAMERA))
    core.trigger(None, "A", at(0))
    core.request_recipe(Asker(1, "r"), "b")
    assert of(core.actions(), ChangeCamera) == []
    core.frame("top", 1, a_frame(1 * MS), at(1))
    score_all(core, core.actions(), at(2))
    assert of(core.actions(), ChangeCamera) == [ChangeCamera("top", "b")]
    assert (state_of(core), core.recipes.active.name) == (StationState.STARTING, "a")
    assert core.trigger(Asker(1, "x"), "B", at(3)) is None
    core.camera_status("top", CameraStatus(state=CameraState.STREAMING))
    assert (state_of(core), core.recipes.active.name) == (StationState.READY, "b")
    assert of(core.actions(), ChangeCamera) == []


def test_a_camera_that_does_not_take_the_settings_gets_the_old_ones_back() -> None:
    core = opened_core(station_file(**WITH_CAMERA))
    core.request_recipe(Asker(1, "r"), "b")
    core.actions()
    core.camera_status("top", CameraStatus(state=CameraState.REFUSED, detail="exposure_us: expected 2000"))
    actions = core.actions()
    assert events(actions, messages.RecipeChanged)[-1].error == "camera top: exposure_us: expected 2000"
    assert of(actions, ChangeCamera) == [ChangeCamera("top", "a")]
    assert state_of(core) is StationState.STARTING
    core.camera_status("top", CameraStatus(state=CameraState.STREAMING))
    assert (state_of(core), core.recipes.active.name, core.counters.faults) == (StationState.READY, "a", 0)


def test_a_camera_that_cannot_get_the_old_settings_back_is_a_fault() -> None:
    core = opened_core(station_file(**WITH_CAMERA))
    core.request_recipe(Asker(1, "r"), "b")
    for _ in range(2):
        core.camera_status("top", CameraStatus(state=CameraState.LOST, detail="unplugged"))
    assert state_of(core) is StationState.FAULT


@pytest.mark.parametrize(
    ("camera", "recipes", "expected"),
    [
        ({}, {"a": {}, "b": {"gain": 2}}, "recipe.a.camera.top.gain is missing: another recipe sets it"),
        ({"gain": 1}, {"a": {}, "b": {"gain": 2}}, None),
        ({}, {"a": {"features": {"X": 1}}, "b": {}}, "recipe.b.camera.top.features.X is missing"),
        ({}, {"a": {"gian": 1}}, "did you mean gain"),
        ({"source": "link"}, {"a": {"gain": 1}}, "there is nothing to set"),
    ],
    ids=["one-sets", "camera-sets", "feature", "misspelt", "link"],
)
def test_what_one_recipe_sets_all_have_to_set(
    tmp_path: Path, camera: dict[str, Any], recipes: dict[str, Any], expected: str | None
) -> None:
    tables = {
        "station": {"name": "s"},
        "camera": {"top": {"source": "0", **camera}},
        "inspect": {"top": {"camera": "top", "bundle": "b"}},
        "recipe": {name: {"camera": {"top": one}} for name, one in recipes.items()},
    }
    file = tmp_path / "station.toml"
    file.write_text(to_toml(tables))
    with pytest.raises(InputError, match=expected) if expected else nullcontext():
        read_station_file(file)


def test_a_running_station_sets_its_camera_reads_it_back_and_goes_back(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 2.0)
    (tmp_path / "fake").mkdir()
    fake = FakeCamera(tmp_path / "fake")
    tables = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": fake.source, "trigger": "software", "exposure_us": 1000, "gain": 1}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
        "recipe": {"a": {}, "b": {"camera": {"top": {"exposure_us": 2000, "gain": 3}}}},
    }
    with StationTrial(tmp_path, tables) as trial, Client(trial.socket, timeout_s=WAIT_S) as client:
        client.recipe("b")
        eventually(lambda: client.snapshot().recipe == "b")
        moment = time.monotonic()
        eventually(lambda: trial.accepts_since(moment) > 3)
        assert given(fake)[-1] == (2000, 3)
        client.recipe("a")
        eventually(lambda: client.snapshot().recipe == "a")
        fake.does(ignores=("gain",))
        client.recipe("b")
        eventually(lambda: client.snapshot().requested_recipe is None)
        fake.does(ignores=())
        moment = time.monotonic()
        eventually(lambda: trial.accepts_since(moment) > 3)
        assert client.snapshot().recipe == "a"
        assert given(fake)[-1] == (1000, 1)
    assert "LOST" not in {one.state for one in trial.outcomes}
    assert trial.stale_since(0.0) == 0


def given(fake: FakeCamera) -> list[tuple[object, object]]:
    """Exposure and gain of each opening."""
    return [(one.settings["exposure_us"], one.settings["gain"]) for one in fake.calls if one.name == "open"]


def test_an_unknown_recipe_is_refused() -> None:
    core = opened_core(station_file(**FILE))
    core.request_recipe(Asker(1, "r"), "c")
    assert refusals(core.actions()) == ["unknown_recipe"]
