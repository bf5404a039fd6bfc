"""The process that scores: ``python -m edge_ad.station.scorer_worker FD``, a child of the station.

It gets its orders through the socket ``FD`` and ends with it. It runs at a lower priority than the station, so that who
decides is never kept waiting by who computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle import DEFAULT_STATION, Bundle, TrustStore
from edge_ad.bundle.records import FixedCalibration
from edge_ad.cameras import NO_SLOT, FrameChecks, FrameInfo, sample_digest
from edge_ad.detector import ScoredFrame
from edge_ad.errors import EdgeAdError, one_line
from edge_ad.link.messages import InspectionFacts
from edge_ad.station.evidence_writer import EvidenceOrigin, EvidenceWriter
from edge_ad.station.preview_writer import PreviewWriter
from edge_ad.station.scorer_drift import ScorerDrift
from edge_ad.station.scorer_messages import (
    MESSAGE_BYTES,
    Opening,
    Refusal,
    RingGiven,
    Scored,
    ScorerReady,
    ScoreThis,
    decode_order,
    encode,
)
from edge_ad.station.video_writer import VideoWriter
from edge_ad.teaching import TeachingWriter
from edge_ad.update import open_for_station, slot_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.cameras import CameraSettings, FrameFault
    from edge_ad.detector import Detector
    from edge_ad.station.scorer_messages import Order

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_NICENESS = 10


def main(fd: int) -> None:
    """Serves the station until it closes the socket."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the station, which then ends its scorers
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with socket.socket(fileno=fd) as station:
        order = _next(station)
        if order is None or not isinstance(order[0], Opening):
            return
        try:
            detector = open_detector(order[0])
        except EdgeAdError as error:
            station.send(encode(Refusal(detail=one_line(error))))
            return
        with detector, contextlib.ExitStack() as stack:
            beside = _open_beside(order[0], detector, stack)
            engine = f"{detector.engine.name} {detector.engine.version} {detector.engine.device}"
            name = f"{detector.bundle.manifest.name}@{detector.bundle.manifest.version}"
            drift = beside.drift
            warnings = [*detector.passed_over, *detector.notices, *([drift.warning] if drift and drift.warning else [])]
            if detector.calibration is None:
                warnings.append(f"{name} is not calibrated: every part is INVALID until good parts have been taught")
            ready = ScorerReady(
                bundle=name,
                variant=detector.variant.id,
                engine=engine,
                choice=detector.choice,
                warning="; ".join(warnings) or None,
                facts=inspection_facts(order[0], detector, name, engine),
            )
            gc.freeze()  # what is there now stays: a collection need not look at it again and again
            station.send(encode(ready))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                _Server(station, detector, beside, order[0].handed_in).serve()


def open_detector(order: Opening) -> Detector:
    """The detector of a scorer (:func:`edge_ad.update.open_for_station`), of a signed bundle where that is asked for.

    Raises:
        EdgeAdError: the bundle cannot be used here, or not by a station.
    """
    bundle = Bundle.open(order.bundle)
    store = None if order.trust is None else TrustStore(Path(order.trust))
    was_taken = slot_number(order.bundle) is not None and not order.is_trial  # kept here, perhaps before a newer one
    signed = None if store is None else store.check(bundle, was_taken=was_taken)
    detector = open_for_station(
        bundle,
        order.variant,
        order.calibration,
        order.device,
        order.threads,
        cache=order.cache,
        may_teach=order.teaching is not None and not order.is_trial,
    )
    if store is not None and signed is not None and not order.is_trial:
        try:
            store.remember(bundle, signed)
        except BaseException:
            detector.close()
            raise
    return detector


def _open_drift(order: Opening, detector: Detector) -> ScorerDrift | None:
    if order.drift is None or detector.calibration is None:
        return None
    slot = slot_number(order.bundle)  # the one before it may still write to its own file
    recipe = order.recipe if slot is None else f"{order.recipe}.{slot}"
    return ScorerDrift(order.drift, order.inspection, recipe, detector)


def _open_beside(order: Opening, detector: Detector, stack: contextlib.ExitStack) -> _Beside:
    """What is done beside scoring; ``stack`` ends it."""
    evidence = _open_evidence(order, detector)
    if evidence is not None:
        stack.callback(evidence.close)
    videos = tuple(VideoWriter(one, order.inspection, detector) for one in order.videos)
    for one in videos:
        stack.callback(one.close)
    drift = _open_drift(order, detector)
    if drift is not None:
        stack.callback(drift.close)  # before the evidence, which may take longer
    preview = None if order.preview is None else PreviewWriter(order.preview, order.inspection, detector)
    if preview is not None:
        stack.callback(preview.close)
    taught = None
    if order.teaching is not None:
        taught = TeachingWriter(order.teaching, order.inspection, order.recipe, order.frames)
        stack.callback(taught.close)
    return _Beside(evidence, drift, videos, preview, taught)


def inspection_facts(order: Opening, detector: Detector, bundle: str, engine: str) -> InspectionFacts | None:
    """What the link tells of a scorer's bundle; ``None`` where it is not calibrated."""
    made = detector.calibration
    if made is None:
        return None
    return InspectionFacts(
        camera=order.camera,
        bundle=bundle,
        variant=detector.variant.id,
        engine=engine,
        calibration=order.calibration or DEFAULT_STATION,
        method=made.method,
        threshold=made.image.threshold,
        normals=made.image.n,
        rate=made.image.bound if isinstance(made, FixedCalibration) else made.alpha,
        confidence=made.confidence,
        doubt=made.doubt,
    )


def _open_evidence(order: Opening, detector: Detector) -> EvidenceWriter | None:
    if order.evidence is None or detector.calibration is None:
        return None
    origin = EvidenceOrigin(
        station=order.station,
        inspection=order.inspection,
        camera=order.camera,
        recipe=order.recipe,
        artefact_sha256=detector.bundle.artefact_sha256(detector.variant),
    )
    return EvidenceWriter(order.evidence, origin, order.evidence_bytes, detector.calibration)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a scorer does beside scoring."""

    evidence: EvidenceWriter | None
    drift: ScorerDrift | None
    videos: tuple[VideoWriter, ...]
    preview: PreviewWriter | None
    taught: TeachingWriter | None


class _Server:
    """Answers orders with one detector, reading frames where they lie."""

    def __init__(
        self,
        station: socket.socket,
        detector: Detector,
        beside: _Beside,
        handed_in: CameraSettings | None,
    ) -> None:
        self._station = station
        self._detector = detector
        self._beside = beside
        self._rings: dict[tuple[str, int], mmap.mmap] = {}
        self._following: int | None = None
        self._checks = None if handed_in is None else FrameChecks(handed_in)

    def serve(self) -> None:
        """Goes on until the station is gone."""
        while (given := _next(self._station)) is not None:
            order, descriptors = given
            try:
                if isinstance(order, RingGiven):
                    self._take_ring(order, descriptors[0])
                elif isinstance(order, ScoreThis):
                    self._score(order, descriptors)
            finally:
                for one in descriptors:
                    os.close(one)

    def _score(self, order: ScoreThis, descriptors: list[int]) -> None:
        size = order.height * order.width * order.channels
        if order.camera is None:
            # The memory goes when the last view of it goes.
            self._answer(order, _picture(mmap.mmap(descriptors[0], size, prot=mmap.PROT_READ), 0, order))
        else:
            self._answer(order, _picture(self._rings[order.camera, order.ring], order.offset, order))

    def _take_ring(self, order: RingGiven, descriptor: int) -> None:
        for camera, ring in list(self._rings):
            if camera == order.camera and ring < order.ring - 1:  # frames of the one before may still come
                del self._rings[camera, ring]
        self._rings[order.camera, order.ring] = mmap.mmap(descriptor, order.size, prot=mmap.PROT_READ)

    def _answer(self, order: ScoreThis, frame: NDArray[np.uint8]) -> None:
        if self._following is not None and order.frame_id > self._following:
            self._detector.skip(order.frame_id - self._following)
        self._following = order.frame_id + 1
        scored = self._judged(order, frame)
        kept, drift, verdict = self._beside.evidence, self._beside.drift, scored.verdict
        if drift is not None and not order.is_challenge:
            verdict = drift.observe(verdict)
        if kept is not None:
            kept.observe(verdict, order.part_id, frame, scored.map, is_challenge=order.is_challenge)
        for video in self._beside.videos:
            video.observe(verdict, frame, scored.map)
        preview = self._beside.preview
        if preview is not None:
            preview.observe(verdict, order.part_id, frame, scored.map)
        taught = self._beside.taught
        if taught is not None and not order.is_challenge:
            taught.observe(verdict, order.part_id, frame)
        self._station.send(
            encode(
                Scored(
                    job=order.job,
                    verdict=verdict,
                    evidence_kept=kept.kept if kept else 0,
                    evidence_dropped=kept.dropped if kept else 0,
                    evidence_error=kept.error if kept else None,
                    drift_error=drift.error if drift else None,
                    videos={one.name: one.state for one in self._beside.videos},
                    preview_error=preview.error if preview else None,
                    teaching_error=taught.error if taught else None,
                )
            )
        )
        if preview is not None:
            preview.draw()

    def _judged(self, order: ScoreThis, frame: NDArray[np.uint8]) -> ScoredFrame:
        fault = self._fault_of(order, frame)
        if fault is None:
            return self._detector.score_with_map(
                frame, frame_id=order.frame_id, part_id=order.part_id, captured_at=order.captured_at
            )
        verdict = self._detector.invalid(
            fault.reason,
            fault.detail,
            frame_id=order.frame_id,
            part_id=order.part_id,
            captured_at=order.captured_at,
        )
        return ScoredFrame(verdict, None)

    def _fault_of(self, order: ScoreThis, frame: NDArray[np.uint8]) -> FrameFault | None:
        """What is wrong with a frame that was handed in; those of cameras were checked by the station."""
        if self._checks is None or order.camera is not None:
            return None
        info = FrameInfo(
            slot=NO_SLOT,
            height=order.height,
            width=order.width,
            channels=order.channels,
            sequence=order.frame_id,
            captured_at=order.captured_at,
            captured_ns=time.monotonic_ns(),
            digest=sample_digest(frame),
        )
        return self._checks.check(info, info.captured_ns)


def _picture(memory: mmap.mmap, offset: int, order: ScoreThis) -> NDArray[np.uint8]:
    flat = np.frombuffer(memory, np.uint8, order.height * order.width * order.channels, offset)
    return flat.reshape((order.height, order.width) if order.channels == 1 else (order.height, order.width, 3))


def _next(station: socket.socket) -> tuple[Order, list[int]] | None:
    """The next order and the descriptors that came with it; ``None``: the station is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(station, MESSAGE_BYTES, 1)
    except ConnectionResetError:
        return None
    return (decode_order(data), descriptors) if data else None


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
