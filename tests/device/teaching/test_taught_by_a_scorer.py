"""A scorer without a calibration: what it says of parts, and which of them it keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import tiny
from support.station_trial import eventually
from support.taught import begin

from edge_ad.station.scorer_messages import Opening, Refusal, Scored, ScorerReady, ScoreThis
from edge_ad.station.scorer_process import ScorerEvent, ScorerProcess
from edge_ad.teaching import TeachingSettings
from edge_ad.verdict import Reason

pytestmark = pytest.mark.slow


class Scorer:
    """A scorer's process, and what was heard of it."""

    def __init__(self, bundle: Path, folder: Path | None, *, is_trial: bool = False) -> None:
        teaching = None if folder is None else TeachingSettings(folder=str(folder))
        opening = Opening(
            bundle=str(bundle), is_trial=is_trial, variant=None, calibration=None, device="CPU", threads=1,
            station="trial", inspection="top", camera="top", recipe="a", teaching=teaching,
        )  # fmt: skip
        self.process = ScorerProcess(opening, memory_mb=1024, open_s=600)
        self.heard: list[ScorerEvent] = []

    def first(self, kind: type) -> ScorerEvent:
        eventually(lambda: self.said(kind) is not None)
        found = self.said(kind)
        assert found is not None
        return found

    def said(self, kind: type) -> ScorerEvent | None:
        self.process.tick(time.monotonic_ns())
        self.heard.extend(self.process.receive())
        return next((one for one in self.heard if isinstance(one, kind)), None)

    def score(self, number: int, part: str, *, is_challenge: bool) -> Scored:
        picture = tiny.frames(1, seed=number)[0]
        memory = os.memfd_create("frame")
        os.write(memory, picture.tobytes())
        height, width, channels = picture.shape
        order = ScoreThis(
            job=number, height=height, width=width, channels=channels, frame_id=number, part_id=part,
            captured_at=1e9 + number, is_challenge=is_challenge,
        )  # fmt: skip
        self.heard.clear()
        self.process.score(order, memory)
        os.close(memory)
        scored = self.first(Scored)
        assert isinstance(scored, Scored)
        return scored


@pytest.fixture
def scorers() -> Iterator[list[Scorer]]:
    made: list[Scorer] = []
    yield made
    for one in made:
        one.process.close()


def test_parts_are_kept_and_challenge_parts_are_not(tiny_bundle: Path, tmp_path: Path, scorers: list[Scorer]) -> None:
    taught = begin(tmp_path, 10)
    scorers.append(one := Scorer(tiny_bundle, tmp_path))
    ready = one.first(ScorerReady)
    assert isinstance(ready, ScorerReady)
    assert ready.facts is None
    assert "every part is INVALID until good parts have been taught" in str(ready.warning)
    scored = [one.score(1, "P-1", is_challenge=False), one.score(2, "B-1", is_challenge=True)]
    assert [said.verdict.reason for said in scored] == [Reason.UNCALIBRATED] * 2
    eventually(lambda: list(taught.parts()) == ["P-1"])


@pytest.mark.parametrize("is_trial", [False, True], ids=["no-teaching", "on-trial"])
def test_without_teaching_or_on_trial_an_uncalibrated_bundle_is_refused(
    tiny_bundle: Path, tmp_path: Path, scorers: list[Scorer], is_trial: bool
) -> None:
    scorers.append(one := Scorer(tiny_bundle, tmp_path if is_trial else None, is_trial=is_trial))
    refused = one.first(Refusal)
    assert isinstance(refused, Refusal)
    assert "is not calibrated" in refused.detail
