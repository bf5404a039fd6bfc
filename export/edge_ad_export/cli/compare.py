"""``edge-ad compare``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, argument, command, option
from edge_ad.cli.options import FILE, PATH, as_json, echo_json

if TYPE_CHECKING:
    from edge_ad_export.compare import Compared
    from edge_ad_export.request import CompareRequest

__all__ = ["compare"]


MODELS = OptionGroup(
    COMMON,
    "edge_ad_export.request:CompareRequest",
    (
        argument("first"),
        argument("second"),
        option(
            "--images",
            required=True,
            metavar="PATH",
            help="Normal images to measure with, 30 or more: a folder, a file or a pattern such as 'img/*.png'.",
        ),
        option(
            "--labelled",
            type=PATH,
            metavar="ROOT",
            help="Labelled images, in any layout that edge-ad evaluate reads. Both models are then also judged by "
            "how well they find these real defects.",
        ),
        option(
            "--max-images",
            type=click.IntRange(min=3),
            metavar="N",
            help="Measure with at most this number of images, taken at even distances from all of them.",
        ),
        option(
            "--engine-threads",
            into="threads",
            type=click.IntRange(min=1),
            metavar="N",
            help="The number of threads of the engines. Without this option the engines decide.",
        ),
    ),
)


@command(request=MODELS)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="Also write an HTML page with the scores, anomaly maps, latency and size of both.",
)
@as_json
def compare(request: CompareRequest, report: Path | None, as_json: bool) -> None:
    """Compare FIRST and SECOND on the same images.

    The result says how far the scores and anomaly maps of SECOND are from those of FIRST. Each of the two is a
    bundle, a variant of a bundle written as BUNDLE:VARIANT, or the ONNX file that a bundle was made from. At least one
    of them is a bundle. Copies of the images with a synthetic defect are scored too.
    """
    from edge_ad_export.compare import compare_models
    from edge_ad_export.request import check_report

    check_report(report)
    found = compare_models(request, pictures=report is not None)
    if report is not None:
        from edge_ad_export.pages.compare_page import compare_page
        from edge_ad_report import write_page

        write_page(report, compare_page(found, datetime.now(timezone.utc).isoformat(timespec="seconds")))
    for note in found.notes:
        click.echo(note, err=True)
    if as_json:
        echo_json(
            {
                "first": found.first,
                "second": found.second,
                "first_latency_ms": found.first_latency_ms,
                "first_size_bytes": found.first_size_bytes,
                "fidelity": found.fidelity,
            }
        )
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: Compared) -> list[str]:
    figures = found.fidelity
    worst_map = "no map" if figures.map_correlation_min is None else f"{figures.map_correlation_min:.4f}"
    lack = "no map" if figures.map_correlation_min is None else "not measured: the normal images have too few pixels"
    marked = lack if figures.aupimo_lost is None else _loss(figures.aupimo_lost, "on synthetic defects")
    rejects = figures.more_false_rejects or 0
    lines = [
        f"{found.second} compared with {found.first}, "
        f"on {figures.images} normal images and {figures.defects} synthetic defects",
        f"  rank correlation   {figures.spearman:.4f}, at least {figures.spearman_low:.4f} with 95 % confidence, "
        f"on normal images alone {figures.spearman_normals:.4f}",
        f"  map correlation    {worst_map}, on the image where it is lowest",
        f"  score error        at most {figures.score_max_rel:.1e} relative and {figures.score_max_abs:.3g} absolute",
        f"  ROC-AUC            {_loss(figures.roc_auc_lost, 'on synthetic defects')}",
        f"  AUPIMO             {marked}",
        f"  false rejects      {abs(rejects)} {'fewer' if rejects < 0 else 'more'} of {figures.images} normal images, "
        "both calibrated anew",
        f"  latency            {figures.latency_ms:.2f} ms, of the first {found.first_latency_ms:.2f} ms",
        f"  size               {figures.size_bytes / 1e6:.1f} MB, of the first {found.first_size_bytes / 1e6:.1f} MB",
    ]
    if figures.labelled:
        real = figures.labelled
        pixels = "" if real.pixel_roc_auc is None else f"; pixel ROC-AUC {real.pixel_roc_auc:.4f}"
        if real.aupimo is not None and real.aupimo_lost is not None:
            pixels += f"; AUPIMO {real.aupimo:.4f}, {_loss(real.aupimo_lost)}"
        lines.append(
            f"  real defects       ROC-AUC {real.roc_auc:.4f}, {_loss(real.roc_auc_lost)}; "
            f"average precision {real.average_precision:.4f}{pixels}"
        )
    return lines


def _loss(lost: float | None, where: str = "") -> str:
    """How much lower or higher a figure is than that of the first."""
    if lost is None:
        return "not measured"
    change = round(lost, 4)
    text = "as high" if change == 0 else f"{abs(change):.4f} {'lower' if change > 0 else 'higher'}"
    return f"{text} {where}".rstrip()
