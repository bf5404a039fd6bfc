"""The routes of proofs, and what the page is told of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pytest
from support.page_served import page_served

from edge_ad.link.messages import ChallengeFacts, ChallengePart, ChallengeRequest
from edge_ad.page.proofs_shown import show_proofs, study_proofs
from edge_ad.page.shift_report import list_shifts, report_shift, report_table
from edge_ad.station.counting import StationCounters
from edge_ad.station.kept_counts import ShiftCounts
from edge_ad.station.proofs import Proof, ProofOutcome, add_proof
from edge_ad.update.replaying import ProvedPart

RIGHT = (("G-1", False, "ACCEPT"), ("B-1", True, "REJECT"))
WRONG = (("G-1", False, "INVALID"), ("B-1", True, "ACCEPT"))


def a_proof(
    at: float,
    parts: tuple[tuple[str, bool, str], ...],
    outcome: str = "passed",
    kind: str = "parts",
    software: str = "1",
) -> Proof:
    return Proof(
        at=at, kind=kind, recipe="a", outcome=ProofOutcome(outcome), who="anna", why=("software",), software=software,
        identity={"software": software},
        parts=tuple(ProvedPart(name=name, is_bad=is_bad, state=state) for name, is_bad, state in parts),
    )  # fmt: skip


def test_a_proof_is_shown_with_what_was_wrong() -> None:
    shown = show_proofs([a_proof(1.0, (), "begun"), a_proof(2.0, RIGHT), a_proof(3.0, WRONG, "failed")])
    assert [(one.at, one.outcome, one.wrong, one.invalid) for one in shown] == [
        (3.0, "failed", ("G-1", "B-1"), 1),
        (2.0, "passed", (), 0),
    ]
    assert (shown[0].good, shown[0].bad) == (1, 1)


def test_a_study_has_the_runs_since_the_last_change_and_keeps_parts_and_pictures_apart() -> None:
    proofs = [
        a_proof(1.0, WRONG, "failed", software="0"),
        a_proof(2.0, RIGHT),
        a_proof(3.0, RIGHT, "cancelled"),
        a_proof(4.0, RIGHT, kind="replay"),
        a_proof(5.0, WRONG, "failed"),
    ]
    parts, replays = study_proofs(proofs)
    assert (parts.kind, parts.proofs, parts.since, parts.system.runs) == ("parts", 2, 2.0, 4)
    assert (parts.system.misses.count, parts.system.misses.of, parts.grade) == (1, 2, "unacceptable")
    assert (replays.kind, replays.proofs, replays.system.effectiveness.count) == ("replay", 1, 2)


def test_what_is_proved_is_told_and_asked(tmp_path: Path) -> None:
    path = tmp_path / "proof.jsonl"
    for at in (1.0, 2.0):
        add_proof(path, a_proof(at, RIGHT))
    with page_served(tmp_path, proof=str(path)) as one:
        told = httpx.get(f"{one.url}/page/challenge", timeout=60).json()
        assert [proof["at"] for proof in told["proofs"]] == [2.0, 1.0]
        assert told["studies"][0]["system"]["effectiveness"]["of"] == 2
        refused = httpx.post(f"{one.url}/page/challenge", json={"action": "begin"}, timeout=60)
        assert (refused.status_code, refused.json()["reason"]) == (409, "no_challenge")
        facts = ChallengeFacts(parts=(ChallengePart(name="B-1", is_bad=True),), has_set=True)
        one.served.station.challenge(facts)
        assert (
            httpx.post(f"{one.url}/page/challenge", json={"action": "next", "part": "B-1"}, timeout=60).status_code
            == 200
        )
        state = httpx.get(f"{one.url}/page/state", timeout=60).json()["station"]["snapshot"]["challenge"]
        assert state["parts"] == [{"name": "B-1", "is_bad": True}]
        asked = [got.request for got in one.served.station.requests if isinstance(got.request, ChallengeRequest)]
        assert [(got.action, got.part) for got in asked] == [("begin", None), ("next", "B-1")]
        assert asked[0].by is not None
        trail = (tmp_path / "audit.jsonl").read_text()
        assert trail.count('"action":"challenge"') == 4


@pytest.mark.parametrize(
    "body", [{"action": "stop"}, {"action": "replay", "runs": 11}, {"part": "B"}, {"action": "next", "part": ""}]
)
def test_other_requests_are_refused(body: dict[str, object], tmp_path: Path) -> None:
    with page_served(tmp_path) as one:
        assert httpx.post(f"{one.url}/page/challenge", json=body, timeout=60).status_code == 422
        assert httpx.get(f"{one.url}/page/challenge", timeout=60).json() == {"proofs": [], "studies": []}


def test_who_may_only_look_asks_for_nothing(tmp_path: Path) -> None:
    with page_served(tmp_path, local_role="viewer") as one:
        assert httpx.post(f"{one.url}/page/challenge", json={"action": "begin"}, timeout=60).status_code == 403


def test_the_report_of_a_shift_has_its_proofs_and_the_figures_of_its_end(tmp_path: Path) -> None:
    counts = StationCounters(parts={"ACCEPT": 5, "REJECT": 0, "INVALID": 0}, challenges={"REJECT": 1})
    names = list_shifts([ShiftCounts(shift="2001-01-01T06:00"), ShiftCounts(shift="2001-01-01T14:00")])
    begin = names[0].begin
    proofs = [a_proof(begin - 5, RIGHT), a_proof(begin + 5, WRONG, "failed"), a_proof(begin + 9 * 3_600, RIGHT)]
    made = report_shift("line1", names[0], {"a": counts}, None, proofs=proofs)
    assert [one.at for one in made.proofs] == [begin + 5]
    assert [(one.proofs, one.system.runs) for one in made.studies] == [(2, 4)]
    rows = list(csv.reader(io.StringIO(report_table(made).decode())))
    assert ["challenge_parts", "a", "REJECT", "1"] in rows
    assert ["measurement_system", "a", "parts effectiveness", "0"] in rows
    assert ["measurement_system", "a", "parts miss_rate_grade", "unacceptable"] in rows
    assert [row[3] for row in rows if row[0] == "proof"] == ["failed", "anna"]
