"""``edge-ad calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.bundle import DEFAULT_STATION
from edge_ad.cli.options import as_json, bundle_argument, echo_json, engine_options
from edge_ad.engines.base import EngineOptions
from edge_ad_calibration.cli.calibrate_options import aim_options, output_options, selection_options
from edge_ad_calibration.cli.scoring_options import plan_options
from edge_ad_calibration.scoring.progress import progress

if TYPE_CHECKING:
    from edge_ad_calibration.normals.exclusions import Selection
    from edge_ad_calibration.request import Outputs
    from edge_ad_calibration.result import CalibrationResult
    from edge_ad_calibration.scoring import ScorePlan
    from edge_ad_calibration.thresholds.methods import Method


@click.command()
@bundle_argument
@click.option(
    "--normal",
    "normals",
    metavar="SOURCE",
    multiple=True,
    help="Held-out normals, not used in training: a folder, image, glob, video or .npy file of vectors, a CSV file "
    "with a column path, or rows of one: FILE.csv:COLUMN=VALUE. Repeatable.",
)
@aim_options
@selection_options
@click.option("--station", default=DEFAULT_STATION, show_default=True, help="The station these thresholds are for.")
@output_options
@engine_options
@plan_options
@as_json
def calibrate(
    *,
    bundle: Path,
    normals: tuple[str, ...],
    alpha: float,
    confidence: float,
    method: Method,
    min_area_px: int,
    selection: Selection,
    station: str,
    outputs: Outputs,
    variant: str | None,
    device: str,
    threads: int | None,
    cache_dir: Path | None,
    plan: ScorePlan,
    as_json: bool,
) -> None:
    """Give BUNDLE thresholds from normal images alone, with a guarantee.

    The thresholds hold for one variant of the bundle, its default one unless --variant names another, and for
    one station, or for each that --groups names. Too few normals for what is asked are refused, with the number
    that is needed.
    """
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.calibrate import CalibrationRequest, calibrate_stations

    request = CalibrationRequest(
        alpha=alpha,
        confidence=confidence,
        method=method,
        min_area_px=min_area_px,
        variant=variant,
        station=station,
        selection=selection,
        outputs=outputs,
        engine=EngineOptions(device, threads, cache_dir),
        plan=plan,
    )
    results = calibrate_stations(Bundle.open(bundle), normals, request, track=progress("scoring normals"))
    for warning in dict.fromkeys(warning for result in results for warning in result.warnings):
        click.echo(f"edge-ad: warning: {warning}", err=True)
    if as_json:
        echo_json(results if selection.groups and not selection.pooled else results[0])
        return
    for result in results:
        for line in _lines(result):
            click.echo(line)


def _lines(result: CalibrationResult) -> list[str]:
    from edge_ad_calibration.thresholds.wording import describe_threshold, percent

    lines = [
        f"calibrated {result.variant} of {result.bundle} for station {result.station}",
        f"normals          {_counted(result)}",
        f"image threshold  {result.image.threshold:.6g}, {describe_threshold(result.image)}",
    ]
    if result.pixel:
        lines.append(
            f"pixel threshold  {result.pixel.threshold:.6g}, {describe_threshold(result.pixel, 'maxima of the map')}"
        )
    promise, *rest = result.statements
    lines += [f"guarantee        {promise}", *(f"                 {sentence}" for sentence in rest)]
    if result.confidence_reached is not None:
        lines.append(f"                 Confidence reached: {percent(round(result.confidence_reached, 4))}.")
    files = [result.calibration, result.plot, *filter(None, (result.report, result.sheet))]
    lines += [f"written          {files[0]}", *(f"                 {file}" for file in files[1:])]
    if result.uncalibrated:
        lines.append(f"not calibrated   {', '.join(result.uncalibrated)}: no verdicts without their own run")
    return lines


def _counted(result: CalibrationResult) -> str:
    copies = f" (exact copies not counted: {len(result.duplicates)})" if result.duplicates else ""
    pictures = f"{result.frames:,} {result.pictures}s{copies}"
    alone = result.observation != "part" and result.image.n == result.frames
    return pictures if alone else f"{result.image.n:,} {result.observation}s, {pictures}"
