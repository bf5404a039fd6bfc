"""Reading ahead: in order, bounded, and tidy when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad_calibration.scoring.ahead import in_order


def done(value: int) -> Future[int]:
    future: Future[int] = Future()
    future.set_result(value)
    return future


@given(items=st.lists(st.integers()), ahead=st.integers(0, 8))
def test_results_come_in_the_order_of_their_items(items: list[int], ahead: int) -> None:
    assert list(in_order(items, done, ahead=ahead)) == items


def test_slow_items_hold_no_place_but_their_own() -> None:
    with ThreadPoolExecutor(4) as pool:

        def slow(item: int) -> int:
            sleep(0.02 * (item % 3))
            return item

        assert list(in_order(range(24), lambda item: pool.submit(slow, item), ahead=6)) == list(range(24))


@given(count=st.integers(0, 40), ahead=st.integers(0, 8))
def test_no_more_items_are_taken_than_are_ahead(count: int, ahead: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(count):
            taken.append(item)
            yield item

    for given_out, _ in enumerate(in_order(items(), done, ahead=ahead), start=1):
        assert len(taken) - given_out <= ahead


def test_an_error_stops_the_rest() -> None:
    futures: list[Future[int]] = [Future() for _ in range(4)]
    futures[0].set_exception(ValueError("first"))
    with pytest.raises(ValueError, match="first"):
        list(in_order(range(4), futures.__getitem__, ahead=3))
    assert [future.cancelled() for future in futures] == [False, True, True, True]


def test_closing_early_cancels_what_nobody_asks_for() -> None:
    futures: list[Future[int]] = [Future() for _ in range(4)]
    futures[0].set_result(0)
    results = in_order(range(4), futures.__getitem__, ahead=2)
    assert next(results) == 0
    results.close()
    assert [future.cancelled() for future in futures] == [False, True, True, False]


def test_an_interrupted_wait_cancels_what_was_waited_for() -> None:
    waited_for: list[Future[int]] = []

    class Interrupted(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            raise KeyboardInterrupt

    def submit(_: int) -> Future[int]:
        waited_for.append(Interrupted())
        return waited_for[-1]

    with pytest.raises(KeyboardInterrupt):
        next(in_order(range(3), submit, ahead=1))
    assert [future.cancelled() for future in waited_for] == [True, True]
