"""``edge-ad demo``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo"]


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("edge-ad-demo"),
    show_default=True,
    metavar="DIR",
    help="The folder to make.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other parts.")
@click.option("--force", is_flag=True, help="Replace the folder of an earlier demo.")
def demo(output: Path, seed: int, force: bool) -> None:
    """The whole way in a minute, on a product line that is rendered here.

    Photographs good and defective parts, fits a small model to the good ones, and then runs the commands that you
    would run on your own model: export, calibrate, score. Ends with figures and pictures. Downloads nothing.
    """
    from edge_ad_demo.result.text import describe
    from edge_ad_demo.run import run

    result = run(output, seed=seed, replace=force, say=click.echo)
    click.echo(describe(result))
