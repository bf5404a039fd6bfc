"""``edge-ad verify``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import as_json, bundle_argument, echo_json, engine_options
from edge_ad.engines.base import EngineOptions


@click.command()
@bundle_argument
@engine_options
@as_json
def verify(
    bundle: Path, variant: str | None, device: str, threads: int | None, cache_dir: Path | None, as_json: bool
) -> None:
    """Check every file of BUNDLE and replay its golden frames on this device.

    Without --variant all variants are replayed whose engine is installed.
    """
    from edge_ad.scoring.verification import verify_bundle

    result = verify_bundle(bundle, variant, EngineOptions(device, threads, cache_dir))
    if as_json:
        echo_json(result)
        return
    click.echo(f"{result.bundle}: {result.files} files intact")
    for one in result.variants:
        calibrated = f"calibrated for {', '.join(one.stations)}" if one.stations else "uncalibrated"
        outcome = (one.skipped and f"skipped: {one.skipped}") or f"{len(one.replays)} golden frames replayed, all equal"
        click.echo(f"  {one.id}: {outcome}; {calibrated}")
