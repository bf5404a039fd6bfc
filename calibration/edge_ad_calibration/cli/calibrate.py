"""``edge-ad calibrate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import command
from edge_ad.cli.options import ENGINE, as_json, bundle_argument, echo_json
from edge_ad.cli.progress import progress_bar
from edge_ad_calibration.cli.calibrate_options import METHOD, OUTPUTS, REQUEST, SELECTION, SelectionOptions
from edge_ad_calibration.cli.restore import RESTORE, RestoreOptions, restore
from edge_ad_calibration.cli.scoring_options import PLAN

if TYPE_CHECKING:
    from edge_ad.engines.base import EngineOptions
    from edge_ad_calibration.calibrate import CalibrationResult
    from edge_ad_calibration.request import CalibrationOutputs, CalibrationRequest
    from edge_ad_calibration.scoring import ScorePlan
    from edge_ad_calibration.thresholds.methods import Method


@command(
    selecting=SELECTION,
    request=REQUEST,
    method=METHOD,
    outputs=OUTPUTS,
    restoring=RESTORE,
    plan=PLAN,
    engine=ENGINE,
)
@bundle_argument
@as_json
def calibrate(
    *,
    bundle: Path,
    selecting: SelectionOptions,
    request: CalibrationRequest,
    method: Method,
    outputs: CalibrationOutputs,
    restoring: RestoreOptions,
    plan: ScorePlan,
    engine: EngineOptions,
    as_json: bool,
) -> None:
    """Set the thresholds of BUNDLE from normal images.

    The thresholds come with a guarantee about false rejects. They hold for one variant of the bundle and for one
    station, or for each station that --groups names. Of a bundle for several kinds of CPU, every variant is calibrated
    that a device needs, unless --variant names one. If there are too few images for the guarantee, nothing is written
    and the message says how many are needed. A calibration that is replaced is kept; --restore takes it back.
    """
    if restoring.restore is not None:
        restore(bundle, request.variant, restoring.restore, as_json=as_json)
        return
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.calibrate import calibrate_variants

    selection = selecting.selection()
    asked = replace(request, method=method, selection=selection, outputs=outputs, engine=engine, plan=plan)
    opened = Bundle.open(bundle)
    done = calibrate_variants(opened, selecting.normals, asked, progress=progress_bar("scoring normal images"))
    results = done.results
    warnings = (*done.left_out, *(warning for result in results for warning in result.warnings))
    for warning in dict.fromkeys(warnings):
        click.echo(f"edge-ad: warning: {warning}", err=True)
    if as_json:
        is_fleet = request.variant is None and bool(opened.manifest.orders)
        echo_json(results if is_fleet or (selection.groups and not selection.pooled) else results[0])
        return
    for number, result in enumerate(results):
        is_last = result.station not in (one.station for one in results[number + 1 :])
        for line in _lines(result, is_last=is_last):
            click.echo(line)


def _lines(result: CalibrationResult, *, is_last: bool) -> list[str]:
    from edge_ad.thresholds.wording import describe_threshold, percent

    lines = [
        f"calibrated {result.variant} of {result.bundle} for group {result.station}",
        f"normals          {_counted(result)}",
        f"image threshold  {result.image.threshold:.6g}, {describe_threshold(result.image)}",
    ]
    if result.pixel:
        lines.append(
            f"pixel threshold  {result.pixel.threshold:.6g}, {describe_threshold(result.pixel, 'maxima of the map')}"
        )
    if result.frame_limits:
        first, *others = result.frame_limits.lines
        lines += [f"limits of frames {first}", *(f"                 {line}" for line in others)]
    promise, *rest = result.statements
    lines += [
        f"{'guarantee' if result.doubt is None else 'NO guarantee':<17}{promise}",
        *(f"                 {sentence}" for sentence in rest),
    ]
    if result.confidence_reached is not None:
        lines.append(f"                 Confidence reached: {percent(round(result.confidence_reached, 4))}.")
    lines += [
        f"{'not checked' if number == 0 else '':<17}{sentence}" for number, sentence in enumerate(result.not_checked)
    ]
    files = [result.calibration, result.plot, *filter(None, (result.report, result.sheet))]
    lines += [f"written          {files[0]}", *(f"                 {file}" for file in files[1:])]
    if result.replaced is not None:
        lines.append(
            f"replaced         the earlier calibration of group {result.station}; it is kept, take it back with  "
            f"edge-ad calibrate {result.bundle} --variant {result.variant} --restore {result.replaced}"
        )
    if result.uncalibrated and is_last:
        lines.append(f"not calibrated   {', '.join(result.uncalibrated)}: no verdicts until they are calibrated too")
    return lines


def _counted(result: CalibrationResult) -> str:
    copies = f" (exact copies not counted: {len(result.duplicates)})" if result.duplicates else ""
    pictures = f"{result.frames:,} {result.pictures}s{copies}"
    alone = result.observation != "part" and result.image.n == result.frames
    return pictures if alone else f"{result.image.n:,} {result.observation}s, {pictures}"
