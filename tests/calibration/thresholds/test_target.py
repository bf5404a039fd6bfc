"""A target in the words of the line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.errors import InputError
from edge_ad_calibration.thresholds.target import parse_target


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        pytest.param("2 false rejects per 8 h shift at 1 part/s", 2 / 28_800, id="a shift"),
        pytest.param("1 false reject per day at 2 parts/min", 1 / 2_880, id="a day"),
        pytest.param("3 false rejects per h at 0.5 parts/s", 3 / 1_800, id="an hour, a fraction"),
        pytest.param("1 false reject per 30 min at 1200 parts/h", 1 / 600, id="minutes, parts an hour"),
        pytest.param("  2  false rejects per 8h shift at 1 part/s ", 2 / 28_800, id="blanks"),
        pytest.param("0.5 false rejects per day at 1000 parts/day", 0.0005, id="less than one"),
    ],
)
def test_sentences_become_rates(sentence: str, expected: float) -> None:
    assert parse_target(sentence) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        pytest.param("", "not understood", id="empty"),
        pytest.param("2 per shift", "expected words such as '2 false rejects per 8 h shift at 1 part/s'", id="short"),
        pytest.param("2 false rejects per shift at 1 part/s", "not understood", id="a shift of unknown length"),
        pytest.param("two false rejects per day at 1 part/s", "not understood", id="a number in letters"),
        pytest.param("2 false rejects per week at 1 part/s", "units s, min, h, day", id="another unit"),
        pytest.param("-2 false rejects per day at 1 part/s", "not understood", id="negative"),
        pytest.param("2 false rejects per day at 1 part/s, please", "not understood", id="more words"),
        pytest.param("0 false rejects per day at 1 part/s", "more than none", id="none"),
        pytest.param("60 false rejects per min at 1 part/s", "fewer than all", id="all"),
        pytest.param("1 false reject per day at 0 parts/s", "0 parts", id="no parts"),
    ],
)
def test_other_words_are_refused(sentence: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_target(sentence)


@given(st.text(max_size=80))
def test_garbage_is_refused_or_a_rate(text: str) -> None:
    try:
        rate = parse_target(text)
    except InputError:
        return
    assert 0 < rate < 1
