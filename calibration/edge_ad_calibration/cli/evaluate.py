"""``edge-ad evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import as_json, bundle_argument, echo_json, engine_options
from edge_ad.engines.base import EngineOptions
from edge_ad_calibration.cli.scoring_options import plan_options
from edge_ad_calibration.scoring.progress import progress
from edge_ad_metrics.datasets.layouts import LAYOUTS

if TYPE_CHECKING:
    from edge_ad_calibration.scoring.job import ScorePlan


@click.command()
@bundle_argument
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Labelled images or clips: the folder of a data set, or a CSV file.",
)
@click.option("--layout", type=click.Choice(tuple(LAYOUTS)), help="How the data lie on the disk; found out otherwise.")
@click.option("--station", metavar="NAME", help="Whose calibration to use, where the bundle has several.")
@click.option("--pixels/--no-pixels", default=True, help="Measure the anomaly maps too, where there are masks.")
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Write a row per image.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with charts (HTML).")
@engine_options
@plan_options
@as_json
def evaluate(
    *,
    bundle: Path,
    data: Path,
    layout: str | None,
    station: str | None,
    pixels: bool,
    table: Path | None,
    report: Path | None,
    variant: str | None,
    device: str,
    threads: int | None,
    cache_dir: Path | None,
    plan: ScorePlan,
    as_json: bool,
) -> None:
    """Measure BUNDLE on labelled data: how well it tells the anomalous from the normal, and what its threshold does.

    The threshold is the calibrated one. The best one on the labels at hand is shown beside it for comparison only.
    """
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.evaluation.evaluate import EvaluationRequest, evaluate_bundle
    from edge_ad_calibration.evaluation.output import Outputs
    from edge_ad_calibration.evaluation.result_text import lines

    request = EvaluationRequest(
        data=data,
        layout=layout,
        variant=variant,
        station=station,
        pixels=pixels,
        engine=EngineOptions(device, threads, cache_dir),
        plan=plan,
    )
    outputs = Outputs(table=table, report=report)
    outputs.check()
    opened = Bundle.open(bundle)
    result = evaluate_bundle(opened, request, progress("scoring"))
    outputs.write(result, opened, request)
    if as_json:
        echo_json(result.summary)
        return
    for line in lines(result.summary):
        click.echo(line)
