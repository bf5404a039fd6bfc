"""``edge-ad score``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.drift_options import KEEP, WATCH, KeepOptions, WatchOptions, describe_drift
from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import ENGINE, FILE, PATH, VARIANT, bundle_argument, find_bundle
from edge_ad.errors import InputError, counted
from edge_ad.files import check_folder, check_output

if TYPE_CHECKING:
    from edge_ad.detector import Detector
    from edge_ad.engines.base import EngineOptions
    from edge_ad.outputs import Sink
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad.stream import Tally

_LOOK_ONLY = "it is here to look at, and its verdicts are not those of the model"
VIDEO_SUFFIXES = {".mp4", ".avi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where the verdicts go."""

    json: bool = False
    csv: Path | None
    annotate: Path | None

    def check(self) -> None:
        """Raises before anything is scored what would come out with the first frame, or with the last one.

        Raises:
            InputError, OutputError: a place cannot be written to.
        """
        if self.csv is not None:
            check_output(self.csv, "--csv")
        if self.annotate is None:
            return
        if self.annotate.suffix.lower() in VIDEO_SUFFIXES:
            check_output(self.annotate, "--annotate")
        else:
            check_folder(self.annotate, f"--annotate {self.annotate}")

    def open_sinks(self, *, fps: float | None, verdicts: bool, objects: bool) -> list[Sink]:
        """One sink for each place."""
        from edge_ad.outputs import CsvSink, JsonLinesSink, PictureSink, TextSink, VideoSink

        sinks: list[Sink] = []
        if self.csv is not None:
            sinks.append(CsvSink(self.csv, verdicts=verdicts, objects=objects))
        if self.annotate is not None:
            video = self.annotate.suffix.lower() in VIDEO_SUFFIXES
            sinks.append(VideoSink(self.annotate, fps=fps) if video else PictureSink(self.annotate))
        # Last, so that no line is printed for a frame that could not be written elsewhere.
        lines = JsonLinesSink if self.json else TextSink
        return [*sinks, lines(sys.stdout.buffer, verdicts=verdicts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """By what the sources are scored."""

    variant: str | None
    station: str | None
    objects: Path | None
    self_test: bool = True

    def read_objects(self, detector: Detector) -> ObjectTable | None:
        """Where the objects are. Raises :class:`InputError` where the bundle and --objects do not go together."""
        from edge_ad.sources.object_table import read_objects

        by_object = detector.bundle.manifest.geometry.level == "object"
        if by_object and self.objects is None:
            raise InputError("this bundle scores objects: say where they are with --objects FILE.csv")
        if self.objects is not None and not by_object:
            raise InputError("this bundle scores whole frames: leave out --objects, or export with --level object")
        return None if self.objects is None else read_objects(self.objects)


OUTPUT = OptionGroup(
    COMMON,
    OutputOptions,
    (
        option("--json", is_flag=True, help="Print one JSON object for each frame instead of a line of text."),
        option("--csv", metavar="FILE", type=FILE, help="Also write the results to this CSV file, one row per frame."),
        option(
            "--annotate",
            metavar="PLACE",
            type=PATH,
            help="Also write each frame with its anomaly map and the marked regions. PLACE is a folder for pictures, "
            "or one video if its name ends in .mp4 or .avi.",
        ),
    ),
)

SCORING = OptionGroup(
    "How frames are scored",
    ScoreOptions,
    (
        option(
            "--station",
            heading=COMMON,
            metavar="NAME",
            help="Use the thresholds of this group, for a bundle that is calibrated for several groups.",
        ),
        VARIANT,
        option(
            "--objects",
            metavar="FILE",
            type=FILE,
            help="For a bundle that scores objects: a CSV file that says where the objects are in each frame, with the "
            "columns path, x, y, width and height.",
        ),
        option(
            "--self-test/--no-self-test",
            help="Score the golden frames of the bundle first, and stop if this device gives other scores for them.",
        ),
    ),
)


@command(output=OUTPUT, options=SCORING, watching=WATCH, keeping=KEEP, engine=ENGINE)
@bundle_argument
@click.argument("sources", nargs=-1, required=True)
def score(
    bundle: Path,
    sources: tuple[str, ...],
    output: OutputOptions,
    options: ScoreOptions,
    watching: WatchOptions,
    keeping: KeepOptions,
    engine: EngineOptions,
) -> None:
    """Score images with BUNDLE and print a verdict for each of them.

    SOURCES are image files, folders, patterns such as 'img/*.png', videos, the number of a camera, URLs of streams,
    or .npy files of vectors. A bundle that is not calibrated prints scores without verdicts.
    """
    from edge_ad.detector import Detector
    from edge_ad.sources import open_source
    from edge_ad.stream import Tally, score_frames

    _check_order(bundle, sources)
    output.check()
    keeping.check()
    watching.check()
    tally = Tally()
    with ExitStack() as stack:
        opened = [stack.enter_context(open_source(source)) for source in sources]
        detector = stack.enter_context(
            Detector.open(bundle, options.variant, options.station, engine=engine, self_test=options.self_test)
        )
        if detector.scorer.takes_vectors and (output.annotate or keeping.folder):
            raise InputError("--annotate and --keep take pictures, and this bundle takes vectors: leave them out")
        if (reason := detector.bundle.manifest.rejected(detector.variant.id)) is not None:
            click.echo(f"edge-ad: warning: export rejected {detector.variant.id} ({reason}): {_LOOK_ONLY}", err=True)
        calibrated = detector.calibration is not None
        for one in detector.passed_over:
            click.echo(f"edge-ad: warning: {one}", err=True)
        if detector.choice is not None:
            click.echo(f"edge-ad: {detector.choice}", err=True)
        for one in detector.notices:
            click.echo(f"edge-ad: warning: {one}", err=True)
        _warn_of_limits(detector)
        objects = options.read_objects(detector)
        watch = watching.open_watch(detector)
        if watch is not None:
            stack.enter_context(closing(watch))
        sinks: list[Sink] = [*keeping.open_sinks(detector)]
        sinks += output.open_sinks(fps=opened[0].fps, verdicts=calibrated, objects=objects is not None)
        for sink in sinks:
            stack.enter_context(closing(sink))
        for source in opened:
            score_frames(detector, source, sinks, tally, watch, objects)
    if not output.json:
        click.echo(_summary(tally, verdicts=calibrated), err=True)
        if watch is not None:
            click.echo(describe_drift(watch.drift()), err=True)


def _check_order(bundle: Path, sources: tuple[str, ...]) -> None:
    """Raises :class:`InputError` where a source is a bundle and the bundle is none: they were swapped."""
    swapped = None if find_bundle(bundle) else next((one for one in sources if find_bundle(Path(one))), None)
    if swapped is not None:
        raise InputError(
            f"{bundle} is not a bundle, but {swapped} is: the bundle comes first, edge-ad score {swapped} {bundle}"
        )


def _warn_of_limits(detector: Detector) -> None:
    """Says once that frames which are out of the ordinary may be accepted."""
    from edge_ad.bundle.frame_limits import missing_limits

    missing = None if detector.scorer.takes_vectors else missing_limits(detector.frame_limits)
    if detector.calibration is not None and missing is not None:
        click.echo(f"edge-ad: warning: {missing}", err=True)


def _summary(tally: Tally, *, verdicts: bool) -> str:
    frames = counted(tally.frames, "frame")
    if not verdicts:
        return f"{frames}; scores without verdicts: the bundle is not calibrated (run edge-ad calibrate)"
    return f"{frames}: " + ", ".join(f"{n} {state.value}" for state, n in tally.counts.items())
