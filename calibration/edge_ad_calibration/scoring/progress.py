"""A progress bar on stderr: count, rate and time left."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from edge_ad_calibration.scoring.job import Progress, no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress_bar"]


def progress_bar(label: str, *, clock: Callable[[], float] = time.monotonic) -> Progress:
    """A progress bar if stderr is a terminal. Otherwise nothing, so that logs and pipes stay clean."""

    @contextmanager
    def track(total: int) -> Iterator[Callable[[int], object]]:
        start, done = clock(), 0

        def rate(_: object) -> str:
            return f"{done / max(clock() - start, 1e-9):.1f} images/s"

        with click.progressbar(length=total, label=label, file=sys.stderr, show_pos=True, item_show_func=rate) as bar:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bar.update(count)

            yield advance

    return track if sys.stderr.isatty() else no_progress
