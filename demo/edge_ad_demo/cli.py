"""``edge-ad demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FOLDER

__all__ = ["demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the demo makes, and where."""

    output: Path = Path("edge-ad-demo")
    seed: int
    force: bool = False


DEMO = OptionGroup(
    COMMON,
    DemoOptions,
    (
        option("-o", "--output", type=FOLDER, metavar="FOLDER", help="The folder to write."),
        option(
            "--seed",
            default_of="edge_ad_demo.run:run.seed",
            type=click.IntRange(min=0),
            metavar="N",
            help="Any number. Another number gives other parts and other defects.",
        ),
        option("--force", is_flag=True, help="Replace the folder of an earlier demo."),
    ),
)


@command(options=DEMO)
def demo(options: DemoOptions) -> None:
    """Show the whole way from a model to verdicts in a minute.

    The demo draws pictures of good and defective parts, fits a small model to the good ones, and then runs the
    commands that you would run with your own model: export, calibrate and score. At the end it shows figures and
    pictures. It downloads nothing.
    """
    from edge_ad_demo.result.text import describe
    from edge_ad_demo.run import run

    click.echo(describe(run(options.output, seed=options.seed, replace=options.force, say=click.echo)))
