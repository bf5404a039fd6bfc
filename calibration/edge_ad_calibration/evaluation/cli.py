"""``edge-ad evaluate``."""

from __future__ import annotations

import click


@click.command()
def evaluate() -> None:
    """Measure BUNDLE on labelled images."""
