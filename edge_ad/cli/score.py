"""``edge-ad score``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_ad.cli.drift_options import WatchOptions, describe_drift, watch_options
from edge_ad.cli.options import as_json, bundle_argument, engine_options
from edge_ad.engines.base import EngineOptions
from edge_ad.errors import InputError

if TYPE_CHECKING:
    from edge_ad.detector import Detector
    from edge_ad.outputs import Sink
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad.stream import Tally

VIDEO_SUFFIXES = {".mp4", ".avi"}


@click.command()
@bundle_argument
@click.argument("sources", nargs=-1, required=True)
@engine_options
@click.option("--station", metavar="NAME", help="Whose calibration to use, where the bundle has several.")
@as_json
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Also write a CSV file.")
@click.option(
    "--annotate",
    type=click.Path(path_type=Path),
    help="Also write pictures with anomaly map and boxes into this folder, or one video where it ends in .mp4 or .avi.",
)
@click.option(
    "--objects",
    "objects_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the objects are, for a bundle that scores objects: a CSV file with path, x, y, width and height.",
)
@watch_options
@click.option("--self-test/--no-self-test", default=True, help="Replay the golden frames first (default: yes).")
def score(
    bundle: Path,
    sources: tuple[str, ...],
    variant: str | None,
    device: str,
    threads: int | None,
    cache_dir: Path | None,
    station: str | None,
    as_json: bool,
    table: Path | None,
    annotate: Path | None,
    objects_file: Path | None,
    self_test: bool,
    **watching: Any,
) -> None:
    """Inspect SOURCES with BUNDLE: image files, folders, globs, videos, a camera's number, URLs, .npy files of vectors.

    Prints a line a frame, with --json an object a frame. An uncalibrated bundle prints scores only.
    """
    from edge_ad.detector import Detector
    from edge_ad.sources import open_source
    from edge_ad.stream import Tally, score_frames

    options, tally, watch_for = EngineOptions(device, threads, cache_dir), Tally(), WatchOptions(**watching)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_source(source)) for source in sources]
        detector = stack.enter_context(Detector.open(bundle, variant, station, engine=options, self_test=self_test))
        if detector.scorer.takes_vectors and (annotate or watch_for.keep):
            raise InputError("--annotate and --keep take pictures, and this bundle takes vectors: leave them out")
        calibrated = detector.calibration is not None
        objects = _objects(detector, objects_file)
        watch = watch_for.open_watch(detector)
        if watch is not None:
            stack.enter_context(closing(watch))
        sinks: list[Sink] = [*watch_for.open_keep(detector)]
        by_object = objects is not None
        sinks += _sinks(as_json, table, annotate, fps=opened[0].fps, verdicts=calibrated, objects=by_object)
        for sink in sinks:
            stack.enter_context(closing(sink))
        for source in opened:
            score_frames(detector, source, sinks, tally, watch, objects)
    if not as_json:
        click.echo(_summary(tally, verdicts=calibrated), err=True)
        if watch is not None:
            click.echo(describe_drift(watch.drift()), err=True)


def _objects(detector: Detector, file: Path | None) -> ObjectTable | None:
    """Where the objects are; a bundle of objects without them, or the other way round, is a mistake of the caller."""
    from edge_ad.sources.object_table import read_objects

    by_object = detector.bundle.manifest.geometry.level == "object"
    if by_object and file is None:
        raise InputError("this bundle scores objects: say where they are with --objects FILE.csv")
    if file is not None and not by_object:
        raise InputError("this bundle scores whole frames: leave out --objects, or export with --level object")
    return None if file is None else read_objects(file)


def _sinks(
    as_json: bool, table: Path | None, annotate: Path | None, *, fps: float | None, verdicts: bool, objects: bool
) -> list[Sink]:
    from edge_ad.outputs import CsvSink, JsonLinesSink, PictureSink, TextSink, VideoSink

    sinks: list[Sink] = []
    if table is not None:
        sinks.append(CsvSink(table, verdicts=verdicts, objects=objects))
    if annotate is not None:
        is_video = annotate.suffix.lower() in VIDEO_SUFFIXES
        sinks.append(VideoSink(annotate, fps=fps) if is_video else PictureSink(annotate))
    # Last, so that no line is printed for a frame that could not be written elsewhere.
    lines = JsonLinesSink if as_json else TextSink
    return [*sinks, lines(sys.stdout.buffer, verdicts=verdicts)]


def _summary(tally: Tally, *, verdicts: bool) -> str:
    if not verdicts:
        return f"{tally.frames} frames; scores only: the bundle is not calibrated (edge-ad calibrate)"
    return f"{tally.frames} frames: " + ", ".join(f"{n} {state.value}" for state, n in tally.counts.items())
