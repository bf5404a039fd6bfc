"""The drift watch of a scorer: it never waits for the disk, and it never changes a verdict."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge_ad.drift import DriftSettings, DriftWatch
from edge_ad.errors import EdgeAdError, InputError, InUseError, one_line
from edge_ad.files import atomic_write
from edge_ad.station.kept_counts import LatestWriter

if TYPE_CHECKING:
    from edge_ad.detector import Detector
    from edge_ad.verdict import Verdict

__all__ = ["DriftChoice", "ScorerDrift"]

_USUAL = DriftSettings()
_LOCK_WAIT_S = 6.0
_LOOK_AGAIN_S = 0.1


class DriftChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[drift]``: each inspection of each recipe is watched for drift, and its state kept in ``folder``.

    ``run_length`` and ``defect_rate``: as ``--drift-run-length`` and ``--defect-rate`` of ``edge-ad score``.
    """

    folder: str
    run_length: Annotated[int, msgspec.Meta(ge=10_000)] = _USUAL.run_length
    defect_rate: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = _USUAL.defect_rate


class ScorerDrift:
    """Watches the verdicts of one detector, and keeps what it knows in a file of its own.

    A file that is damaged is set aside, and one that cannot be used is done without: ``warning`` says so.
    """

    def __init__(self, choice: DriftChoice, inspection: str, recipe: str, detector: Detector) -> None:
        self.warning: str | None = None
        self._settings = DriftSettings(run_length=choice.run_length, defect_rate=choice.defect_rate)
        self._detector = detector
        self._path = Path(choice.folder) / f"{inspection}.{recipe}.json"
        self._writer: LatestWriter | None = LatestWriter("drift", lambda data: atomic_write(self._path, data))
        self._watch = self._opened()

    @property
    def error(self) -> str | None:
        """Why the state could not be written last; ``None`` while all is well."""
        return None if self._writer is None else self._writer.error

    def observe(self, verdict: Verdict) -> Verdict:
        """The verdict with its ``drift``; everything else in it stays."""
        return self._watch.observe(verdict)

    def close(self) -> None:
        """Writes the state for the last time, and gives the file free."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(EdgeAdError):
                self._watch.close()

    def _opened(self) -> DriftWatch:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._with_file()
        except (EdgeAdError, OSError) as error:
            self.warning = f"drift is watched without its state being kept: {one_line(error)}"
            return DriftWatch(self._detector, self._settings)

    def _with_file(self) -> DriftWatch:
        try:
            return self._when_free(time.monotonic() + _LOCK_WAIT_S)
        except InUseError:
            raise
        except InputError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            self._path.replace(aside)
            self.warning = f"{one_line(error)}; it is now called {aside.name}, and the watch begins anew"
            return self._on_file()

    def _when_free(self, until_s: float) -> DriftWatch:
        """Waits for the scorer that had the file before, which may still be writing its last evidence."""
        while True:
            with contextlib.suppress(InUseError):
                return self._on_file()
            if time.monotonic() >= until_s:
                return self._on_file()
            time.sleep(_LOOK_AGAIN_S)

    def _on_file(self) -> DriftWatch:
        return DriftWatch(self._detector, self._settings, self._path, write=self._write)

    def _write(self, path: Path, data: bytes) -> None:
        if self._writer is None:
            atomic_write(path, data)
        else:
            self._writer.put(data)
