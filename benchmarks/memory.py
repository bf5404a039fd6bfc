"""Does a detector that runs for long hold more and more memory?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_ad import Detector
from edge_ad.benchmark import resident_kib
from edge_ad.scoring.golden import golden_frames

WARM_UP = 500


def growth_kib(bundle: Path, variant: str, frames: int = 10_000) -> int:
    """How much more memory is in RAM after ``frames`` frames, all different, than after the warm-up."""
    with Detector.open(bundle, variant) as detector:
        frame = next(golden_frames(detector.bundle)).copy()
        noise = np.random.default_rng(0)
        before = 0
        for index in range(WARM_UP + frames):
            if index == WARM_UP:
                before = resident_kib()
            row = int(noise.integers(frame.shape[0]))
            frame[row] = noise.integers(0, 256, frame.shape[1:], np.uint8)
            detector.score(frame)
        return resident_kib() - before
