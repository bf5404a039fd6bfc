"""``edge-ad init``, ``edge-ad run`` and ``edge-ad replay``."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FILE, FOLDER, PATH, VARIANT, bundle_argument
from edge_ad.errors import EdgeAdError, InputError, counted, visible

if TYPE_CHECKING:
    from edge_ad.station import InspectedPart
    from edge_ad.verdict import Verdict


_PRINT_QUEUE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``edge-ad run`` does and prints."""

    check: bool = False
    json: bool = False
    schema: bool = False


RUN = OptionGroup(
    COMMON,
    RunOptions,
    (
        option("--check", is_flag=True, help="Only check the station file, the bundles and the folders that it names."),
        option("--json", is_flag=True, help="Print one JSON object for each part instead of a line of text."),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """What the new station file says."""

    source: str | None
    output: Path = Path("station.toml")
    name: str = "station"
    force: bool = False


INIT = OptionGroup(
    COMMON,
    InitOptions,
    (
        option(
            "--source",
            metavar="SOURCE",
            help="Where the frames come from: a camera such as /dev/video0, a URL, a folder of images or a video file. "
            "Without it, the first camera of this machine.",
        ),
        option(
            "-o",
            "--output",
            into="output",
            metavar="FILE",
            type=FILE,
            help="The station file to write.",
        ),
        option("--name", metavar="NAME", help="The name of the station, also of its socket."),
        option("--force", is_flag=True, help="Replace a file that is there."),
    ),
)


@command(options=INIT)
@bundle_argument
def init(bundle: Path, options: InitOptions) -> None:
    """Write a station file for BUNDLE and one camera.

    Comments in it say what may be changed.
    """
    from edge_ad.bundle import Bundle
    from edge_ad.files import atomic_write
    from edge_ad.station import check_station, read_station_file
    from edge_ad.station.template import find_camera, station_template

    if options.output.exists() and not options.force:
        raise InputError(f"{options.output} is there already: choose another name with -o, or replace it with --force")
    source = options.source or find_camera()
    from_there, manifest = _relative_to(options.output), Bundle.open(bundle).manifest
    title = f"{manifest.name}@{manifest.version}"
    text = station_template(options.name, from_there(source), from_there(str(bundle)), title)
    atomic_write(options.output, text.encode())
    try:
        check_station(read_station_file(options.output))
    except EdgeAdError as error:
        click.echo(f"edge-ad: {options.output} was written, but is not in order yet: {error}", err=True)
        return
    click.echo(f"{options.output}: run it with  edge-ad run {options.output}", err=True)


def _relative_to(file: Path) -> Callable[[str], str]:
    """Names as the station file has to give them: existing files relative to it, everything else as it is."""

    def renamed(name: str) -> str:
        return os.path.relpath(name, file.parent) if Path(name).exists() and not Path(name).is_absolute() else name

    return renamed


@command(options=RUN)
@click.argument("file", type=FILE)
def run(file: Path, options: RunOptions) -> None:
    """Run a station, and print a result for each part.

    The log goes to standard error.

    The station runs until it is stopped with Ctrl-C or SIGTERM, or until cameras that are files have come to their end.
    """
    from edge_ad.cli.deploy import recorder
    from edge_ad.station import check_station, read_station_file, run_station
    from edge_ad.station.part_outputs import PrintedParts, QueuedOutput

    station = read_station_file(file)
    with _named(file):
        for warning in check_station(station):
            click.echo(f"edge-ad: warning: {file}: {warning}", err=True)
        if station.controller:
            from edge_ad.controllers import check_controllers

            check_controllers(station, file.absolute().parent)
    if options.check:
        names = f"cameras {', '.join(station.camera)}; inspections {', '.join(station.inspect)}"
        click.echo(f"{file}: in order: {names}", err=True)
        return
    gc.freeze()  # what is there now stays: a collection in between need not look at it again and again
    lines = PrintedParts(sys.stdout.buffer, _as_json if options.json else _as_text)
    printed = QueuedOutput("standard output", lines, _PRINT_QUEUE)
    loop = run_station(station, record=recorder(station.audit, "station"), also=(printed,))
    if lost := printed.dropped + printed.failed:
        why = "whoever reads standard output was too slow, or it could not be written"
        click.echo(f"edge-ad: warning: {counted(lost, 'result')} not printed: {why}", err=True)
    counts = ", ".join(f"{count} {name}" for name, count in loop.core.counters.parts.items())
    click.echo(f"{counted(sum(loop.core.counters.parts.values()), 'part')}: {counts}", err=True)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Says of which station file an error speaks."""
    try:
        yield
    except EdgeAdError as error:
        raise error if str(error).startswith(str(file)) else error.saying(f"{file}: {error}") from None


def _as_json(part: InspectedPart) -> bytes:
    import msgspec

    return msgspec.json.encode(part)


def _as_text(part: InspectedPart) -> bytes:
    scores = ", ".join(
        f"{one.inspection} {one.verdict.score:.4g}" for one in part.frames if one.verdict.score is not None
    )
    why = f"({part.reason}: {part.detail})" if part.reason else ""
    line = f"{part.part_id}  {part.state.value:7} {scores}  {part.latency_ms:.1f} ms {why}".rstrip()
    return visible(line).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """By what kept frames are scored again."""

    bundle: Path | None
    variant: str | None
    station: str | None
    threshold: float | None
    json: bool = False


REPLAY = OptionGroup(
    COMMON,
    ReplayOptions,
    (
        option("--bundle", type=PATH, metavar="BUNDLE", help="The calibrated bundle to score with."),
        option(
            "--threshold", type=float, metavar="SCORE", help="Judge by this threshold instead of the calibration's."
        ),
        option(
            "--station",
            metavar="NAME",
            help="Use the thresholds of this group, for a bundle that is calibrated for several groups.",
        ),
        VARIANT,
        option("--json", is_flag=True, help="Print one JSON object for each frame instead of a line of text."),
    ),
)


@command(options=REPLAY)
@click.argument("evidence", type=FOLDER)
def replay(evidence: Path, options: ReplayOptions) -> None:
    """Score kept frames again, and say which verdicts change.

    EVIDENCE is the folder in which a station keeps its evidence.
    """
    import msgspec

    from edge_ad.detector import Detector
    from edge_ad.station.replay import judged_by, replay_evidence

    if options.bundle is None:
        raise InputError(f"give with --bundle the bundle to score with: {judged_by(evidence)}")
    frames = changed = 0
    with Detector.open(options.bundle, options.variant, options.station) as detector:
        if detector.calibration is None and options.threshold is None:
            raise InputError(f"{options.bundle} is not calibrated: calibrate it, or give a --threshold")
        for one in replay_evidence(evidence, detector, options.threshold):
            frames += 1
            changed += one.is_changed
            before, now = one.record.verdict, one.now
            if options.json:
                line = {"path": str(one.path), "part_id": one.record.part_id, "before": before, "now": now}
                sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            elif one.is_changed:
                was, is_now = (
                    f"{v.state.value} {v.score if v.score is None else f'{v.score:.4g}'}" for v in (before, now)
                )
                click.echo(f"{one.path}  part {one.record.part_id}  {was} -> {is_now}")
    click.echo(f"{counted(frames, 'frame')}, {counted(changed, 'verdict')} would change", err=True)


def _said(verdict: Verdict) -> str:
    return verdict.state.value if verdict.score is None else f"{verdict.state.value} {verdict.score:.4g}"
