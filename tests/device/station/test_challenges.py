"""Challenge parts as the station decides on them: what they count as, what is due, and what is locked."""

from __future__ import annotations

from typing import Any

import pytest
from support.station_files import MS, a_verdict, of, opened_core, refusals, results, station_file

from edge_ad.errors import InputError
from edge_ad.link.messages import ChallengeFacts, ChallengeRequest
from edge_ad.station.actions import HandedIn, KeepProof, NoteUpdate, ReplaySet, ScoreFrame, WantedUpdate
from edge_ad.station.core import StationCore
from edge_ad.station.parts import Asker, InspectedPart, Moment
from edge_ad.station.proofs import Proof, ProofOutcome
from edge_ad.station.station_file import StationFile
from edge_ad.update.replaying import ProvedPart
from edge_ad.verdict import State

PARTS = {"good": "good", "bad": "bad", "good_parts": ["G-1"], "bad_parts": ["B-1", "B-2"]}
HOUR = 3_600.0


def a_file(challenge: dict[str, Any] | None = None, **tables: Any) -> StationFile:
    inspect = {"top": {"camera": "top", "bundle": "bundle", "challenge": PARTS | (challenge or {})}}
    given = {
        "station": {"name": "trial", "trigger": "link"},
        "camera": {"top": {"source": "link"}},
        "link": {},
        "proof": {"file": "proof.jsonl"},
        "counters": {"file": "counts.json"},
        "inspect": inspect,
    }
    return station_file(**given | tables)


class Line:
    """A station to whom parts are handed in. ``at``: seconds since the epoch."""

    def __init__(self, file: StationFile, at: float = 0.0, shift_began: float = 0.0, **given: Any) -> None:
        self.core = StationCore(file, **given)
        self.at, self.ns, self.shift_began = at, 0, shift_began
        for slot in list(self.core.recipes.slots):
            self.core.scorer_ready(slot, self.now)
        self.kept: list[Proof] = []
        self.replays: list[ReplaySet] = []
        self.actions: list[Any] = []
        self.tick()

    @property
    def now(self) -> Moment:
        return Moment(self.ns, self.at)

    def tick(self, more_s: float = 0.0) -> None:
        self.at, self.ns = self.at + more_s, self.ns + int((more_s + 1) * 1e9)
        self.core.challenges.tick(self.now, self.shift_began)
        self.look()

    def look(self) -> list[Any]:
        self.actions = self.core.actions()
        for one in of(self.actions, KeepProof):
            self.kept.append(one.proof)
            self.core.challenges.kept(one.proof, None)
        self.replays += of(self.actions, ReplaySet)
        return self.actions

    def ask(self, action: Any, part: str | None = None, by: str = "anna", runs: int = 1) -> list[str]:
        """The reasons of a refusal."""
        request = ChallengeRequest(id="1", action=action, part=part, by=by, runs=runs)
        self.core.request_challenge(Asker(1, "1"), request, "page", self.now)
        return refusals(self.look())

    def part(self, state: State, name: str = "P", ms: int = 1) -> InspectedPart:
        """A part of this verdict."""
        assert self.core.hand_in(Asker(1, name), name, HandedIn("top", 1, 4, 4, 1), self.now)
        self.scored = of(self.core.actions(), ScoreFrame)[0]
        self.ns += ms * MS
        self.core.scored(self.scored.job, a_verdict(state), self.now)
        (done,) = results(self.look())
        return done

    def challenge(self, *states: State) -> list[InspectedPart]:
        assert self.ask("begin") == []
        done = []
        for state in states:
            assert self.ask("next") == []
            done.append(self.part(state))
        return done

    def facts(self) -> ChallengeFacts:
        found = self.core.challenges.facts(self.at)
        assert found is not None
        return found


RIGHT = (State.ACCEPT, State.REJECT, State.REJECT)


def test_parts_are_put_in_one_after_the_other_and_are_no_production() -> None:
    line = Line(a_file())
    assert line.facts().next is None
    assert line.ask("begin") == []
    assert (line.facts().next, line.facts().running_by, line.facts().is_armed) == ("G-1", "anna", False)
    assert line.ask("next", "G-1") == []
    done = line.part(State.ACCEPT, "A-17")
    assert (done.state, done.part_id, done.challenge) == (State.ACCEPT, "A-17", "G-1")
    assert line.scored.is_challenge
    assert (line.facts().next, line.facts().is_armed) == ("B-1", False)
    between = line.part(State.REJECT, "A-18")
    assert [line.scored.is_challenge, between.challenge] == [False, None]
    for name in ("B-1", "B-2"):
        line.ask("next", name)
        assert line.part(State.REJECT).challenge == name
    assert line.core.counters.parts == {"ACCEPT": 0, "REJECT": 1, "INVALID": 0}
    assert line.core.counters.challenges == {"ACCEPT": 1, "REJECT": 2}
    assert [one.outcome for one in line.kept] == [ProofOutcome.BEGUN, ProofOutcome.PASSED]
    assert [(one.name, one.is_bad, one.state) for one in line.kept[-1].parts] == [
        ("G-1", False, "ACCEPT"), ("B-1", True, "REJECT"), ("B-2", True, "REJECT"),
    ]  # fmt: skip
    assert (line.facts().last, line.facts().last_by, line.facts().running_by) == ("passed", "anna", None)


def test_a_bad_part_that_is_accepted_fails_the_challenge_and_raises_an_alarm() -> None:
    line = Line(a_file())
    line.challenge(State.ACCEPT, State.ACCEPT, State.REJECT)
    assert (line.kept[-1].outcome, line.kept[-1].detail) == (ProofOutcome.FAILED, "wrong: B-1")
    assert line.core.condition.alarms["challenge"].text == "the challenge parts were not passed: wrong: B-1"
    assert line.part(State.ACCEPT).state is State.ACCEPT
    line.challenge(*RIGHT)
    assert line.core.condition.alarms == {}


def test_a_part_that_the_station_could_not_inspect_comes_again() -> None:
    line = Line(a_file())
    line.ask("begin")
    line.ask("next")
    late = line.part(State.ACCEPT, ms=1_001)
    assert (late.state, late.reason, late.challenge) == (State.INVALID, "late", "G-1")
    assert (line.facts().next, line.facts().is_armed, line.facts().again) == ("G-1", False, "late")
    line.ask("next", "G-1")
    assert line.facts().again is None
    line.part(State.ACCEPT)
    assert line.facts().next == "B-1"


def test_two_people_do_not_run_one_challenge_twice() -> None:
    line = Line(a_file())
    line.ask("begin", by="anna")
    assert line.ask("begin", by="ben") == ["challenge_running"]
    assert line.facts().running_by == "anna"
    line.ask("next", "G-1")
    line.part(State.ACCEPT)
    assert line.ask("next", "G-1", by="ben") == ["other_part"]
    assert line.ask("cancel", by="ben") == []
    assert (line.kept[-1].outcome, line.kept[-1].who) == (ProofOutcome.CANCELLED, "ben")
    assert line.ask("next", "B-1") == ["no_challenge_running"]


@pytest.mark.parametrize(
    ("wait_s", "outcome"),
    [(1_799.0, ProofOutcome.BEGUN), (1_801.0, ProofOutcome.ABANDONED)],
    ids=["in time", "too late"],
)
def test_a_challenge_that_nobody_goes_on_with_ends(wait_s: float, outcome: ProofOutcome) -> None:
    line = Line(a_file())
    line.ask("begin")
    line.tick(wait_s)
    assert line.kept[-1].outcome is outcome


def test_it_is_due_after_hours_and_at_each_shift() -> None:
    line = Line(a_file({"every_hours": 8.0, "every_shift": True}), at=10 * HOUR, shift_began=6 * HOUR)
    assert line.facts().is_due
    assert line.core.condition.alarms["challenge"].text == "the challenge parts are due: put them in on the page"
    line.challenge(*RIGHT)
    assert line.facts().due_at == pytest.approx(18 * HOUR, abs=1)
    assert not line.facts().is_due
    assert line.core.condition.alarms == {}
    line.shift_began = 14 * HOUR
    line.tick(4 * HOUR)
    assert (line.facts().is_due, line.facts().due_at) == (True, 14 * HOUR)


def test_an_alarm_that_somebody_has_seen_does_not_come_again() -> None:
    line = Line(a_file({"every_hours": 8.0}))
    line.core.acknowledge(Asker(1, "1"), "challenge")
    line.tick(60)
    assert line.core.condition.alarms == {}


def test_without_lock_parts_pass_while_it_is_due() -> None:
    line = Line(a_file({"every_hours": 8.0}))
    assert line.part(State.ACCEPT).state is State.ACCEPT


class TestLock:
    def test_no_part_is_accepted_until_the_challenge_is_passed(self) -> None:
        line = Line(a_file({"lock": True}))
        held = line.part(State.ACCEPT)
        assert (held.state, held.reason) == (State.INVALID, "locked")
        assert held.detail == "the challenge parts have not been put in yet"
        assert line.part(State.REJECT).state is State.REJECT
        assert [one.state for one in line.challenge(*RIGHT)] == list(RIGHT)
        assert line.part(State.ACCEPT).state is State.ACCEPT

    def test_it_comes_back_when_it_is_due_and_names_why(self) -> None:
        line = Line(a_file({"lock": True, "every_hours": 8.0}))
        line.challenge(*RIGHT)
        line.tick(8 * HOUR + 2)
        assert line.facts().locked == "the challenge parts are due: put them in on the page"
        assert line.part(State.ACCEPT).reason == "locked"

    def test_a_failed_challenge_locks(self) -> None:
        line = Line(a_file({"lock": True}), proofs=(a_proof(ProofOutcome.PASSED),))
        assert line.part(State.ACCEPT).state is State.ACCEPT
        line.challenge(State.REJECT, State.REJECT, State.REJECT)
        assert line.part(State.ACCEPT).detail == "the challenge parts were not passed: wrong: G-1"

    @pytest.mark.parametrize(
        "outcome", [ProofOutcome.CANCELLED, ProofOutcome.ABANDONED, ProofOutcome.INTERRUPTED, ProofOutcome.BEGUN]
    )
    def test_what_has_no_result_does_not_open_it(self, outcome: ProofOutcome) -> None:
        line = Line(a_file({"lock": True}), proofs=(a_proof(outcome),))
        assert line.part(State.ACCEPT).reason == "locked"

    def test_what_a_restart_finds_in_the_file_counts(self) -> None:
        line = Line(a_file({"lock": True, "every_hours": 8.0}), at=HOUR, proofs=(a_proof(ProofOutcome.PASSED),))
        assert line.part(State.ACCEPT).state is State.ACCEPT

    def test_parts_that_are_held_trip_no_stop_rule(self) -> None:
        stop = {"row": {"count": 2, "state": "INVALID", "action": "fault"}}
        line = Line(a_file({"lock": True}, stop=stop))
        assert [line.part(State.ACCEPT).reason for _ in range(3)] == ["locked"] * 3

    def test_challenge_parts_trip_no_stop_rule(self) -> None:
        line = Line(a_file(stop={"row": {"count": 2, "state": "REJECT", "action": "fault"}}))
        line.challenge(*RIGHT)
        assert line.core.condition.cause is None


def a_proof(outcome: ProofOutcome, kind: str = "parts", **more: Any) -> Proof:
    part = ProvedPart(name="B-1", is_bad=True, state="REJECT")
    return Proof(at=0.0, kind=kind, recipe="default", outcome=outcome, who="anna", parts=(part,), **more)


class TestReplay:
    def test_it_is_ordered_once_at_the_start(self) -> None:
        line = Line(a_file())
        assert [(one.recipe, one.bundles, one.who) for one in line.replays] == [("default", {"top": "bundle"}, None)]
        line.core.challenges.not_needed("default")
        line.tick()
        assert (len(line.replays), line.facts().is_replaying) == (1, False)

    def test_it_is_ordered_when_a_deployed_bundle_is_kept(self) -> None:
        line = Line(a_file(update={"folder": "updates", "watch_parts": 0}))
        self._keep_another_bundle(line)
        assert [one.bundles for one in line.replays] == [{"top": "bundle"}, {"top": "updates/bundle-1/slots/1"}]

    def test_somebody_may_ask_for_it_but_not_twice_at_once(self) -> None:
        line = Line(a_file())
        line.core.challenges.not_needed("default")
        assert line.ask("replay", runs=3) == []
        assert (line.replays[-1].who, line.replays[-1].runs) == ("anna", 3)
        assert line.ask("replay") == ["challenge_running"]

    def test_a_change_while_it_runs_is_replayed_next_and_until_then_nobody_begins_another(self) -> None:
        line = Line(a_file(update={"folder": "updates", "watch_parts": 0}))
        line.core.challenges.not_needed("default")
        line.ask("replay")
        self._keep_another_bundle(line)
        assert [one.who for one in line.replays] == [None, "anna", None]
        line.core.challenges.kept(a_proof(ProofOutcome.PASSED, "replay"), None)
        assert (line.facts().is_replaying, line.ask("replay")) == (True, ["challenge_running"])
        line.core.challenges.kept(a_proof(ProofOutcome.PASSED, "replay"), None)
        assert (line.facts().is_replaying, line.ask("replay")) == (False, [])

    def _keep_another_bundle(self, line: Line) -> None:
        wanted = WantedUpdate("bundle-1", 1, "part@2", "bundle", "updates/bundle-1/slots/1")
        line.core.request_update(Asker(1, "1"), wanted)
        for slot in list(line.core.recipes.slots):
            line.core.scorer_ready(slot, line.now)
        for step in ("SWITCHED", "WATCHED", "KEPT"):
            line.core.update_noted(NoteUpdate(wanted, step), None)
        line.tick()

    def test_a_set_that_is_not_passed_raises_an_alarm_and_locks_where_asked(self) -> None:
        line = Line(a_file({"lock": True}), proofs=(a_proof(ProofOutcome.PASSED),))
        line.core.challenges.kept(
            a_proof(ProofOutcome.FAILED, "replay", detail="B-1 is accepted", why=("software",)), None
        )
        text = "the challenge set of default is not passed: B-1 is accepted"
        assert line.core.condition.alarms["challenge set"].text == text
        assert line.part(State.ACCEPT).detail == text
        assert (line.facts().replay, line.facts().replay_why) == ("failed", ("software",))
        line.core.challenges.kept(a_proof(ProofOutcome.PASSED, "replay"), None)
        assert line.part(State.ACCEPT).state is State.ACCEPT

    def test_a_result_that_cannot_be_written_down_shows(self) -> None:
        line = Line(a_file())
        line.core.challenges.kept(a_proof(ProofOutcome.PASSED, "replay"), "proof.jsonl: the disk is full")
        assert (line.facts().replay, line.facts().kept) == ("passed", "proof.jsonl: the disk is full")


def test_another_recipe_has_its_own_lock_and_ends_a_challenge() -> None:
    other = {"bundle": "other", "challenge": PARTS | {"lock": True}}
    line = Line(a_file(recipe={"a": {}, "b": {"inspect": {"top": other}}}))
    line.ask("begin")
    line.ask("next")
    line.core.request_recipe(Asker(1, "2"), "b")
    for slot in list(line.core.recipes.slots):
        line.core.scorer_ready(slot, line.now)
    assert line.part(State.ACCEPT).reason == "locked"
    line.tick()
    assert (line.kept[-1].outcome, line.kept[-1].detail) == (ProofOutcome.CANCELLED, "the recipe changed to b")


def test_without_a_table_proof_nothing_is_proved() -> None:
    challenge = {"good": "good", "bad": "bad"}
    core = opened_core(station_file(inspect={"top": {"camera": "top", "bundle": "b", "challenge": challenge}}))
    core.request_challenge(Asker(1, "1"), ChallengeRequest(id="1", action="replay"), "page", Moment(0, 0.0))
    assert refusals(core.actions()) == ["no_challenge"]
    assert core.challenges.facts(0.0) is None


@pytest.mark.parametrize(
    ("challenge", "tables", "said"),
    [
        ({"bad_parts": ["G-1"]}, {}, "'G-1' is in good_parts and in bad_parts: give it one label"),
        ({"bad_parts": ["B", "B"]}, {}, "bad_parts: a name is given twice: each part needs a name of its own"),
        ({"bad_parts": []}, {}, "good_parts and bad_parts belong together: give both or neither"),
        ({"good_parts": [], "bad_parts": [], "lock": True}, {}, "lock needs good_parts and bad_parts"),
        ({"good_parts": [], "bad_parts": [], "every_hours": 8.0}, {}, "every_hours needs good_parts and bad_parts"),
        ({}, {"proof": None}, 'bad_parts needs a table [proof] with file = "proof.jsonl"'),
        ({"every_shift": True}, {"counters": None}, "every_shift needs a table [counters]"),
        ({"every_hour": 8.0}, {}, "did you mean"),
    ],
    ids=["both labels", "twice", "only good", "lock", "hours", "no file", "no shifts", "misspelt"],
)
def test_entries_that_contradict_each_other_are_named(
    challenge: dict[str, Any], tables: dict[str, Any], said: str, tmp_path: Any
) -> None:
    from support.station_files import to_toml

    from edge_ad.station.station_file import read_station_file

    data = {
        "station": {"name": "trial", "trigger": "link"},
        "camera": {"top": {"source": "link"}},
        "link": {"socket": "s"},
        "proof": {"file": "proof.jsonl"},
        "counters": {"file": "counts.json"},
        "inspect": {"top": {"camera": "top", "bundle": "bundle", "challenge": PARTS | challenge}},
    } | tables
    (tmp_path / "station.toml").write_text(to_toml({k: v for k, v in data.items() if v is not None}))
    with pytest.raises(InputError) as error:
        read_station_file(tmp_path / "station.toml")
    assert said in str(error.value)
