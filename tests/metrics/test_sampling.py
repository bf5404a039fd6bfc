"""Which of many things are chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad_metrics.sampling import evenly_spaced, evenly_spaced_to_the_last, evenly_stepped

COUNTS = st.integers(1, 500)


@pytest.mark.parametrize(
    ("total", "most", "spaced", "to_the_last", "stepped"),
    [
        pytest.param(0, 3, [], [], [], id="nothing"),
        pytest.param(2, 3, [0, 1], [0, 1], [0, 1], id="fewer than asked for"),
        pytest.param(3, 3, [0, 1, 2], [0, 1, 2], [0, 1, 2], id="as many"),
        pytest.param(7, 3, [0, 2, 4], [0, 3, 6], [0, 3, 6], id="no multiple"),
        pytest.param(10, 4, [0, 2, 5, 7], [0, 3, 6, 9], [0, 3, 6, 9], id="rounded down"),
        pytest.param(9, 5, [0, 1, 3, 5, 7], [0, 2, 4, 6, 8], [0, 2, 4, 6, 8], id="just above half"),
        pytest.param(11, 1, [0], [0], [0], id="one"),
    ],
)
def test_known_choices(total: int, most: int, spaced: list[int], to_the_last: list[int], stepped: list[int]) -> None:
    assert evenly_spaced(total, most) == spaced
    assert evenly_spaced_to_the_last(total, most).tolist() == to_the_last
    assert list(evenly_stepped(total, most)) == stepped


@given(COUNTS, COUNTS)
def test_spaced_indices_are_as_many_as_can_be_and_lie_alike_apart(total: int, most: int) -> None:
    chosen = evenly_spaced(total, most)
    gaps = {later - former for former, later in zip(chosen, [*chosen[1:], total], strict=True)}

    assert len(chosen) == min(total, most)
    assert chosen[0] == 0
    assert max(gaps) - min(gaps) <= 1


@given(COUNTS, COUNTS)
def test_stepped_indices_are_at_most_as_many(total: int, most: int) -> None:
    chosen = evenly_stepped(total, most)

    assert len(chosen) <= most
    assert chosen[0] == 0
    assert total - chosen[-1] <= chosen.step
