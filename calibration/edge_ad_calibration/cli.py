"""``edge-ad calibrate``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.bundle import DEFAULT_STATION
from edge_ad.cli.options import as_json, bundle_argument, echo_json, engine_options
from edge_ad.engines.base import EngineOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from edge_ad_calibration.calibrate import CalibrationResult

_MOST_NAMED = 3


@click.command()
@bundle_argument
@click.option(
    "--normal",
    "normals",
    metavar="SOURCE",
    multiple=True,
    required=True,
    help="Folder, image or glob of held-out normals: not used in training, one image per part. Repeatable.",
)
@click.option(
    "--fpr",
    type=float,
    default=0.01,
    show_default=True,
    help="Most normals that may be rejected, a fraction.",
)
@click.option("--confidence", type=float, default=0.95, show_default=True, help="How sure that must be, a fraction.")
@click.option("--station", default=DEFAULT_STATION, show_default=True, help="The station these thresholds are for.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to draw the histogram; beside the variant's model otherwise.",
)
@engine_options
@as_json
def calibrate(
    *,
    bundle: Path,
    normals: tuple[str, ...],
    fpr: float,
    confidence: float,
    station: str,
    plot: Path | None,
    variant: str | None,
    device: str,
    threads: int | None,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Give BUNDLE thresholds from normal images alone, with a guarantee.

    The thresholds hold for one variant of the bundle, its default one unless --variant names another, and for
    one station. Too few normals for what is asked are refused, with the number that is needed.
    """
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.calibrate import CalibrationRequest, calibrate_bundle

    request = CalibrationRequest(
        alpha=fpr,
        confidence=confidence,
        variant=variant,
        station=station,
        plot=plot,
        engine=EngineOptions(device, threads, cache_dir),
    )
    result = calibrate_bundle(Bundle.open(bundle), normals, request, track=_progress)
    if result.duplicates:
        click.echo(f"edge-ad: warning: {_duplicates(result)}", err=True)
    if as_json:
        echo_json(result)
        return
    for line in _lines(result):
        click.echo(line)


def _progress(paths: Sequence[Path]) -> AbstractContextManager[Iterable[Path]]:
    if not sys.stderr.isatty():
        return nullcontext(paths)
    return click.progressbar(paths, label="scoring normals", file=sys.stderr, show_pos=True)


def _duplicates(result: CalibrationResult) -> str:
    found = result.duplicates
    named = ", ".join(f"{one.image} = {one.same_as}" for one in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"images that are exact copies of others are counted once, found {len(found)}: {named}{more}"


def _lines(result: CalibrationResult) -> list[str]:
    from edge_ad_calibration.wording import describe_rank, percent

    copies = f" (exact copies not counted: {len(result.duplicates)})" if result.duplicates else ""
    lines = [
        f"calibrated {result.variant} of {result.bundle} for station {result.station}",
        f"normals          {result.image.n:,} images{copies}",
        f"image threshold  {result.image.threshold:.6g}, {describe_rank(result.image)} scores",
    ]
    if result.pixel:
        lines.append(f"pixel threshold  {result.pixel.threshold:.6g}, {describe_rank(result.pixel)} maxima of the map")
    lines += [
        f"guarantee        {result.image_guarantee}",
        *([f"                 {result.pixel_guarantee}"] if result.pixel_guarantee else []),
        f"                 Confidence reached: {percent(round(result.confidence_reached, 4))}.",
        f"written          {result.calibration}",
        f"                 {result.plot}",
    ]
    if result.uncalibrated:
        lines.append(f"not calibrated   {', '.join(result.uncalibrated)}: no verdicts without their own run")
    return lines
