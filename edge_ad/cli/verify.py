"""``edge-ad verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import command
from edge_ad.cli.options import ENGINE, as_json, bundle_argument, echo_json, variant_option

if TYPE_CHECKING:
    from edge_ad.engines.base import EngineOptions


@command(engine=ENGINE)
@bundle_argument
@variant_option("Check this variant only. Without this option all variants are checked whose engine is installed.")
@as_json
def verify(bundle: Path, variant: str | None, engine: EngineOptions, as_json: bool) -> None:
    """Check that BUNDLE is intact and works on this device.

    Every file is compared with its checksum. The golden frames are scored again, and their scores must equal those
    in the bundle.
    """
    from edge_ad.scoring.verification import verify_bundle

    result = verify_bundle(bundle, variant, engine)
    if as_json:
        echo_json(result)
        return
    click.echo(f"{result.bundle}: {result.files} files are intact")
    for one in result.variants:
        calibrated = f"calibrated for {', '.join(one.stations)}" if one.stations else "not calibrated"
        outcome = (one.skipped and f"skipped: {one.skipped}") or f"{len(one.replays)} golden frames replayed, all equal"
        click.echo(f"  {one.id}: {outcome}; {calibrated}")
