"""``edge-ad evaluate``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, Parsed, command, option
from edge_ad.cli.options import ENGINE, FILE, VARIANT, as_json, bundle_argument, echo_json
from edge_ad.cli.progress import progress_bar
from edge_ad_calibration.cli.scoring_options import PLAN
from edge_ad_metrics.datasets.layouts import LAYOUTS

if TYPE_CHECKING:
    from edge_ad.engines.base import EngineOptions
    from edge_ad_calibration.evaluation.evaluate import EvaluationRequest
    from edge_ad_calibration.evaluation.output import EvaluationFiles
    from edge_ad_calibration.scoring.job import ScorePlan

_ROWS = re.compile(r"(?:.*\.)?csv:[^:=]+=.*", re.IGNORECASE | re.DOTALL)


def _parse_data(text: str) -> Path:
    path = Path(text)
    if _ROWS.fullmatch(text) and not path.exists():
        raise ValueError(
            "expected the folder of a data set or a whole CSV file; rows of one, FILE.csv:COLUMN=VALUE, are for "
            "--normal of edge-ad calibrate"
        )
    return path


REQUEST = OptionGroup(
    "What is measured",
    "edge_ad_calibration.evaluation.evaluate:EvaluationRequest",
    (
        option(
            "--data",
            heading=COMMON,
            type=Parsed("PATH", _parse_data),
            required=True,
            help="The labelled images or clips: the folder of a data set, or a CSV file.",
        ),
        option(
            "--layout",
            type=click.Choice(tuple(LAYOUTS)),
            metavar="NAME",
            help=f"How the data set is arranged on the disk: {', '.join(LAYOUTS)}. Without this option it is found.",
        ),
        option(
            "--station",
            heading=COMMON,
            metavar="NAME",
            help="Use the thresholds of this group, for a bundle that is calibrated for several groups.",
        ),
        VARIANT,
        option(
            "--pixels/--no-pixels",
            help="Also measure the anomaly maps, if the data set has masks of the defects.",
        ),
    ),
)

OUTPUTS = OptionGroup(
    COMMON,
    "edge_ad_calibration.evaluation.output:EvaluationFiles",
    (
        option("--report", type=FILE, metavar="FILE", help="Also write an HTML page with charts and pictures."),
        option(
            "--csv",
            into="table",
            type=FILE,
            metavar="FILE",
            help="Also write the score of each image to this CSV file, one row per image.",
        ),
    ),
)


@command(request=REQUEST, outputs=OUTPUTS, plan=PLAN, engine=ENGINE)
@bundle_argument
@as_json
def evaluate(
    *,
    bundle: Path,
    request: EvaluationRequest,
    outputs: EvaluationFiles,
    plan: ScorePlan,
    engine: EngineOptions,
    as_json: bool,
) -> None:
    """Measure how well BUNDLE works on labelled images.

    The figures say how well the scores tell anomalous images from normal ones, and how many images of each kind the
    calibrated threshold rejects. The best threshold for these labels is shown only for comparison.
    """
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.evaluation.evaluate import evaluate_bundle
    from edge_ad_calibration.evaluation.output import lines

    outputs.check()
    asked = replace(request, engine=engine, plan=plan)
    opened = Bundle.open(bundle)
    result = evaluate_bundle(opened, asked, progress_bar("scoring"))
    outputs.write(result, opened, asked)
    if as_json:
        echo_json(result.summary)
        return
    for line in lines(result.summary):
        click.echo(line)
