"""``edge-ad compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import as_json, echo_json

if TYPE_CHECKING:
    from edge_ad_export.compare import Compared

__all__ = ["compare"]


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--images", required=True, metavar="PATH", help="Normal images: a folder, a file or a glob. 30 or more.")
@click.option(
    "--labelled",
    type=click.Path(path_type=Path),
    help="Labelled images, in one of the layouts that edge-ad evaluate takes.",
)
@click.option("--max-images", type=click.IntRange(min=3), default=100, show_default=True, help="Use at most so many.")
@click.option("--engine-threads", type=click.IntRange(min=1), help="Threads of the engines.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a page (HTML) there.")
@as_json
def compare(
    first: str,
    second: str,
    images: str,
    labelled: Path | None,
    max_images: int,
    engine_threads: int | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Score the same images with FIRST and SECOND, and say how far SECOND is from FIRST.

    Each is a bundle, BUNDLE:VARIANT, or the ONNX file that a bundle was made of; one of them is a bundle at least.
    Beside the normal images, copies of them with a synthetic defect are scored.
    """
    from edge_ad_export.compare import CompareRequest, compare_models

    request = CompareRequest(first, second, images, labelled, max_images, engine_threads)
    found = compare_models(request, pictures=report is not None)
    if report is not None:
        from edge_ad_export.pages.compare_page import compare_page
        from edge_ad_report import write_page

        write_page(report, compare_page(found))
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
    heat = "no map" if figures.map_correlation_min is None else f"{figures.map_correlation_min:.4f}"
    lack = "no map" if figures.map_correlation_min is None else "the normal images have too few pixels"
    marked = lack if figures.aupimo_lost is None else f"{figures.aupimo_lost:.4f}   on synthetic defects"
    lines = [
        f"{found.second} against {found.first}, {figures.images} normals and {figures.defects} synthetic defects",
        f"  rank correlation   {figures.spearman:.4f}   of normals alone {figures.spearman_normals:.4f}",
        f"  worst map          {heat}",
        f"  score error        {figures.score_max_rel:.1e} relative, {figures.score_max_abs:.3g} absolute, at most",
        f"  ROC-AUC lost       {figures.roc_auc_lost:.4f}   on synthetic defects",
        f"  AUPIMO lost        {marked}",
        f"  false rejects      {figures.more_false_rejects:+d} of {figures.images} normals, both calibrated anew",
        f"  latency            {figures.latency_ms:.2f} ms   of the first {found.first_latency_ms:.2f} ms",
        f"  size               {figures.size_bytes / 1e6:.1f} MB   of the first {found.first_size_bytes / 1e6:.1f} MB",
    ]
    if figures.labelled:
        real = figures.labelled
        pixels = "" if real.pixel_roc_auc is None else f", pixel ROC-AUC {real.pixel_roc_auc:.4f}"
        if real.aupimo is not None and real.aupimo_lost is not None:
            pixels += f", AUPIMO {real.aupimo:.4f}, {real.aupimo_lost:+.4f} lost"
        lines.append(
            f"  real anomalies     ROC-AUC {real.roc_auc:.4f}, {real.roc_auc_lost:+.4f} lost, "
            f"AP {real.average_precision:.4f}{pixels}"
        )
    return lines
