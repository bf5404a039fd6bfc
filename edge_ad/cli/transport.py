"""``edge-ad pack`` and ``edge-ad unpack``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import bundle_argument

output = click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where to write it.")


@click.command()
@bundle_argument
@output
def pack(bundle: Path, output: Path) -> None:
    """Write the folder BUNDLE as one zip file for transport."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import pack as pack_bundle

    click.echo(str(pack_bundle(Bundle.open(bundle), output)))


@click.command()
@bundle_argument
@output
def unpack(bundle: Path, output: Path) -> None:
    """Write the zip file BUNDLE as a folder, checking every file on the way."""
    from edge_ad.bundle import Bundle
    from edge_ad.bundle import unpack as unpack_bundle

    click.echo(str(unpack_bundle(Bundle.open(bundle), output).path))
