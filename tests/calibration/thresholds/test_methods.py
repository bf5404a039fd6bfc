"""The other ways to a threshold: fitted tail, fixed figure, deviations from the median; and what is recorded."""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import expon, gamma, genpareto
from support.calibrating import calibrated, frames_of, ranked

from edge_ad.bundle.calibrations import conformal_p_value
from edge_ad.bundle.records import (
    CalibrationRecord,
    FixedCalibration,
    MadCalibration,
    RankCalibration,
    TailCalibration,
)
from edge_ad.errors import InputError, NotEnoughNormalsError
from edge_ad.thresholds.order_statistic import kept_scores
from edge_ad.thresholds.wording import describe_threshold, image_guarantee, pixel_guarantee
from edge_ad_calibration.thresholds.methods import (
    ByFixed,
    ByMad,
    ByRank,
    ByTail,
    Method,
    calibration_by,
    fixed_threshold,
    mad_threshold,
)
from edge_ad_calibration.thresholds.pareto_tail import tail_threshold

EXPONENTIAL: NDArray[np.float64] = np.random.default_rng(7).exponential(size=2_000)


@pytest.mark.parametrize(
    ("law", "alpha"),
    [
        pytest.param(expon(), 1e-3, id="exponential"),
        pytest.param(gamma(3), 1e-4, id="gamma"),
        pytest.param(genpareto(0.2), 1e-3, id="heavy tail"),
        pytest.param(genpareto(-0.3), 1e-4, id="bounded tail"),
    ],
)
def test_the_interval_of_the_tail_holds_the_true_quantile(law: object, alpha: float) -> None:
    found = tail_threshold(law.rvs(size=2_000, random_state=7), alpha, 0.99)  # type: ignore[attr-defined]
    truth = float(law.isf(alpha))  # type: ignore[attr-defined]
    assert found.estimate == pytest.approx(truth, rel=0.3)
    assert found.estimate < found.threshold
    assert truth < found.threshold < 3 * truth


def test_more_confidence_and_a_lower_rate_need_a_higher_threshold() -> None:
    limits = [tail_threshold(EXPONENTIAL, 1e-3, confidence).threshold for confidence in (0.6, 0.9, 0.99)]
    assert limits == sorted(set(limits))
    assert tail_threshold(EXPONENTIAL, 1e-4, 0.9).threshold > limits[1]


def test_the_record_says_what_the_tail_is(full_fits: None) -> None:
    found = tail_threshold(EXPONENTIAL, 1e-3, 0.95)
    assert (found.n, found.exceedances) == (2_000, 200)
    assert found.start == np.sort(EXPONENTIAL)[-201]
    assert found.shape == pytest.approx(0, abs=0.25)
    assert found.scale == pytest.approx(1, abs=0.3)
    assert found.fit_p_value >= 0.05


def test_ties_at_the_start_of_the_tail_are_no_excess() -> None:
    found = tail_threshold(np.round(EXPONENTIAL, 2), 1e-3, 0.95)
    assert found.exceedances <= 200
    assert found.threshold > found.estimate > found.start


@pytest.mark.parametrize(
    ("scores", "alpha", "error", "expected"),
    [
        pytest.param(np.arange(300.0), 1e-3, NotEnoughNormalsError, "a fitted tail needs 400", id="few"),
        pytest.param(EXPONENTIAL, 0.1, InputError, "promise that without a model", id="no extrapolation"),
        pytest.param(np.append(EXPONENTIAL, [50.0] * 60), 1e-3, InputError, "does not follow a gen", id="second mode"),
        pytest.param(
            np.append(EXPONENTIAL[:400] / 99, [7.0] * 100), 1e-3, InputError, "so many ties are no tail", id="ties"
        ),
        pytest.param(np.ones(500), 1e-3, InputError, "the score of all 500 normals is 1", id="constant"),
        pytest.param(EXPONENTIAL, 0.0, InputError, "false-reject rate must be a fraction", id="no rate"),
    ],
)
def test_tails_that_say_nothing_are_refused(
    scores: NDArray[np.float64], alpha: float, error: type[InputError], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        tail_threshold(scores, alpha, 0.95)


@pytest.mark.parametrize(
    ("above", "n", "bound"),
    [
        pytest.param(0, 299, 0.009969, id="none of 299"),  # 1 - 0.05 ** (1 / 299)
        pytest.param(0, 59, 0.049508, id="none of 59"),
        pytest.param(10, 10, 1.0, id="all"),
    ],
)
def test_the_bound_of_a_fixed_threshold_is_exact(above: int, n: int, bound: float) -> None:
    scores = np.append(np.linspace(0, 1, n - above), np.linspace(3, 4, above))
    found = fixed_threshold(scores, 2.0, 0.95)
    assert (found.above, found.n, found.threshold) == (above, n, 2.0)
    assert found.bound == pytest.approx(bound, abs=1e-6)


def test_a_score_at_the_fixed_threshold_is_accepted() -> None:
    assert fixed_threshold([1.0, 2.0, 3.0], 2.0, 0.95).above == 1


def test_deviations_are_those_of_a_normal_law() -> None:
    found = mad_threshold(np.random.default_rng(0).normal(10, 2, 100_000), 5.0)
    assert found.threshold == pytest.approx(20, abs=0.1)
    assert describe_threshold(found) == "5 deviations above the median of 100,000 scores"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        pytest.param(ByMad(0.0), "--k must be a number above 0", id="k 0"),
        pytest.param(ByMad(float("nan")), "found nan", id="k nan"),
        pytest.param(ByFixed(float("inf")), "must be a finite number", id="infinite"),
    ],
)
def test_figures_that_make_no_sense_are_refused(method: Method, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        calibrated(frames_of(np.arange(50.0)), method)


def test_scores_that_are_mostly_the_same_have_no_deviation() -> None:
    with pytest.raises(InputError, match=r"more than half of the scores are 1: "):
        mad_threshold([1.0] * 30 + [2.0] * 10, 5.0)


METHODS = [
    pytest.param(ByRank(), RankCalibration, "order-statistic", "At most 10 % of normal frames are rej", id="rank"),
    pytest.param(ByTail(), TailCalibration, "gpd", "Extrapolated by a model, not guaranteed: at most", id="gpd"),
    pytest.param(ByFixed(7.0, 8.0), FixedCalibration, "fixed", "if the threshold was chosen without", id="fixed"),
    pytest.param(ByMad(5.0), MadCalibration, "mad", "For a first look: nothing is promised", id="mad"),
]


@pytest.mark.parametrize(("method", "kind", "name", "sentence"), METHODS)
def test_every_method_survives_its_record(method: Method, kind: type, name: str, sentence: str) -> None:
    alpha = 0.001 if isinstance(method, ByTail) else 0.1
    made = calibrated(frames_of(EXPONENTIAL, 2 * EXPONENTIAL), method, alpha=alpha)
    record = CalibrationRecord(
        format="edge-ad-calibration/1",
        seal="0" * 64,
        variant="a",
        artefact_sha256="0" * 64,
        geometry_sha256="0" * 64,
        stations={"default": made},
    )
    read = msgspec.json.decode(msgspec.json.encode(record), type=CalibrationRecord)
    assert read == record
    assert isinstance(read.stations["default"], kind)
    assert read.stations["default"].method == name
    assert sentence in image_guarantee(made)
    assert "show a region" in str(pixel_guarantee(made))


def test_a_record_of_the_first_version_is_read() -> None:
    text = """{"format": "edge-ad-calibration/1", "seal": "ZEROS", "variant": "onnx-fp32",
      "artefact_sha256": "ZEROS", "geometry_sha256": "ZEROS", "stations": {"default": {
      "method": "order-statistic", "alpha": 0.1, "confidence": 0.95,
      "image": {"threshold": 0.3, "rank": 2, "n": 60}, "pixel": null, "scores": [0.1, 0.2, 0.3, 0.4],
      "observation": "frame", "images_sha256": "ZEROS", "created": "2026-01-01T00:00:00+00:00",
      "producer": "edge-ad 0.1.0"}}}""".replace("ZEROS", "0" * 64)
    made = msgspec.json.decode(text, type=CalibrationRecord).stations["default"]
    assert isinstance(made, RankCalibration)
    assert (made.image.threshold, made.image.rank, made.image.n) == (0.3, 2, 60)
    assert (made.method, made.frames, made.min_area_px, made.exclusions) == ("order-statistic", None, 0, ())


def test_a_fixed_pixel_threshold_is_optional() -> None:
    assert calibrated(frames_of(EXPONENTIAL, EXPONENTIAL), ByFixed(7.0)).pixel is None


def test_the_asked_rank_is_taken() -> None:
    made = calibrated(frames_of(np.arange(500.0)), ByRank(3))
    assert ranked(made.image).rank == 3
    assert made.image.threshold == 497.0
    with pytest.raises(NotEnoughNormalsError, match=r"needs at least 1,0\d\d for rank 90: .* or ask for --rank 41"):
        calibrated(frames_of(np.arange(500.0)), ByRank(90))
    with pytest.raises(InputError, match=r"the rank must be 1 \(the largest score\) or more, found 0"):
        ByRank(0)


def test_bad_images_below_the_rank_cannot_lift_the_threshold() -> None:
    scores = np.arange(500.0)
    spoilt = np.append(scores[:-2], [1e9, 1e9])
    clean = calibrated(frames_of(scores), ByRank(3)).image.threshold
    assert calibrated(frames_of(spoilt), ByRank(3)).image.threshold == clean
    assert calibrated(frames_of(spoilt), ByRank(2)).image.threshold == 1e9


@given(
    scores=st.lists(st.integers(0, 30), min_size=1, max_size=200),
    most=st.integers(1, 60),
    score=st.integers(-1, 31),
)
def test_kept_scores_give_valid_p_values(scores: list[int], most: int, score: int) -> None:
    kept = kept_scores(np.array(scores, np.float64), most)
    assert len(kept) <= most
    assert list(kept) == sorted(kept)
    exact = (1 + sum(one >= score for one in scores)) / (len(scores) + 1)
    coarse = conformal_p_value(kept, score)
    assert coarse >= exact - 1e-12


def test_few_scores_are_all_kept() -> None:
    assert kept_scores(np.array([3.0, 1.0, 2.0])) == (1.0, 2.0, 3.0)
    assert len(kept_scores(np.arange(250_001.0))) == 83_333
    assert kept_scores(np.arange(250_001.0))[-1] == 250_000.0


def test_the_time_that_is_recorded_comes_from_the_clock() -> None:
    observations = frames_of(EXPONENTIAL)
    moment = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
    made = calibration_by(ByRank(), observations, 0.1, 0.9, images_sha256="0" * 64, now=lambda: moment)
    assert made.created == "2026-03-01T12:00:00+00:00"
