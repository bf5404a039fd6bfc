"""Times the runtime beside the bare engine, in one process and in turn, so that the ratio is a fair one."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import FrameLimit, FrameLimits
from edge_ad.detector import Detector
from edge_ad.engines import EngineInfo, EngineOptions
from edge_ad.errors import InputError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.golden import golden_frames
from edge_ad.scoring.objects import sole_object
from edge_ad.verdict import Reason

__all__ = ["BenchReport", "Percentiles", "bench_bundle", "resident_kib"]

WARM_UP = 10


@dataclass(frozen=True)
class Percentiles:
    """Median and 99th percentile, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class BenchReport:
    """``verdict``: from a frame in memory to its verdict; ``bare``: the engine alone on the same artefact, of a
    two-stage bundle the extractor and the scorer.

    ``ratio`` is the median verdict over the median bare run.
    """

    bundle: str
    variant: str
    engine: EngineInfo
    frame: str
    runs: int
    verdict: Percentiles
    bare: Percentiles
    geometry: Percentiles
    frames_per_second: float
    ratio: float
    memory_growth_kib: int


def bench_bundle(
    path: str | Path,
    variant: str | None = None,
    options: EngineOptions | None = None,
    *,
    frame_size: tuple[int, int] | None = None,
    runs: int = 200,
) -> BenchReport:
    """Times one variant. The frame is the first golden one; ``frame_size`` (width, height) scales it."""
    with Detector.open(path, variant, engine=options, self_test=False) as detector:
        frame = _frame(detector, frame_size)
        _widen_limits(detector)
        objects = sole_object(detector.bundle, frame)
        bare, verdict, geometry = [], [], []
        before = 0
        for _ in range(detector.scorer.frames_until_score - 1):
            detector.score_with_map(frame)
        for run in range(-WARM_UP, runs):
            start = time.perf_counter()
            found = detector.score_with_map(frame, objects=objects).verdict
            middle = time.perf_counter()
            detector.scorer.run_bare()
            end = time.perf_counter()
            if found.score is None and found.reason is not Reason.BETWEEN_SCORES:
                raise InputError(f"the frame to measure with cannot be scored: {found.detail}")
            if run == 0:
                before = resident_kib()
            if run >= 0:
                verdict.append((middle - start) * 1e3)
                bare.append((end - middle) * 1e3)
                geometry.append(found.latency_ms.geometry)
        median = statistics.median(verdict)
        return BenchReport(
            bundle=str(path),
            variant=detector.variant.id,
            engine=detector.engine,
            frame=f"{frame.shape[1]}x{frame.shape[0]}" if frame.ndim > 1 else f"vector of {frame.size}",
            runs=runs,
            verdict=_percentiles(verdict),
            bare=_percentiles(bare),
            geometry=_percentiles(geometry),
            frames_per_second=1e3 / median,
            ratio=median / statistics.median(bare),
            memory_growth_kib=resident_kib() - before,
        )


def _frame(detector: Detector, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    frame = next(golden_frames(detector.bundle))
    if size is None:
        return frame
    if detector.scorer.takes_vectors:
        raise InputError("--frame-size scales pictures, and this bundle takes vectors: leave it out")
    old = detector.scorer.preprocessor
    # Another size than the calibrated one is acceptable for timing only.
    anything = msgspec.structs.replace(old.geometry, frame=None)
    detector.scorer.preprocessor = Preprocessor(anything, old.model_input, old.ignore_mask, map_size=old.map_size)
    scaled: NDArray[np.uint8] = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    return scaled


def _percentiles(values: list[float]) -> Percentiles:
    return Percentiles(statistics.median(values), float(np.percentile(values, 99)))


def resident_kib() -> int:
    """Memory of this process that is in RAM; 0 where the system has no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def _widen_limits(detector: Detector) -> None:
    """The look of a frame is still worked out, as in use, but a scaled golden frame is not refused for it."""
    if detector.frame_limits is not None:
        detector.scorer.guard.limits = FrameLimits(values={name: FrameLimit() for name in detector.frame_limits.values})
