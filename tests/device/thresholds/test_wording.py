"""The sentences that are signed."""

from __future__ import annotations

import pytest

from edge_ad.bundle.records import OrderStatistic, RankCalibration
from edge_ad.thresholds.wording import describe_rank, image_guarantee, percent, pixel_guarantee


def test_the_guarantee_in_words() -> None:
    statistic = OrderStatistic(threshold=0.5, rank=1, n=1312)
    made = RankCalibration(
        alpha=0.07,
        confidence=0.999,
        image=statistic,
        pixel=statistic,
        scores=(0.5,),
        observation="frame",
        images_sha256="0" * 64,
        created="2026-01-01T00:00:00+00:00",
        producer="tests",
    )
    terms = "with 99.9 % confidence, as long as frames to come are exchangeable with these 1,312."
    assert image_guarantee(made) == f"At most 7 % of normal frames are rejected, {terms}"
    assert pixel_guarantee(made) == f"At most 7 % of normal frames show a region, {terms}"


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        pytest.param(1, "the largest of 2,000", id="1"),
        pytest.param(2, "the 2nd largest of 2,000", id="2"),
        pytest.param(3, "the 3rd largest of 2,000", id="3"),
        pytest.param(4, "the 4th largest of 2,000", id="4"),
        pytest.param(11, "the 11th largest of 2,000", id="11"),
        pytest.param(12, "the 12th largest of 2,000", id="12"),
        pytest.param(113, "the 113th largest of 2,000", id="113"),
        pytest.param(121, "the 121st largest of 2,000", id="121"),
        pytest.param(1022, "the 1,022nd largest of 2,000", id="1022"),
    ],
)
def test_ranks_are_ordinals(rank: int, expected: str) -> None:
    assert describe_rank(OrderStatistic(threshold=0.0, rank=rank, n=2000)) == expected


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        pytest.param(0.01, "1 %", id="one percent"),
        pytest.param(0.07, "7 %", id="binary tail"),
        pytest.param(0.001, "0.1 %", id="per mille"),
        pytest.param(0.9999, "99.99 %", id="nearly one"),
        pytest.param(1e-7, "1e-05 %", id="tiny"),
    ],
)
def test_percent(fraction: float, expected: str) -> None:
    assert percent(fraction) == expected
