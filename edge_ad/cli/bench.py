"""``edge-ad bench``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import as_json, bundle_argument, echo_json, engine_options, parse_size
from edge_ad.engines.base import EngineOptions


@click.command()
@bundle_argument
@engine_options
@click.option("--frame-size", metavar="WxH", callback=parse_size, help="Scale the golden frame to this size first.")
@click.option("--runs", type=click.IntRange(min=10), default=200, show_default=True, help="How many frames.")
@as_json
def bench(
    bundle: Path,
    variant: str | None,
    device: str,
    threads: int | None,
    cache_dir: Path | None,
    frame_size: tuple[int, int] | None,
    runs: int,
    as_json: bool,
) -> None:
    """Time BUNDLE on this device, from a frame in memory to its verdict, beside the bare engine."""
    from edge_ad.benchmark import bench_bundle

    report = bench_bundle(bundle, variant, EngineOptions(device, threads, cache_dir), frame_size=frame_size, runs=runs)
    if as_json:
        echo_json(report)
        return
    used = report.engine
    click.echo(f"{report.variant} on {used.name} {used.version}, {used.device}, {used.threads or 'its own'} threads")
    click.echo(f"  frame {report.frame}, {report.runs} runs, engine and verdict in turn")
    for name, value in (
        ("verdict", report.verdict),
        ("bare engine", report.bare),
        ("geometry", report.geometry),
    ):
        click.echo(f"  {name:<12} p50 {value.p50:8.3f} ms   p99 {value.p99:8.3f} ms")
    click.echo(f"  {report.frames_per_second:.1f} frames/s; {report.ratio:.3f} x the bare engine")
