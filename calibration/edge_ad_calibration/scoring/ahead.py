"""Runs work ahead in threads, a limited number of items at a time, and yields the results in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

__all__ = ["in_order"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(items: Iterable[_T], submit: Callable[[_T], Future[_R]], *, ahead: int) -> Generator[_R]:
    """Yields ``submit(item).result()`` item by item, with up to ``ahead`` later items already submitted.

    Unlike ``Executor.map`` it takes items only as they are needed, so that neither they nor their results pile up.
    What a future raises is raised here; futures whose result is no longer needed are cancelled.
    """
    pending: deque[Future[_R]] = deque()
    try:
        for item in items:
            pending.append(submit(item))
            if len(pending) > ahead:
                yield _first(pending)
        while pending:
            yield _first(pending)
    finally:
        for future in pending:
            future.cancel()


def _first(pending: deque[Future[_R]]) -> _R:
    # It leaves only when it is done: whoever interrupts the wait cancels it with the others.
    result = pending[0].result()
    pending.popleft()
    return result
