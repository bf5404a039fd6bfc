"""What the watch on drift costs a frame, and after how many frames it notices a shift."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from edge_ad.bundle.records import OrderStatistic, RankCalibration
from edge_ad.drift import DriftMonitor, DriftSettings, frame_reference, frame_statistics
from edge_ad.drift.watched_values import watched_values
from edge_ad.verdict import DriftState, FrameStatistics

FRAMES = 20_000
ROUNDS = 7
STREAMS = 41
GIVE_UP = 20_000
# A shift of the brightness, in standard deviations among the calibration's normals.
SHIFTS = (0.5, 1.0, 2.0, 5.0)
NORMALS = (100, 300, 1_000, 3_000)


@dataclass(frozen=True)
class Cost:
    """Microseconds a frame; each the fastest of a few rounds' means."""

    update_us: float
    statistics_us: float


def cost(canvas_px: int = 256) -> Cost:
    """One update over score, rejects and all frame statistics, and reading these from a square BGR canvas."""
    random = np.random.default_rng(0)
    watched = _monitor(random, 1_000)
    stream = random.normal(size=(FRAMES, 4)).tolist()
    canvas = random.integers(0, 256, (canvas_px, canvas_px, 3), np.uint8)
    return Cost(
        update_us=_fastest(lambda: [watched.observe(values) for values in stream]),
        statistics_us=_fastest(lambda: [frame_statistics(canvas) for _ in stream]),
    )


def median_delay(normals: int, shift: float) -> float:
    """Frames from the shift to RECALIBRATE, over fresh calibrations; ``inf`` where most streams never get there."""
    return statistics.median(_delay(np.random.default_rng(seed), normals, shift) for seed in range(STREAMS))


def report() -> None:
    """Prints both."""
    for canvas_px in (128, 256, 512):
        measured = cost(canvas_px)
        print(
            f"drift: update {measured.update_us:.1f} us, frame statistics of {canvas_px}x{canvas_px} "
            f"{measured.statistics_us:.1f} us, together {measured.update_us + measured.statistics_us:.1f} us a frame"
        )
    print(f"frames until RECALIBRATE (median of {STREAMS}) after brightness has shifted by so many deviations:")
    print("  normals" + "".join(f"{shift:>9g}" for shift in SHIFTS))
    for normals in NORMALS:
        print(f"  {normals:>7}" + "".join(f"{median_delay(normals, shift):>9.0f}" for shift in SHIFTS))


def _monitor(random: np.random.Generator, normals: int) -> DriftMonitor:
    drawn = random.normal(size=(normals, 4))
    scores = np.sort(drawn[:, 0]).tolist()
    settings = DriftSettings()
    calibration = RankCalibration(
        alpha=0.05,
        confidence=0.95,
        image=OrderStatistic(threshold=scores[-1], rank=1, n=normals),
        pixel=None,
        scores=tuple(scores),
        observation="frame",
        images_sha256="0" * 64,
        created="",
        producer="benchmark",
        frame_reference=frame_reference([FrameStatistics(*row) for row in drawn[:, 1:].tolist()]),
    )
    return DriftMonitor(watched_values(calibration, settings), settings.run_length)


def _delay(random: np.random.Generator, normals: int, shift: float) -> float:
    watched = _monitor(random, normals)
    for frame in count(1):
        score, brightness, contrast, sharpness = random.normal(size=4).tolist()
        if watched.observe([score, brightness - shift, contrast, sharpness]) is DriftState.RECALIBRATE:
            return frame
        if frame == GIVE_UP:
            break
    return float("inf")


def _fastest(run: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) / FRAMES * 1e6


if __name__ == "__main__":
    report()
