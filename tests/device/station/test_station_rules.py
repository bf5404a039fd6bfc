"""Rules that a station keeps whatever happens, in whatever order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.station_files import MS, a_frame, a_verdict, at, opened_core, station_file

from edge_ad.cameras import CameraState, CameraStatus
from edge_ad.link import messages
from edge_ad.station.actions import AnswerClient, PartDone, ReturnFrame, ScoreFrame
from edge_ad.station.parts import Asker, Moment
from edge_ad.verdict import State

FILE = {
    "station": {"name": "trial", "trigger": "link", "deadline_ms": 100},
    "link": {},
    "recipe": {"a": {}, "b": {"inspect": {"top": {"bundle": "blue"}}}},
    "stop": {"r": {"state": "REJECT", "count": 2}},
}


class Trial:
    """A station to which anything may happen in any order, and what it owes."""

    def __init__(self) -> None:
        self.core = opened_core(station_file(**FILE))
        self.accepted, self.ends, self.given = set[int](), Counter[int](), Counter[str]()
        self.lent: dict[int, ScoreFrame] = {}
        self.frames_out = self.number = 0

    def trigger(self, now: Moment) -> None:
        self.core.trigger(Asker(1, str(self.number)), f"P{self.number}", now)

    def frame(self, now: Moment, *, age_ms: int = 0, damaged: str | None = None) -> None:
        self.frames_out += 1
        self.core.frame("top", 1, a_frame(now.ns - age_ms * MS, slot=self.frames_out, damaged=damaged), now)

    def old_frame(self, now: Moment) -> None:
        self.frame(now, age_ms=5_000)

    def damaged_frame(self, now: Moment) -> None:
        self.frame(now, damaged="torn")

    def score(self, now: Moment, state: State = State.ACCEPT) -> None:
        for job in list(self.lent)[-1:]:
            self.given[self.lent.pop(job).part_id] += state is State.ACCEPT
            self.core.scored(job, a_verdict(state), now)

    def reject(self, now: Moment) -> None:
        self.score(now, State.REJECT)

    def scorers_die(self, now: Moment) -> None:
        for slot in list(self.core.recipes.slots):
            self.core.scorer_lost(slot, "SIGKILL", now)
        self.lent.clear()

    def scorers_open(self, now: Moment) -> None:
        for slot in list(self.core.recipes.slots):
            self.core.scorer_ready(slot, now)

    def camera_lost(self, now: Moment) -> None:
        self.core.camera_status("top", CameraStatus(state=CameraState.LOST))

    def camera_back(self, now: Moment) -> None:
        self.core.camera_status("top", CameraStatus(state=CameraState.STREAMING))

    def reset(self, now: Moment) -> None:
        self.core.reset(Asker(2, "r"))

    def recipe(self, now: Moment) -> None:
        self.core.request_recipe(Asker(2, "c"), "ab"[self.number % 2])

    def check(self) -> None:
        """Looks at what the station wants done."""
        for action in self.core.actions():
            if isinstance(action, AnswerClient) and isinstance(action.message, messages.Accepted):
                self.accepted.add(action.message.trigger)
            elif isinstance(action, PartDone):
                self.ends[action.part.trigger] += 1
                assert not action.part.accepted or self.given[action.part.part_id] >= 1
                assert not action.part.accepted or action.part.latency_ms <= 100
            elif isinstance(action, ScoreFrame):
                self.lent[action.job] = action
            elif isinstance(action, ReturnFrame):
                self.frames_out -= 1


EVENTS = [
    Trial.trigger,
    Trial.frame,
    Trial.old_frame,
    Trial.damaged_frame,
    Trial.score,
    Trial.reject,
    Trial.scorers_die,
    Trial.scorers_open,
    Trial.camera_lost,
    Trial.camera_back,
    Trial.reset,
    Trial.recipe,
]


@given(st.lists(st.tuples(st.integers(0, len(EVENTS) - 1), st.integers(0, 40)), max_size=60))
def test_every_accepted_trigger_has_one_end_and_no_accept_without_its_own_score(steps: list[tuple[int, int]]) -> None:
    trial, clock = Trial(), 0.0
    for trial.number, (event, wait_ms) in enumerate(steps):
        clock += wait_ms
        EVENTS[event](trial, at(clock))
        trial.core.tick(at(clock))
        trial.check()
    trial.core.end_all(at(clock))
    trial.check()
    assert set(trial.ends) == trial.accepted
    assert set(trial.ends.values()) <= {1}
    assert trial.frames_out == len(trial.lent), "every frame comes back, but for those that a scorer still reads"
