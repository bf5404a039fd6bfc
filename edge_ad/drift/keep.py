"""Keeps borderline frames for a later recalibration: the newest ones, within limits on number and size."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle.calibrations import conformal_p_value
from edge_ad.drift.kept import CONFIRMED, PENDING, Entry, own_name, write_kept
from edge_ad.errors import InputError
from edge_ad.files import output_error
from edge_ad.outputs.sink import Sink
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.bundle import Calibration
    from edge_ad.sources import Frame

__all__ = ["Borderline", "KeepLimits", "KeepSink"]

# Accepted frames count as borderline up to this many times the p-value of the threshold itself,
_P_VALUES = 3.0
# rejected ones up to this share of the way from the median to the threshold, beyond it.
_BEYOND = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLimits:
    """How much is kept: at most ``frames`` frames and ``megabytes`` MB, and at least ``gap_s`` seconds apart.

    Raises:
        InputError: a figure is out of range.
    """

    frames: int = 200
    megabytes: float = 1_000.0
    gap_s: float = 1.0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.megabytes <= 0 or self.gap_s < 0:
            raise InputError(
                "expected at least one frame to keep, more than 0 MB and a gap of 0 s or more, found "
                f"{self.frames} frames, {self.megabytes:g} MB, {self.gap_s:g} s"
            )


class Borderline:
    """Tells which frames a person should see: those that were narrowly accepted or narrowly rejected."""

    def __init__(self, calibration: Calibration) -> None:
        scores, threshold = calibration.scores, calibration.image.threshold
        self.p_value = _P_VALUES * conformal_p_value(scores, threshold)
        self.score = threshold + _BEYOND * max(0.0, threshold - statistics.median(scores))

    def __contains__(self, verdict: Verdict) -> bool:
        if verdict.score is None or verdict.p_value is None:
            return False
        if verdict.state is State.ACCEPT:
            return verdict.p_value <= self.p_value
        return verdict.state is State.REJECT and verdict.score <= self.score


class KeepSink(Sink):
    """Keeps borderline frames in ``folder/pending``; a person moves both files of a good part to ``folder/confirmed``.

    When a limit is exceeded the oldest goes. Only files that were made here are ever deleted, and those in
    ``confirmed`` never. One folder serves one process.

    Args:
        folder: made where it is absent; what an earlier run kept there counts.
        artefact_sha256: of the model that judges; a later calibration of another one must not take the frames.

    Raises:
        OutputError: the folder cannot be made or read.
    """

    needs_map = False

    def __init__(
        self, folder: Path, calibration: Calibration, artefact_sha256: str, limits: KeepLimits | None = None
    ) -> None:
        self._pending = folder / PENDING
        self._borderline = Borderline(calibration)
        self._artefact_sha256 = artefact_sha256
        self._limits = limits or KeepLimits()
        self._last_s = float("-inf")
        try:
            self._pending.mkdir(parents=True, exist_ok=True)
            (folder / CONFIRMED).mkdir(exist_ok=True)
            self._ring = deque(_tidy(self._pending))
            self._trim()
        except OSError as error:
            raise output_error(folder, error) from error

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:  # noqa: ARG002
        if frame.image is None or verdict not in self._borderline:
            return
        # A clock that was set back must not stop the keeping.
        if 0 <= verdict.captured_at - self._last_s < self._limits.gap_s:
            return
        entry = write_kept(
            self._pending, frame.image, verdict, source=frame.source, artefact_sha256=self._artefact_sha256
        )
        self._last_s = verdict.captured_at
        self._ring.append(entry)
        try:
            self._trim()
        except OSError as error:
            raise output_error(self._pending, error) from error

    def close(self) -> None:
        """Does nothing: every frame is complete already."""

    def _trim(self) -> None:
        total = sum(entry.size for entry in self._ring)
        while self._ring and (len(self._ring) > self._limits.frames or total > self._limits.megabytes * 1e6):
            oldest = self._ring.popleft()
            total -= oldest.size
            _delete(self._pending, oldest.stem)


def _delete(pending: Path, stem: str) -> None:
    # The sidecar first: there is never one without its picture. Both may be in ``confirmed`` by now.
    (pending / f"{stem}.json").unlink(missing_ok=True)
    (pending / f"{stem}.png").unlink(missing_ok=True)


def _tidy(pending: Path) -> list[Entry]:
    """The kept frames, oldest first; a half-written one that a power cut has left is deleted."""
    entries = []
    for picture in sorted(pending.glob("*.png")):
        sidecar = picture.with_suffix(".json")
        if not own_name(picture.stem):
            continue
        if sidecar.exists():
            entries.append(Entry(picture.stem, picture.stat().st_size + sidecar.stat().st_size))
        else:
            picture.unlink()
    for part in pending.glob(".*.part.*"):
        part.unlink()
    return entries
