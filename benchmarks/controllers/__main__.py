"""``python -m benchmarks.controllers [PROTOCOL...]``."""

from __future__ import annotations

import click

from benchmarks import machine
from benchmarks.controllers.frame import PROTOCOLS, report


@click.command()
@click.argument("protocols", nargs=-1, type=click.Choice(list(PROTOCOLS)))
@click.option("--parts", default=5_000, show_default=True)
def main(protocols: tuple[str, ...], parts: int) -> None:
    """Measure PROTOCOLS, all of them without a name."""
    print(machine.describe())
    report(list(protocols or PROTOCOLS), parts)


if __name__ == "__main__":
    main()
