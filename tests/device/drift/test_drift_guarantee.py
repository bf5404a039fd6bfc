"""The promise itself: how often there is an alarm for nothing, counted in simulated streams."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from support import drifting

from edge_ad.drift import DriftMonitor, DriftSettings
from edge_ad.drift.watched_values import LEVELS, Cutoff, Tail, WatchedValue, upper_tail, watched_values
from edge_ad.verdict import DriftState, FrameStatistics

FRAMES = 100_000


def alarms(watched: DriftMonitor, stream: list[list[float]]) -> int:
    """How often RECALIBRATE begins."""
    begun, before = 0, watched.state
    for values in stream:
        state = watched.observe(values)
        begun += state is DriftState.RECALIBRATE is not before
        before = state
    return begun


def exchangeable(seed: int, normals: int, run_length: int, *, defect_rate: float = 0.0) -> int:
    """Alarms in a stream that comes from where its own fresh calibration came from, real defects beside."""
    random = np.random.default_rng(seed)
    drawn = random.gumbel(size=(normals, 4))
    made = drifting.calibration(
        drawn[:, 0].tolist(), [FrameStatistics(*row) for row in drawn[:, 1:].tolist()], alpha=0.05, rank=normals // 50
    )
    settings = DriftSettings(run_length=run_length, defect_rate=defect_rate)
    stream = random.gumbel(size=(FRAMES, 4))
    stream[random.random(FRAMES) < defect_rate] = 50.0
    return alarms(DriftMonitor(watched_values(made, settings), run_length), stream.tolist())


@pytest.mark.parametrize("defect_rate", [0.0, 0.03], ids=["good-parts", "with-real-defects"])
def test_a_hundred_thousand_exchangeable_frames_keep_the_stated_rate(defect_rate: float) -> None:
    run_length = 10_000
    assert exchangeable(0, 300, run_length, defect_rate=defect_rate) <= FRAMES / run_length


@pytest.mark.slow
@pytest.mark.parametrize("normals", [100, 300, 2_000])
def test_the_stated_rate_holds_for_all_but_the_stated_share_of_calibrations(normals: int) -> None:
    calibrations, run_length = 40, 10_000
    broken = sum(exchangeable(seed, normals, run_length) > FRAMES / run_length for seed in range(calibrations))
    assert broken <= binom.ppf(0.999, calibrations, 0.05)


def on_the_limit(limits: list[float], run_length: int) -> DriftMonitor:
    """Watches a uniform figure in [0, 1) that lies beyond its cutoffs exactly as often as the limits allow."""
    cutoffs = tuple(Cutoff(1 - limit, limit) for limit in limits)
    return DriftMonitor([WatchedValue(Tail("higher", cutoffs, above=True))], run_length)


def test_the_stated_run_length_is_no_mere_caution() -> None:
    """Where frames exceed as often as is just allowed, alarms come nearly as often as is just allowed."""
    run_length = 10_000
    stream = np.random.default_rng(3).random((100_000, 1)).tolist()
    found = alarms(on_the_limit([0.55, 0.25, 0.08, 0.03], run_length), stream)
    assert len(stream) / run_length / 4 < found < len(stream) / run_length


@pytest.mark.parametrize(
    ("streams", "allowance", "fewest", "most"),
    [
        pytest.param(3, False, 2, 3, id="taken-for-uniform"),
        pytest.param(3, True, 0, 1, id="with-its-allowance"),
        pytest.param(10, False, 5, 10, id="taken-for-uniform-10", marks=pytest.mark.slow),
        pytest.param(10, True, 0, 1, id="with-its-allowance-10", marks=pytest.mark.slow),
    ],
)
def test_p_values_that_share_one_calibration_need_an_allowance(
    streams: int, allowance: bool, fewest: int, most: int
) -> None:
    """Taken for independent and uniform they cry wolf: in 100,000 frames an alarm may come to 1 of 10 streams."""
    run_length, normals, found = 1_000_000, 300, 0
    for seed in range(streams):
        random = np.random.default_rng(seed)
        values = np.sort(random.random(normals)).tolist()
        tail = upper_tail("higher", values, 0.05, 0.0)
        ranks = sorted(max(1, int(level * (normals + 1))) for level in LEVELS)
        naive = Tail("higher", tuple(Cutoff(values[-rank], rank / (normals + 1)) for rank in ranks), above=True)
        watched = DriftMonitor([WatchedValue(tail if allowance else naive)], run_length)
        stream = random.random((FRAMES, 1)).tolist()
        found += any(watched.observe(values) is DriftState.RECALIBRATE for values in stream)
    assert fewest <= found <= most
