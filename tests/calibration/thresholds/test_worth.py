"""What dependent normals are worth: no guarantee stands beside its own refutation, and the advice is accepted."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from support.calibrating import calibrated, frames_of, normals_of

from edge_ad.thresholds.order_statistic import check_enough, smallest_n
from edge_ad_calibration.normals.correlation import Stream
from edge_ad_calibration.normals.exclusions import Selection
from edge_ad_calibration.normals.parts import group_parts, parse_part_by
from edge_ad_calibration.normals.selection import Thinning
from edge_ad_calibration.thresholds.checks import checks_of
from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByRank, ByTail, Method
from edge_ad_calibration.thresholds.worth import AskedPromise, Worth, doubt_about, remedy, shown_rate

SCORES = np.random.default_rng(0).exponential(size=1_000)
ASKED = AskedPromise(alpha=0.01, confidence=0.95, needed=299, fewest=10_000, thinning=Thinning())


def belt(frames: int, length: float) -> Stream:
    return Stream("belt", frames, length)


def test_of_independent_normals_the_rate_is_the_one_that_the_rank_shows() -> None:
    rate = shown_rate(3, Worth(n=700, repeated=0, streams=()), 0.95)
    assert binom.cdf(2, 700, rate) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("worth", "independent"),
    [
        pytest.param(Worth(n=347, repeated=0, streams=()), 347, id="independent"),
        pytest.param(Worth(n=347, repeated=0, streams=(belt(347, 10.4),)), 33, id="a belt"),
        pytest.param(Worth(n=447, repeated=0, streams=(belt(347, 10.4),)), 133, id="a belt and others"),
        pytest.param(Worth(n=347, repeated=47, streams=()), 300, id="some from training"),
        pytest.param(Worth(n=347, repeated=347, streams=()), 0, id="all from training"),
    ],
)
def test_what_normals_are_worth(worth: Worth, independent: int) -> None:
    assert worth.independent == independent


def test_a_belt_of_like_frames_shows_less_than_was_asked_for() -> None:
    made = calibrated(frames_of(SCORES[:347]), alpha=0.01, confidence=0.95)
    doubt = doubt_about(made, Worth(n=347, repeated=0, streams=(belt(347, 10.4),)), "frames")
    # 1 - 0.05 ** (1 / 33) = 8.7 %
    assert doubt == (
        "The 347 frames are worth about 33 independent ones, because neighbouring frames score alike. "
        "These show a rate of at most 8.7 %."
    )


@pytest.mark.parametrize(
    ("repeated", "doubted"),
    [
        pytest.param(48, False, id="299 are left, which are enough"),
        pytest.param(49, True, id="298 are too few"),
        pytest.param(347, True, id="none is left"),
    ],
)
def test_training_images_refute_a_guarantee_only_if_too_few_others_are_left(repeated: int, doubted: bool) -> None:
    made = calibrated(frames_of(SCORES[:347]), alpha=0.01, confidence=0.95)
    doubt = doubt_about(made, Worth(n=347, repeated=repeated, streams=()), "frames")
    assert (doubt is not None) == doubted


@pytest.mark.parametrize("method", [pytest.param(ByTail(), id="gpd"), pytest.param(ByMad(5.0), id="mad")])
def test_a_method_without_a_guarantee_has_none_to_doubt(method: Method) -> None:
    made = calibrated(frames_of(SCORES), method, alpha=0.01)
    assert doubt_about(made, Worth(n=1_000, repeated=1_000, streams=()), "frames") is None


@pytest.mark.parametrize(("length", "doubted"), [pytest.param(1.0, False, id="none"), pytest.param(5.0, True, id="5")])
def test_the_bound_of_a_chosen_threshold_is_doubted_too(length: float, doubted: bool) -> None:
    made = calibrated(frames_of(SCORES), ByFixed(3.0), confidence=0.95)
    assert (doubt_about(made, Worth(n=1_000, repeated=0, streams=(belt(1_000, length),)), "frames") is None) != doubted


@pytest.mark.parametrize("frames", [100, 347, 1_000, 3_289, 10_000])
@pytest.mark.parametrize("length", [1.7, 10.4, 60.0])
@pytest.mark.parametrize("asked", [ASKED, replace(ASKED, alpha=0.05, needed=59)], ids=["1 %", "5 %"])
def test_the_advice_is_accepted_with_the_numbers_at_hand(frames: int, length: float, asked: AskedPromise) -> None:
    text = remedy([belt(frames, length)], frames_of(np.arange(float(frames))), asked)
    for every, fpr in re.findall(r"(?:use|less with) --every (\d+)(?: --fpr ([\d.]+))?", text.replace(" and use", "")):
        check_enough(frames // int(every), float(fpr or asked.alpha), asked.confidence)


def test_more_frames_are_asked_for_where_too_few_would_stay() -> None:
    text = remedy([belt(347, 10.4)], frames_of(np.arange(347.0)), ASKED)
    assert "--every 11 would leave only about 31 of them, and 299 are needed" in text
    assert "give 3,289 such images or more and use --every 11, or ask for less with --every 11 --fpr 0.093" in text
    assert smallest_n(0.093, 0.95) <= 31
    assert "--part-by" in text


def test_thinning_that_was_asked_for_already_is_multiplied() -> None:
    observations = frames_of(np.arange(9_000.0))
    twice = replace(ASKED, thinning=Thinning(every=3))
    assert "--every 33, which" in remedy([belt(9_000, 10.4)], observations, twice)
    seconds = replace(ASKED, thinning=Thinning(gap_s=0.5))
    assert "--gap 5.5, which" in remedy([belt(9_000, 10.4)], observations, seconds)


def test_the_smallest_station_must_stay_large_enough() -> None:
    text = remedy([belt(9_000, 10.4)], frames_of(np.arange(9_000.0)), replace(ASKED, fewest=400))
    assert "would leave only about 36 of them" in text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param([f"tray.avi#{k // 2}#xywh={k % 2},0,9,9" for k in range(700)], "--part-by frame", id="enough"),
        pytest.param([f"tray.avi#{k // 20}#xywh={k % 20},0,9,9" for k in range(700)], "--fpr 0.083", id="too few"),
    ],
)
def test_objects_are_counted_by_frame(names: list[str], said: str) -> None:
    observations = group_parts(normals_of(np.arange(700.0), names=names), None, "object")
    assert said in remedy([belt(700, 10.4)], observations, ASKED)


def questions(selection: Selection, names: list[str] | None = None) -> str:
    normals = normals_of(SCORES[:60], names=names)
    found = checks_of(group_parts(normals, selection.part_by), selection, normals.names, vectors=False)
    return " ".join(map(str, found.missing))


def test_what_was_not_checked_is_said_with_the_option_that_checks_it() -> None:
    missing = questions(Selection(), [f"{letter}{other}.png" for letter in "abcdef" for other in "abcdefghij"])
    options = ["--train", "--part-by", "--groups", "numbers in their names"]
    assert [option for option in options if option in missing] == options


def test_no_option_is_advised_that_would_be_refused() -> None:
    assert "--train" not in questions(Selection(), [f"clip.avi#{k}" for k in range(60)])


def test_what_was_told_is_not_asked_for() -> None:
    told = Selection(training=("train",), part_by=parse_part_by(r"(\d+)"))
    assert "--train" not in questions(told)
    assert "--part-by" not in questions(told)


def test_the_rank_method_needs_the_number_that_is_advised() -> None:
    asked = AskedPromise(alpha=0.01, confidence=0.95, needed=smallest_n(0.01, 0.95), fewest=9_000, thinning=Thinning())
    made = calibrated(frames_of(np.arange(float(asked.needed))), ByRank(), alpha=0.01, confidence=0.95)
    assert made.image.n == 299
