"""Options of every command that scores many images."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_ad_calibration.scoring.job import ScorePlan

if TYPE_CHECKING:
    from collections.abc import Callable

    _F = TypeVar("_F", bound=Callable[..., Any])

__all__ = ["plan_options"]

_OPTIONS = (
    click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the score cache, which lets an interrupted run go on and a second one be quick. "
        "Otherwise edge-ad in $XDG_CACHE_HOME or ~/.cache. It may be deleted at any time.",
    ),
    click.option("--no-cache", is_flag=True, help="Score every image anew and keep no scores."),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Score on the workers of a Dask scheduler (tcp://HOST:PORT) that see bundle and images under the same "
        "paths, or on worker processes here (local).",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="Threads that read images ahead of the engine; processes with --cluster local.",
    ),
)


def plan_options(function: _F) -> _F:
    """Adds --cache, --no-cache, --cluster and --workers, and hands them to the command as one ``plan``."""

    @functools.wraps(function)
    def command(
        *args: object,
        cache: Path | None,
        no_cache: bool,
        cluster: str | None,
        workers: int | None,
        **others: object,
    ) -> object:
        if no_cache and cache is not None:
            raise click.UsageError("--cache and --no-cache exclude each other")
        plan = ScorePlan(cache=None if no_cache else cache or _default(), cluster=cluster, workers=workers)
        return function(*args, plan=plan, **others)

    decorated: Any = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def _default() -> Path:
    from edge_ad_calibration.scoring.cache import default_folder

    return default_folder()
