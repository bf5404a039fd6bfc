"""Streams that are worth less than they count, groups that differ, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from support.calibrating import calibrated, frames_of, ranked

from edge_ad.bundle.records import Exclusion
from edge_ad.thresholds.correlation import correlation_length
from edge_ad_calibration.normals.correlation import correlated_streams
from edge_ad_calibration.thresholds.cautions import about_confirmed, about_method, excluded_sentence
from edge_ad_calibration.thresholds.groups import compare_groups, describe_difference
from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByRank, ByTail, Method


def stream(memory: float, n: int, seed: int = 0) -> NDArray[np.float64]:
    """A first-order autoregression: every frame remembers this share of the one before."""
    return np.asarray(lfilter([1.0], [1.0, -memory], np.random.default_rng(seed).normal(size=n)), np.float64)


@pytest.mark.parametrize(
    ("memory", "length"),
    [
        pytest.param(0.0, 1.0, id="none"),
        pytest.param(0.5, 3.0, id="a half"),  # (1 + r) / (1 - r)
        pytest.param(0.8, 9.0, id="much"),
        pytest.param(0.9, 19.0, id="very much"),
    ],
)
def test_the_correlation_length_is_that_of_the_law(memory: float, length: float) -> None:
    found = [correlation_length(stream(memory, 5_000, seed)) for seed in range(10)]
    assert np.mean(found) == pytest.approx(length, rel=0.15)


def test_a_correlated_video_is_reported_with_a_remedy() -> None:
    scores = np.concatenate([stream(0.9, 1_000), np.random.default_rng(1).normal(size=300)])
    names = [f"clip.avi#{k}" for k in range(1_000)] + [f"parts/{k:04d}.png" for k in range(300)]
    (found,) = correlated_streams(names, scores)
    assert (found.where, found.frames) == ("clip.avi", 1_000)
    assert 10 < found.length < 30
    thinned = scores[: 1_000 : found.every]
    assert correlated_streams(names[: 1_000 : found.every], thinned) == []


@pytest.mark.parametrize(
    ("names", "scores"),
    [
        pytest.param([f"{k}.png" for k in range(500)], stream(0.0, 500), id="independent"),
        pytest.param([f"{k}.png" for k in range(20)], stream(0.9, 20), id="too short to tell"),
        pytest.param([f"{c}.png" for c in "abcdefgh" * 50], stream(0.9, 400), id="no numbers, no order"),
        pytest.param([f"{k}.png" for k in range(500)], np.ones(500), id="constant"),
    ],
)
def test_other_images_are_no_streams(names: list[str], scores: NDArray[np.float64]) -> None:
    assert correlated_streams(names, scores) == []


def test_false_warnings_are_rare() -> None:
    names = [f"{k}.png" for k in range(300)]
    warned = sum(bool(correlated_streams(names, stream(0.0, 300, seed))) for seed in range(300))
    assert warned <= 3


def test_groups_that_differ_are_told_with_the_worst() -> None:
    random = np.random.default_rng(0)
    scores = {"line1": random.normal(0, 1, 300), "line2": random.normal(1, 1, 300)}
    limit = float(np.sort(np.concatenate(list(scores.values())))[-12])
    found = compare_groups(scores, limit)
    assert found.differ
    assert 0.1 < found.effect < 0.4
    assert [group.n for group in found.groups] == [300, 300]
    assert sum(group.above for group in found.groups) == 11
    text = describe_difference(found)
    assert "holds for all of them together, not for each; 'line2' has 1" in text


def test_a_heavier_tail_alone_is_a_difference() -> None:
    random = np.random.default_rng(0)
    found = compare_groups({"a": random.normal(size=400), "b": random.standard_t(1.2, size=400)}, 3.0)
    assert found.differ
    assert found.effect < 0.02  # the medians are the same


def test_groups_of_one_law_are_not_told_apart() -> None:
    random = np.random.default_rng(5)
    found = compare_groups({name: random.normal(size=100) for name in "abc"}, 3.0)
    assert not found.differ
    assert "score alike as far as can be told" in describe_difference(found)


def test_a_group_of_one_is_listed_but_not_tested() -> None:
    random = np.random.default_rng(5)
    found = compare_groups({"a": random.normal(size=50), "b": random.normal(size=50), "c": np.array([99.0])}, 3.0)
    assert not found.differ
    assert [(group.name, group.above) for group in found.groups] == [("a", 0), ("b", 0), ("c", 1)]


@pytest.mark.parametrize(
    "scores", [pytest.param({"a": [1.0, 2.0]}, id="one"), pytest.param({"a": [1.0], "b": []}, id="empty")]
)
def test_what_cannot_be_compared_is_refused(scores: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="expected two or more groups of two or more"):
        compare_groups({name: np.array(values) for name, values in scores.items()}, 1.0)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        pytest.param(ByRank(), 0, id="rank"),
        pytest.param(ByTail(), 1, id="gpd"),
        pytest.param(ByFixed(2.0), 1, id="fixed"),
        pytest.param(ByMad(5.0), 1, id="mad"),
    ],
)
def test_only_the_guaranteed_method_needs_no_word(method: Method, said: int) -> None:
    made = calibrated(frames_of(np.random.default_rng(0).exponential(size=1_000)), method, alpha=0.01)
    assert len(about_method(made)) == said


def exclusion(by: str) -> Exclusion:
    return Exclusion(image="a.png", pixel_sha256="0" * 64, score=9.0, reason="scratched", by=by)  # type: ignore[arg-type]


def test_what_a_person_took_out_is_weighed() -> None:
    made = calibrated(frames_of(np.arange(60.0)), alpha=0.1, confidence=0.95)
    assert ranked(made.image).rank == 2
    # P(Bin(61, 0.1) >= 3) = 0.9509, had the one been a good part
    (sentence,) = excluded_sentence(made, [exclusion("person"), exclusion("leak-check")])
    assert sentence == (
        "1 image was taken out by a person; had these been good parts after all, the confidence would be 95.09 %."
    )
    assert excluded_sentence(made, [exclusion("leak-check")]) == []


def test_confirmed_frames_are_told_apart_by_the_threshold() -> None:
    assert about_confirmed([], 1.0) == []
    (sentence,) = about_confirmed([0.5, 1.0, 1.5], 1.0)
    assert "3 confirmed borderline frames are not counted" in sentence
    assert "1 of them would be rejected" in sentence
