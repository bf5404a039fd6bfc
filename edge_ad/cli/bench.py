"""``edge-ad bench``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import OptionGroup, Parsed, command, option
from edge_ad.cli.options import ENGINE, VARIANT, as_json, bundle_argument, echo_json, parse_size

if TYPE_CHECKING:
    from edge_ad.engines.base import EngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is timed."""

    variant: str | None
    frame_size: tuple[int, int] | None
    runs: int


MEASUREMENT = OptionGroup(
    "What is timed",
    BenchOptions,
    (
        VARIANT,
        option(
            "--frame-size",
            type=Parsed("WxH", parse_size),
            help="Scale the golden frame of the bundle to this size in pixels first, such as 1920x1080.",
        ),
        option(
            "--runs",
            default_of="edge_ad.benchmark:bench_bundle.runs",
            type=click.IntRange(min=10),
            metavar="N",
            help="The number of frames that are timed.",
        ),
    ),
)


@command(options=MEASUREMENT, engine=ENGINE)
@bundle_argument
@as_json
def bench(bundle: Path, options: BenchOptions, engine: EngineOptions, as_json: bool) -> None:
    """Measure how long BUNDLE takes on this device.

    The time runs from a frame in memory to its verdict. The time of the engine alone is shown beside it.
    """
    from edge_ad.benchmark import bench_bundle

    report = bench_bundle(bundle, options.variant, engine, frame_size=options.frame_size, runs=options.runs)
    if as_json:
        echo_json(report)
        return
    used = report.engine
    threads = used.threads or "the engine's own number of"
    click.echo(f"{report.variant} on {used.name} {used.version}, {used.device}, {threads} threads")
    click.echo(f"  frame {report.frame}, {report.runs} runs, the whole verdict and the engine alone in turn")
    for name, value in (
        ("whole verdict", report.verdict),
        ("engine alone", report.bare),
        ("geometry", report.geometry),
    ):
        click.echo(f"  {name:<13} median {value.p50:8.3f} ms   99 % below {value.p99:8.3f} ms")
    click.echo(f"  {report.frames_per_second:.1f} frames/s; {report.ratio:.3f} times the engine alone")
