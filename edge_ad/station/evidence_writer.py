"""Chooses the frames that are evidence, and writes them beside the scoring, which never waits for the disk."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from edge_ad.drift.keep import Borderline
from edge_ad.errors import EdgeAdError
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore, Why
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle import Calibration

__all__ = ["EvidenceChoice", "EvidenceOrigin", "EvidenceWriter"]

_WAITING = 4
_CLOSE_WAIT_S = 2.0


class EvidenceChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[evidence]``: which frames are kept in ``folder``, and how much of the disk they may take.

    Rejected frames and those that cannot be scored are kept, borderline ones, and every ``every``-th accepted one
    (0: none).
    ``limit_mb``: in 10**6 bytes, divided among the inspections; the oldest frames go first.
    """

    folder: str
    limit_mb: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 1_000
    every: Annotated[int, msgspec.Meta(ge=0)] = 100
    rejects: bool = True
    invalid: bool = True
    borderline: bool = True


class EvidenceOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the frames of a writer come from."""

    station: str
    inspection: str
    camera: str
    recipe: str
    artefact_sha256: str


class EvidenceWriter:
    """Keeps evidence of one scorer. Frames that come faster than the disk takes them are not kept, and are counted.

    ``error``: why the last frame was not kept; ``None`` while all is well.
    """

    def __init__(
        self, choice: EvidenceChoice, origin: EvidenceOrigin, limit_bytes: int, calibration: Calibration
    ) -> None:
        self._choice = choice
        self._origin = origin
        self._limit_bytes = limit_bytes
        self._borderline = Borderline(calibration)
        self._accepted = 0
        self.dropped = 0
        self.kept = 0
        self.error: str | None = None
        self._store: EvidenceStore | None = None
        self._queue: queue.Queue[tuple[EvidenceRecord, NDArray[np.uint8], NDArray[np.float32] | None] | None]
        self._queue = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def observe(
        self,
        verdict: Verdict,
        part_id: str,
        frame: NDArray[np.uint8],
        anomaly_map: NDArray[np.float32] | None,
        *,
        is_challenge: bool = False,
    ) -> None:
        """Keeps the frame if it is evidence, as those of challenge parts are; never waits. Frame and map are copied."""
        why: Why | None = "challenge" if is_challenge else self._why(verdict)
        if why is None:
            return
        if self._queue.full():
            self.dropped += 1
            return
        origin = self._origin
        record = EvidenceRecord(
            why=why,
            station=origin.station,
            inspection=origin.inspection,
            camera=origin.camera,
            recipe=origin.recipe,
            part_id=part_id,
            frame="",
            frame_sha256="0" * 64,
            map=None,
            artefact_sha256=origin.artefact_sha256,
            verdict=verdict,
        )
        self._queue.put((record, frame.copy(), None if anomaly_map is None else anomaly_map.copy()))

    def close(self) -> None:
        """Writes what waits, for some seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _why(self, verdict: Verdict) -> Why | None:
        choice = self._choice
        if verdict.state is State.INVALID:
            return "invalid" if choice.invalid else None
        if verdict.state is State.REJECT and choice.rejects:
            return "reject"
        if choice.borderline and verdict in self._borderline:
            return "borderline"
        if verdict.state is not State.ACCEPT or not choice.every:
            return None
        self._accepted += 1
        return "sample" if self._accepted % choice.every == 0 else None

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            self._write(*given)
        if self._store is not None:
            self._store.close()

    def _write(self, record: EvidenceRecord, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None) -> None:
        try:
            if self._store is None:
                self._store = EvidenceStore(Path(self._choice.folder) / self._origin.inspection, self._limit_bytes)
            self._store.add(record, frame, anomaly_map)
        except EdgeAdError as error:
            self.error = str(error)
            self.dropped += 1
            store, self._store = self._store, None  # the folder may be gone: it is made again with the next frame
            if store is not None:
                store.close()
        else:
            self.error = None
            self.kept += 1
