"""Watches a detector for drift: takes each verdict and returns it with the state of drift."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_ad.drift.memory_file import MemoryFile
from edge_ad.drift.monitor import DriftMonitor
from edge_ad.drift.watched_values import LEVELS, ODDS_RATIOS, STATISTICS, DriftSettings, watched_values
from edge_ad.errors import InputError
from edge_ad.files import atomic_write
from edge_ad.verdict import Drift, FrameStatistics, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_ad.detector import Detector

__all__ = ["DriftWatch"]

# So much of the past a power cut may cost; one write a minute wears out no flash memory.
_SAVE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Observed:
    score: float
    rejected: bool
    statistics: FrameStatistics | None


class DriftWatch:
    """Watches the frames that a calibrated detector scores. Not thread-safe.

    Frames without a score say nothing about drift and are not counted. Where objects are scored, each object is
    observed and counted as a frame is elsewhere.

    Args:
        detector: whose calibration is held against its stream.
        settings: what is promised about false alarms.
        state_file: where the past is kept over restarts: read now, replaced at least once a minute, with each
            change of state and when closed. A file about another calibration, artefact or setting is not
            continued, but replaced: a new calibration begins a new watch.
        write: replaces the file; for who must not wait for the disk.

    Raises:
        InputError: the detector is not calibrated, or the state file is damaged.
        InUseError: another watch keeps its state in that file.
        OutputError: the state file cannot be written.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DriftSettings | None = None,
        state_file: Path | None = None,
        *,
        write: Callable[[Path, bytes], None] = atomic_write,
    ) -> None:
        if detector.calibration is None:
            raise InputError("drift is watched against a calibration, and this bundle has none: run edge-ad calibrate")
        settings = settings or DriftSettings()
        self._detector = detector
        self._has_statistics = detector.calibration.frame_reference is not None
        self.monitor = DriftMonitor(watched_values(detector.calibration, settings), settings.run_length)
        self._rejects = 0
        watched = _watched(detector, settings)
        self._file = MemoryFile(state_file, watched, write) if state_file is not None else None
        self._saved_s = time.monotonic()
        if self._file is not None:
            self._resume(self._file)

    def _resume(self, file: MemoryFile) -> None:
        try:
            saved = file.load()
        except InputError:
            file.close()
            raise
        if saved is not None:
            self.monitor.resume(saved.memory)
            self._rejects = saved.rejects

    def observe(self, verdict: Verdict) -> Verdict:
        """The verdict with its ``drift``, to be called right after the detector has scored the frame.

        Raises:
            OutputError: the state file cannot be written.
        """
        if verdict.score is None:
            return msgspec.structs.replace(verdict, drift=self.drift())
        before, found = self.monitor.state, self._found(verdict, verdict.score)
        for one in found:
            looks = [getattr(one.statistics, name) for name in STATISTICS] if one.statistics else []
            self.monitor.observe([one.score, *looks])
            self._rejects += one.rejected
        changed = self.monitor.state is not before
        if self._file is not None and (changed or time.monotonic() - self._saved_s > _SAVE_EVERY_S):
            self._save()
        return msgspec.structs.replace(verdict, drift=self.drift(None if verdict.objects else found[0].statistics))

    def _found(self, verdict: Verdict, score: float) -> list[_Observed]:
        """What is observed of a frame: its own score, or that of each object, as in the calibration."""
        outcomes = [(one.score, one.state) for one in verdict.objects] or [(score, verdict.state)]
        statistics = self._detector.scorer.statistics() if self._has_statistics else (None,) * len(outcomes)
        return [
            _Observed(score, state is State.REJECT, looks)
            for (score, state), looks in zip(outcomes, statistics, strict=True)
        ]

    def drift(self, statistics: FrameStatistics | None = None) -> Drift:
        """The state as it is now."""
        monitor = self.monitor
        return Drift(
            state=monitor.state,
            evidence=monitor.evidence,
            causes=monitor.causes,
            since=monitor.since,
            frames=monitor.frames,
            rejects=self._rejects,
            statistics=statistics,
        )

    def close(self) -> None:
        """Writes the state file for the last time, and gives it free for another watch.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._save()
        finally:
            if self._file is not None:
                self._file.close()

    def _save(self) -> None:
        self._saved_s = time.monotonic()
        if self._file is not None:
            self._file.save(self.monitor.memory, self._rejects)


def _watched(detector: Detector, settings: DriftSettings) -> str:
    """SHA-256 over everything that gives the numbers of the memory their meaning."""
    artefact = detector.bundle.artefact_sha256(detector.variant)
    meaning = (artefact, detector.calibration, settings.run_length, settings.defect_rate, LEVELS, ODDS_RATIOS)
    return hashlib.sha256(msgspec.json.encode(meaning)).hexdigest()
