"""Recipes: made ready beside the active one, changed between two parts, and given up when they do not verify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.station_files import MS, a_frame, at, events, of, opened_core, refusals, score_all, state_of, station_file

from edge_ad.link import messages
from edge_ad.link.messages import StationState
from edge_ad.station.actions import ScoreFrame, StartScorer, StopScorer
from edge_ad.station.core import StationCore
from edge_ad.station.parts import Asker

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


def test_an_unknown_recipe_is_refused() -> None:
    core = opened_core(station_file(**FILE))
    core.request_recipe(Asker(1, "r"), "c")
    assert refusals(core.actions()) == ["unknown_recipe"]
