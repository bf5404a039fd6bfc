"""The detector: opens a bundle and gives a verdict on each frame."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import DEFAULT_STATION, Bundle, Calibration, FrameLimits, Variant
from edge_ad.bundle.calibrations import conformal_p_value
from edge_ad.engines import EngineInfo, EngineOptions
from edge_ad.engines.base import keeps_compiled
from edge_ad.errors import (
    CalibrationError,
    EdgeAdError,
    EngineError,
    FrameError,
    GoldenError,
    InputError,
    MissingExtraError,
    one_line,
)
from edge_ad.scoring.opening import describe_choice, open_proven_scorer, open_scorer
from edge_ad.scoring.scorer import MeasuredObject, Measurement, Scorer
from edge_ad.verdict import Box, FrameSpan, Latency, ObjectVerdict, Reason, Region, State, Verdict

__all__ = ["Detector", "ScoredFrame"]


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """A frame's verdict, and the anomaly map behind it.

    ``map``: float32 ``(h', w')``, raw, in cells of the model's map; a view that the next frame overwrites. Of a bundle
    that scores objects it is ``(k, h', w')``, one map for each of ``verdict.objects``. ``None``: the model has no map,
    or the frame could not be scored.
    """

    verdict: Verdict
    map: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class _FrameIds:
    """What the caller says of a frame; it goes into the verdict as it is."""

    frame_id: int
    part_id: str | None
    captured_at: float


@dataclass(frozen=True, slots=True)
class _Decision:
    """A measurement compared with the thresholds of a calibration."""

    state: State
    reason: Reason | None = None
    p_value: float | None = None
    threshold: float | None = None
    pixel_threshold: float | None = None
    regions: tuple[Region, ...] = ()


_UNCALIBRATED = _Decision(State.INVALID, Reason.UNCALIBRATED)


class Detector:
    """Scores frames with one variant of a bundle. A context manager; not thread-safe: one per thread.

    A bundle that scores clips takes the frames of one stream in their order, with ``frame_id`` going up by one from
    frame to frame; see :meth:`reset` and :meth:`skip`.

    Without a calibration there are scores but no verdicts: every frame is ``INVALID(uncalibrated)``.

    ``passed_over``: a sentence for each variant that was tried first and is not used on this device.
    ``choice``: a sentence about why this variant was taken; ``None`` where it was named, and where it is the default
    one of a bundle for one kind of CPU.
    ``notices``: a sentence for each compiled model that could not be kept, or was kept and could not be used.
    """

    def __init__(self, bundle: Bundle, variant: Variant, scorer: Scorer, calibration: Calibration | None) -> None:
        self.bundle = bundle
        self.variant = variant
        self.scorer = scorer
        self.calibration = calibration
        self.station: str | None = None
        self.passed_over: tuple[str, ...] = ()
        self.choice: str | None = None
        self.notices = tuple(info.notice for info in scorer.engines if info.notice is not None)
        self._is_closed = False
        self._name = f"{bundle.manifest.name}@{bundle.manifest.version}"

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        variant: str | None = None,
        station: str | None = None,
        *,
        engine: EngineOptions | None = None,
        self_test: bool = True,
        frame_limits: FrameLimits | None = None,
        calibrated: bool = True,
    ) -> Detector:
        """Opens a bundle, loads one variant and replays its golden frames.

        ``variant``: ``None`` is the bundle's first choice for this device (:meth:`Bundle.choices`). Where that one
        cannot run here, or gives other scores here, the next one that is calibrated too takes its place, and
        :attr:`passed_over` says why.
        ``frame_limits``: outside of them a frame is ``INVALID(out_of_range)``; ``None``: those of the calibration.
        ``calibrated``: without it the calibration only helps to choose the variant, and there are no verdicts but
        ``INVALID``.

        Raises:
            InputError: no bundle there, or no such variant, station or device.
            BundleError: the bundle is damaged, its calibration belongs to something else, or, with
                ``self_test``, this device gives other scores than the bundle promises.
            MissingExtraError: the variant's engine is not installed.
            EngineError: the engine refuses the model.
        """
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        choices = opened.choices(station) if variant is None else (opened.variant(variant),)
        keeps = any(keeps_compiled(one.engine) for one in choices)
        passed_over: list[str] = []
        failure: EdgeAdError | None = None
        for chosen in choices:
            try:
                options = engine
                if engine is not None and keeps and not keeps_compiled(chosen.engine):
                    options = replace(engine, cache_dir=None)  # it keeps no compiled models, another choice does
                detector = cls._open_variant(
                    opened, chosen, station, options, self_test=self_test, calibrated=calibrated
                )
            except (MissingExtraError, EngineError, GoldenError) as error:
                failure = failure or error
                passed_over.append(f"{chosen.id} is not used: {one_line(error)}")
                continue
            # After the golden frames, which may come from another camera.
            usual = detector.calibration.frame_limits if detector.calibration else None
            detector.scorer.guard.limits = frame_limits or usual
            detector.passed_over = tuple(passed_over)
            if variant is None:
                detector.choice = describe_choice(
                    opened,
                    chosen,
                    is_first=not passed_over,
                    is_calibrated=detector.calibration is not None,
                    is_tested=self_test,
                )
            return detector
        assert failure is not None  # noqa: S101 - there is always a first variant
        raise failure

    @classmethod
    def _open_variant(
        cls,
        bundle: Bundle,
        chosen: Variant,
        station: str | None,
        engine: EngineOptions | None,
        *,
        self_test: bool,
        calibrated: bool,
    ) -> Detector:
        record = bundle.calibration(chosen) if calibrated else None
        calibration = None if record is None else _at_station(record.stations, station)
        if record is None and station is not None and calibrated:
            raise InputError(f"{chosen.id} of {bundle.path} is not calibrated, so there is no group {station!r}")
        if self_test:
            scorer, _ = open_proven_scorer(bundle, chosen, engine)
        else:  # a kept compiled model is not used unless the golden frames prove it
            scorer = open_scorer(bundle, chosen, engine and replace(engine, cache_dir=None))
        detector = cls(bundle, chosen, scorer, calibration)
        detector.station = (station or DEFAULT_STATION) if calibration else None
        return detector

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the engine and frees its memory; nothing can be scored afterwards. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self.scorer.close()

    @property
    def frame_limits(self) -> FrameLimits | None:
        """Outside of them a frame is ``INVALID(out_of_range)``; ``None``: no frame is refused for its look or size."""
        return self.scorer.guard.limits

    @property
    def engine(self) -> EngineInfo:
        """The engine that runs, its version, device, precision and threads."""
        return self.scorer.engine.info

    def score(
        self,
        frame: NDArray[np.uint8] | None = None,
        *,
        objects: Sequence[Box] | None = None,
        features: NDArray[np.float32] | None = None,
        frame_id: int = 0,
        part_id: str | None = None,
        captured_at: float | None = None,
    ) -> Verdict:
        """The verdict on a frame, uint8 ``(H, W, 3)`` BGR or ``(H, W)`` gray, as the camera gave it.

        Never raises on account of the frame: what cannot be scored is ``INVALID`` with its reason. So is ``None``,
        which ``cv2.imread`` gives for a file that it cannot read.
        ``objects``: where the bundle scores objects, the box of each in the frame: whole camera pixels, inside the
        frame. None given is ``INVALID(no_objects)``.
        ``features``: instead of a frame, where the bundle scores vectors: float32 ``(n,)``.
        ``captured_at``: seconds since the epoch; ``None``: now.

        Raises:
            InputError: frame, features and objects are not what this bundle takes, or the detector is closed.
        """
        self._check_open()
        if frame is not None and features is not None:
            raise InputError("expected a frame or features to score: give one of them")
        given = frame if features is None else features
        if given is None:
            detail = "expected a frame, found None: the picture could not be read"
            return self.invalid(Reason.UNREADABLE, detail, frame_id=frame_id, part_id=part_id, captured_at=captured_at)
        if self.scorer.takes_vectors != (features is not None):
            kind = "features=vector" if self.scorer.takes_vectors else "a frame"
            raise InputError(f"{self._name} takes {kind}, and was given the other kind")
        scored = self.score_with_map(
            given, objects=objects, frame_id=frame_id, part_id=part_id, captured_at=captured_at
        )
        return scored.verdict

    def score_with_map(
        self,
        frame: NDArray[Any],
        *,
        objects: Sequence[Box] | None = None,
        frame_id: int = 0,
        part_id: str | None = None,
        captured_at: float | None = None,
    ) -> ScoredFrame:
        """As :meth:`score`, with the anomaly map behind the verdict. ``frame`` may also be a vector, float32 ``(n,)``.

        Raises:
            InputError: objects were given to a bundle that scores whole frames, or the detector is closed.
        """
        self._check_open()
        start = time.perf_counter()
        ids = _FrameIds(frame_id, part_id, time.time() if captured_at is None else captured_at)
        try:
            measured = self._measure(frame, objects)
        except FrameError as error:
            return ScoredFrame(self._invalid(Reason(error.reason), str(error), ids), None)
        except EngineError as error:
            return ScoredFrame(self._invalid(Reason.ENGINE_FAILED, str(error), ids), None)
        return ScoredFrame(self._decide(frame, measured, ids, start), measured.map)

    def invalid(
        self,
        reason: Reason,
        detail: str,
        *,
        frame_id: int = 0,
        part_id: str | None = None,
        captured_at: float | None = None,
    ) -> Verdict:
        """The ``INVALID`` verdict on a frame that is missing or unreadable. Clips that contain it have no score."""
        self.scorer.miss()
        return self._invalid(reason, detail, _FrameIds(frame_id, part_id, captured_at or time.time()))

    def skip(self, count: int) -> None:
        """Says that ``count`` frames were lost before the next one. Clips that contain them have no score."""
        self.scorer.miss(count)

    def reset(self) -> None:
        """Says that the next frame begins another scene: no clip and no smoothing over time reaches across."""
        self.scorer.reset()

    def map_in_camera_pixels(
        self, anomaly_map: NDArray[np.float32], frame: NDArray[np.uint8], objects: Sequence[ObjectVerdict] = ()
    ) -> NDArray[np.float32]:
        """The map of a scored frame in camera pixels: float32 ``(H, W)``, raw; NaN where nothing is inspected.

        ``objects``: those of the verdict; where they overlap, the larger value stands.
        """
        return self.scorer.map_in_camera_pixels(anomaly_map, frame, [one.box for one in objects])

    def _check_open(self) -> None:
        if self._is_closed:
            raise InputError(f"the detector of {self._name} is closed: open it again to score")

    def _measure(self, frame: NDArray[Any], objects: Sequence[Box] | None) -> Measurement:
        if objects is None and not self.scorer.takes_objects:
            return self.scorer.measure(frame)
        return self.scorer.measure_objects(frame, objects or ())

    def _decide(self, frame: NDArray[np.uint8], measured: Measurement, ids: _FrameIds, start: float) -> Verdict:
        begin = time.perf_counter()
        decided = _UNCALIBRATED if self.calibration is None else self._compare(frame, measured, self.calibration)
        end = time.perf_counter()
        latency = Latency(
            geometry=measured.geometry_ms,
            engine=measured.engine_ms,
            decision=(end - begin) * 1e3,
            total=(end - start) * 1e3,
        )
        return Verdict(
            state=decided.state,
            reason=decided.reason,
            score=measured.score,
            p_value=decided.p_value,
            threshold=decided.threshold,
            pixel_threshold=decided.pixel_threshold,
            regions=decided.regions,
            frame_id=ids.frame_id,
            part_id=ids.part_id,
            captured_at=ids.captured_at,
            latency_ms=latency,
            bundle=self._name,
            variant=self.variant.id,
            station=self.station,
            covers=_covered(measured, ids.frame_id),
            objects=tuple(map(self._decide_object, measured.objects)),
        )

    def _compare(self, frame: NDArray[np.uint8], measured: Measurement, calibration: Calibration) -> _Decision:
        threshold = calibration.image.threshold
        pixel_threshold = calibration.pixel.threshold if calibration.pixel else None
        regions: tuple[Region, ...] = ()
        if pixel_threshold is not None:
            regions = self.scorer.regions(frame, measured, pixel_threshold, min_area_px=calibration.min_area_px)
        return _Decision(
            state=_state(measured.score, threshold),
            p_value=conformal_p_value(calibration.scores, measured.score),
            threshold=threshold,
            pixel_threshold=pixel_threshold,
            regions=regions,
        )

    def _decide_object(self, one: MeasuredObject) -> ObjectVerdict:
        calibration = self.calibration
        if calibration is None:
            return ObjectVerdict(box=one.box, state=State.INVALID, score=one.score)
        return ObjectVerdict(
            box=one.box,
            state=_state(one.score, calibration.image.threshold),
            score=one.score,
            p_value=conformal_p_value(calibration.scores, one.score),
        )

    def _invalid(self, reason: Reason, detail: str, ids: _FrameIds) -> Verdict:
        return Verdict(
            state=State.INVALID,
            reason=reason,
            detail=detail,
            frame_id=ids.frame_id,
            part_id=ids.part_id,
            captured_at=ids.captured_at,
            bundle=self._name,
            variant=self.variant.id,
            station=self.station,
        )


def _covered(measured: Measurement, frame_id: int) -> FrameSpan | None:
    span = measured.covers
    return None if span is None else FrameSpan(frame_id + span.first, frame_id + span.last)


def _at_station(stations: Mapping[str, Calibration], station: str | None) -> Calibration:
    try:
        return stations[station or DEFAULT_STATION]
    except KeyError:
        names = ", ".join(sorted(stations))
        raise CalibrationError(
            f"no calibration for the group {station or DEFAULT_STATION!r}: calibrated are {names}"
        ) from None


def _state(score: float, threshold: float) -> State:
    # Asked this way round, anything that does not compare rejects.
    return State.ACCEPT if score <= threshold else State.REJECT
