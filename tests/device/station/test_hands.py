"""What a station does first: a scorer and a client wait, a terminal and a count do not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support import tiny
from support.station_files import station_file
from support.station_trial import WAIT_S, eventually
from support.tiny_calibration import calibrate

from edge_ad.link import Client, LinkServer, messages
from edge_ad.station import actions
from edge_ad.station.hands import _first_things_first
from edge_ad.station.loop import StationLoop
from edge_ad.station.parts import InspectedPart

ANSWER = actions.AnswerClient(1, messages.Accepted(id="a", trigger=1))
TOLD = actions.Publish(messages.StateChanged(state=messages.StationState.BUSY))
FRAME = actions.HandedIn("top", 1, 4, 4, 1)
SCORE = actions.ScoreFrame(1, 1, FRAME, "A", 0, 0.0)
SHOT = actions.TriggerCamera("top", 1)
BACK = actions.ReturnFrame(FRAME)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([ANSWER, TOLD, SCORE], [SCORE, ANSWER, TOLD]),
        ([ANSWER, SHOT, TOLD], [SHOT, ANSWER, TOLD]),
        ([BACK, TOLD, ANSWER], [TOLD, ANSWER, BACK]),
        ([BACK, TOLD, actions.StopScorer(1), SCORE], [BACK, TOLD, actions.StopScorer(1), SCORE]),
        ([ANSWER, actions.StartScorer(1, "a", "top"), SCORE], [ANSWER, actions.StartScorer(1, "a", "top"), SCORE]),
        ([actions.ChangeCamera("top", "a"), TOLD, SHOT], [actions.ChangeCamera("top", "a"), TOLD, SHOT]),
    ],
    ids=["score", "shot", "give-back", "a-scorer-goes", "a-scorer-comes", "a-camera-changes"],
)
def test_what_the_line_waits_for_comes_first(given: list[actions.Action], expected: list[actions.Action]) -> None:
    assert _first_things_first(given) == expected


def test_a_client_has_its_result_before_the_terminal(tiny_bundle: Path, tmp_path: Path) -> None:
    """What prints may be slow: from inside of it the client is asked whether it has its result."""
    calibrate(tiny_bundle, 0.5)
    tables = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
        "link": {"socket": str(tmp_path / "s")},
    }
    has_result, was_there = threading.Event(), list[bool]()

    def told(what: object) -> None:
        if isinstance(what, InspectedPart):
            was_there.append(has_result.wait(WAIT_S))

    link = LinkServer(tmp_path / "s", station="trial")
    loop = StationLoop(station_file(**tables), link=link, told=told)
    thread = threading.Thread(target=loop.run)
    thread.start()
    with Client(tmp_path / "s", timeout_s=WAIT_S) as client:
        eventually(lambda: client.snapshot().state is messages.StationState.READY)
        client.result(client.hand_in(tiny.frames(1)[0]), timeout_s=WAIT_S)
        has_result.set()
        loop.stop()
        thread.join(WAIT_S)
    link.close()
    assert was_there == [True]
