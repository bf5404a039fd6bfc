"""Calibrations and streams for the tests of drift."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import Bundle, write_calibration
from edge_ad.bundle.records import DEFAULT_STATION, OrderStatistic, RankCalibration
from edge_ad.detector import Detector
from edge_ad.drift import frame_reference, frame_statistics
from edge_ad.verdict import FrameStatistics, State, Verdict

FRAME = (48, 64)
NORMALS = 300


def calibration(
    scores: Sequence[float], statistics: Sequence[FrameStatistics] = (), *, alpha: float = 0.05, rank: int = 7
) -> RankCalibration:
    """What ``edge-ad calibrate`` would write for these normals; the defaults suit 300 of them."""
    ordered = sorted(scores)
    return RankCalibration(
        alpha=alpha,
        confidence=0.95,
        image=OrderStatistic(threshold=ordered[-rank], rank=rank, n=len(ordered)),
        pixel=None,
        scores=tuple(ordered),
        observation="frame",
        images_sha256="a" * 64,
        created="2026-01-01T00:00:00Z",
        producer="tests",
        frame_reference=frame_reference(statistics) if statistics else None,
    )


def photograph(random: np.random.Generator, *, light: float = 1.0) -> NDArray[np.uint8]:
    """A textured part under a lamp whose power varies by 2 %; ``light`` is what is left of it, as a share."""
    texture = 80 + 30 * np.sin(np.arange(FRAME[1]) / 3) + random.normal(0, 6, FRAME)
    gray = np.clip(texture * light * random.normal(1, 0.02), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def calibrate(bundle: Path, *, seed: int = 1, normals: int = NORMALS) -> RankCalibration:
    """Calibrates the default variant with photographs."""
    random, scores, statistics = np.random.default_rng(seed), [], []
    with Detector.open(bundle) as detector:
        for _ in range(normals):
            scores.append(detector.scorer.measure(photograph(random)).score)
            canvas = detector.scorer.canvas
            assert canvas is not None
            statistics.append(frame_statistics(canvas))
    made = calibration(scores, statistics)
    opened = Bundle.open(bundle)
    write_calibration(opened, opened.variant(None), DEFAULT_STATION, made)
    return made


def verdict(score: float | None, made: RankCalibration, *, frame_id: int = 0, captured_at: float = 0.0) -> Verdict:
    """What a detector says of a frame with this score."""
    accepted = score is not None and score <= made.image.threshold
    return Verdict(
        state=State.ACCEPT if accepted else State.REJECT,
        score=score,
        p_value=None if score is None else (1 + sum(s >= score for s in made.scores)) / (1 + len(made.scores)),
        threshold=made.image.threshold,
        frame_id=frame_id,
        captured_at=captured_at,
        bundle="tiny@1",
        variant="onnx-fp32",
    )
