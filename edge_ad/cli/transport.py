"""``edge-ad pack`` and ``edge-ad unpack``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.option_groups import command
from edge_ad.cli.options import PATH, bundle_argument


@command()
@bundle_argument
@click.option("-o", "--output", required=True, type=PATH, metavar="FILE", help="The zip file to write.")
def pack(bundle: Path, output: Path) -> None:
    """Write the folder BUNDLE as one zip file for transport."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import pack as pack_bundle

    click.echo(str(pack_bundle(Bundle.open(bundle), output)))


@command()
@bundle_argument
@click.option("-o", "--output", required=True, type=PATH, metavar="FOLDER", help="The folder to write.")
@click.option(
    "--force",
    is_flag=True,
    help="Replace the bundle that is in this folder. It stays until the new one is complete.",
)
def unpack(bundle: Path, output: Path, force: bool) -> None:
    """Write the zip file BUNDLE as a folder. Every file is checked on the way."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import unpack as unpack_bundle

    click.echo(str(unpack_bundle(Bundle.open(bundle), output, replace=force).path))
