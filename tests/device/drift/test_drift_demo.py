"""Drift on the demo's line: real frames, a real model, the calibration that the command line made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_ad.detector import Detector
from edge_ad.drift import DriftWatch
from edge_ad.verdict import Drift, DriftState
from edge_ad_demo.line.dataset import Counts
from edge_ad_demo.line.product import Product, Split
from edge_ad_demo.run import run

SWITCH = 5_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line") / "demo"
    run(folder, say=lambda line: None, counts=Counts(train=60, calibration=300, test=1, per_defect=1))
    return folder / "bundle"


def line(product: Product, frames: int) -> Iterator[np.ndarray]:
    """Good parts; from frame ``SWITCH`` on the lamp gives 10 % less."""
    for index in range(frames):
        image = product.normal(index, Split.TEST)
        yield image if index < SWITCH else (image * 0.9).astype(np.uint8)


@pytest.mark.slow
def test_a_lamp_that_loses_ten_percent_at_frame_5000_is_noticed_within_the_stated_delay(bundle: Path) -> None:
    with Detector.open(bundle) as detector:
        watched = DriftWatch(detector)
        drifts: list[Drift] = []
        for index, image in enumerate(line(Product(), SWITCH + 60)):
            drift = watched.observe(detector.score(image, frame_id=index)).drift
            assert drift is not None
            drifts.append(drift)
    assert {drift.state for drift in drifts[:SWITCH]} == {DriftState.OK}
    alarm = next(drift for drift in drifts if drift.state is DriftState.RECALIBRATE)
    assert alarm.frames - SWITCH <= watched.monitor.delay("brightness lower")
    assert "brightness lower" in alarm.causes
