"""Scores kept frames again: which verdicts would another threshold, calibration or bundle change?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import read_image
from edge_ad.station.evidence import EvidenceRecord, find_evidence
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from edge_ad.detector import Detector

__all__ = ["ReplayedFrame", "judged_by", "replay_evidence"]


@dataclass(frozen=True, slots=True)
class ReplayedFrame:
    """A kept frame, and what it is now."""

    record: EvidenceRecord
    path: Path
    now: Verdict

    @property
    def is_changed(self) -> bool:
        """Whether the state differs from the one that was kept."""
        return self.now.state is not self.record.verdict.state


def judged_by(folder: Path) -> str:
    """By which bundles and variants the frames below ``folder`` were judged, as a sentence.

    Raises:
        InputError: there is no evidence.
    """
    judges = dict.fromkeys(f"{one.verdict.bundle} ({one.verdict.variant})" for one, _ in find_evidence(folder))
    return f"these frames were judged by {', '.join(judges)}"


def replay_evidence(folder: Path, detector: Detector, threshold: float | None = None) -> Iterator[ReplayedFrame]:
    """Each frame below ``folder``, oldest first, scored with ``detector``.

    ``threshold``: judges the new score instead of the calibration's threshold.

    Raises:
        InputError: there is no evidence, or a picture is missing or not the one that was kept.
    """
    for record, place in find_evidence(folder):
        path = place / record.frame
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}: take its record out, too") from error
        if found != record.frame_sha256:
            raise InputError(f"{path} is not the picture that was kept: take it out with its record")
        try:
            frame = read_image(path)
        except FrameError as error:
            raise InputError(f"{path}: {error}") from error
        now = detector.score(
            frame, frame_id=record.verdict.frame_id, part_id=record.part_id, captured_at=record.verdict.captured_at
        )
        yield ReplayedFrame(record, path, now if threshold is None else _judged_by(now, threshold))


def _judged_by(verdict: Verdict, threshold: float) -> Verdict:
    if verdict.score is None:
        return verdict
    # Asked this way round, a score that does not compare rejects.
    state = State.ACCEPT if verdict.score <= threshold else State.REJECT
    return msgspec.structs.replace(verdict, state=state, reason=None, threshold=threshold, regions=())
