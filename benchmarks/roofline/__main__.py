"""``python -m benchmarks.roofline BUNDLE ...``: the table alone, which ``make bench`` prints among others."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import machine
from benchmarks.roofline.report import report


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=40, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(bundles: tuple[Path, ...], runs: int, threads: int) -> None:
    """Print how far every variant of BUNDLES is from the limits of this machine."""
    print(machine.describe())
    report(bundles, runs=runs, threads=threads)


if __name__ == "__main__":
    main()
