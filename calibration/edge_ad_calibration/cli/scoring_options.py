"""The options of every command that scores many images."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.option_groups import OptionGroup, option
from edge_ad.cli.options import FOLDER
from edge_ad.errors import OutputError
from edge_ad_calibration.scoring.job import ScorePlan

__all__ = ["PLAN"]


def read_plan(*, cache: Path | None, no_cache: bool, cluster: str | None, workers: int | None) -> ScorePlan:
    """Where and how images are scored. Where the user's cache folder cannot be used, no scores are kept.

    Raises:
        click.UsageError: a cache is wanted and not wanted.
        OutputError: the cache that is wanted cannot be used.
    """
    from edge_ad_calibration.scoring.cache import default_folder, why_unusable

    if no_cache and cache is not None:
        raise click.UsageError("--cache and --no-cache exclude each other")
    folder = None if no_cache else cache or default_folder()
    if folder is not None and (reason := why_unusable(folder)):
        if cache is not None:
            raise OutputError(f"--cache: {reason}; --no-cache does without the score cache")
        click.echo(
            f"edge-ad: note: no scores are kept, so an interrupted run starts anew ({reason}); --cache FOLDER keeps "
            "them in another place, --no-cache leaves this note out",
            err=True,
        )
        folder = None
    return ScorePlan(cache=folder, cluster=cluster, workers=workers)


PLAN = OptionGroup(
    "Scoring many images",
    read_plan,
    (
        option(
            "--cache",
            type=FOLDER,
            metavar="FOLDER",
            help="Keep scores in this folder: an interrupted run goes on where it stopped, and a second run is fast. "
            "Without this option it is the folder edge-ad in $XDG_CACHE_HOME or ~/.cache, and no scores are kept where "
            "that cannot be written to. You may delete it at any time.",
        ),
        option("--no-cache", is_flag=True, help="Score every image anew and keep no scores."),
        option(
            "--cluster",
            metavar="ADDRESS",
            help="Score on the workers of a Dask scheduler, such as tcp://HOST:8786, or in several processes on this "
            "computer (local). The workers must see the bundle and the images under the same paths.",
        ),
        option(
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="The number of threads that read images, or with --cluster local the number of processes. Without "
            "this option it suits this computer.",
        ),
    ),
)
