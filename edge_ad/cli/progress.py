"""A progress bar on stderr: count, rate and time left."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["progress_bar"]


@contextmanager
def _quiet(_total: int) -> Iterator[Callable[[int], object]]:
    yield lambda _count: None


def progress_bar(
    label: str, *, unit: str = "images", clock: Callable[[], float] = time.monotonic
) -> Callable[[int], AbstractContextManager[Callable[[int], object]]]:
    """A progress bar if stderr is a terminal. Otherwise nothing, so that logs and pipes stay clean.

    The result is called with the total number, and its context's value with the number that was just done.
    """

    @contextmanager
    def track(total: int) -> Iterator[Callable[[int], object]]:
        start, done = clock(), 0

        def rate(_: object) -> str:
            return f"{done / max(clock() - start, 1e-9):.1f} {unit}/s"

        with click.progressbar(length=total, label=label, file=sys.stderr, show_pos=True, item_show_func=rate) as bar:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bar.update(count)

            yield advance

    return track if sys.stderr.isatty() else _quiet
