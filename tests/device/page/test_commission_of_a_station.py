"""Commissioning a real station over HTTP: from a bundle without a calibration to guarded verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import tiny
from support.changed_bundle import spoil_golden
from support.commission_ends import line_with
from support.tiny_calibration import calibrate
from support.videos import wait_for


@pytest.mark.slow
def test_from_an_uncalibrated_bundle_to_guarded_verdicts(tiny_bundle: Path, tmp_path: Path) -> None:
    with line_with(tiny_bundle, tmp_path) as line:
        line.parts(3, 1)
        assert set(line.states) == {"INVALID"}
        assert line.ask("teach", count=40, alpha=0.1, confidence=0.9).status_code == 200
        line.taught(40)
        assert set(line.states) == {"INVALID"}  # no part is accepted while it is taught
        assert line.get()["state"]["parts"] == 40
        assert line.ask("calibrate", alpha=0.1, confidence=0.9).status_code == 202
        told = line.settled()["state"]
        assert told["proposal"]["type"] == "proposed"
        assert told["proposal"]["rank"] == 2
        assert line.ask("confirm").status_code == 202
        line.settled()
        line.kept(1)
        line.states.clear()
        line.part(tiny.frames(1, seed=99)[0])
        line.part(tiny.spotted(tiny.frames(1, seed=98)[0], 20, 20))
        assert line.states == ["ACCEPT", "REJECT"]
        facts = line.get()["state"]["bundle"]
        assert (facts["method"], facts["rate"], facts["confidence"]) == ("order-statistic", 0.1, 0.9)


@pytest.mark.slow
def test_a_station_that_restarts_goes_on_counting_and_what_was_before_can_be_taken_back(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with line_with(tiny_bundle, tmp_path) as line:
        assert line.ask("teach", count=24, alpha=0.1, confidence=0.9).status_code == 200
        line.taught(10)
        before = line.get()["state"]["parts"]
        line.restart()
        assert line.get()["state"]["parts"] == before
        line.taught(24)
        assert line.ask("calibrate", alpha=0.1, confidence=0.9).status_code == 202
        guarded = line.settled()["state"]["proposal"]["threshold"]
        assert line.ask("confirm").status_code == 202
        line.kept(1)
        assert line.ask("back", reason="it was better").json()["reason"] == "no_previous"  # it had no thresholds
        assert line.ask("threshold", value=10.0, reason="a test").status_code == 202
        line.kept(2)
        assert line.get()["state"]["bundle"]["doubt"] == "The threshold was set by hand by local: a test"
        assert line.ask("back", reason="it was better").status_code == 202
        line.kept(3)
        facts = line.get()["state"]["bundle"]
        assert (facts["threshold"], facts["doubt"]) == (guarded, None)
        line.restart()
        line.states.clear()
        line.part(tiny.spotted(tiny.frames(1, seed=98)[0], 20, 20))
        assert line.states == ["REJECT"]
    trail = (tmp_path / "audit.jsonl").read_text()
    assert [action in trail for action in ('"teach"', '"calibrate"', '"calibration"', '"threshold"', '"go_back"')] == [
        True
    ] * 5


@pytest.mark.slow
def test_where_another_variant_takes_the_place_of_the_first_choice_the_page_is_about_it(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    spoil_golden(tiny_bundle, "onnx-fp32")
    calibrate(tiny_bundle, 0.5)
    calibrate(tiny_bundle, 0.7, variant="openvino-fp32")
    with line_with(tiny_bundle, tmp_path) as line:
        assert wait_for(lambda: line.get()["state"]["bundle"]["variant"] == "openvino-fp32", 60)
        assert line.get()["state"]["bundle"]["threshold"] == 0.7
        refused = line.ask("threshold", value=0.6, reason="a test")
        assert (refused.status_code, refused.json()["reason"]) == (409, "other_variant")
