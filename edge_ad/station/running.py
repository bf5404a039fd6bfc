"""Checks what a station file names, and runs the station."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import DEFAULT_STATION, Bundle, TrustStore
from edge_ad.bundle.frame_limits import missing_limits
from edge_ad.errors import EdgeAdError, InputError, OutputError, SourceError
from edge_ad.link import LinkServer, default_path
from edge_ad.station.digital_input import KernelInput, TriggerInput
from edge_ad.station.digital_output import DigitalOutput, KernelLine, check_gpio
from edge_ad.station.kept_counts import CountsFile, KeptCounts, read_counts
from edge_ad.station.loop import StationLoop
from edge_ad.station.metrics import check_metrics
from edge_ad.station.part_outputs import CsvOutput, JsonLinesOutput, PartOutput, QueuedOutput
from edge_ad.station.proving import StationProofs
from edge_ad.station.station_log import StationLog, log_event, open_log
from edge_ad.station.updating import StationUpdates, damaged_bundles, in_force
from edge_ad.station.watching import StationWatch
from edge_ad.update import slot_number

if TYPE_CHECKING:
    from edge_ad.link.messages import Event
    from edge_ad.station.digital_input import InputSettings
    from edge_ad.station.output_settings import OutputSettings
    from edge_ad.station.parts import InspectedPart
    from edge_ad.station.station_file import InspectionSettings, StationFile
    from edge_ad.update.road import RecordStep

__all__ = ["check_station", "run_station"]

logger = logging.getLogger(__name__)

_PULSE_MS = 100
_QUEUE = 1_000


def check_station(file: StationFile) -> tuple[str, ...]:
    """Opens every bundle that the file names, and looks whether folders and files are there. Starts nothing.

    Returns what is in order and should be known all the same: which calibrations may accept a black frame.

    Raises:
        InputError: a folder, an image source, a variant or a calibration is not there; the message names the entry.
        MissingExtraError: something that the file asks for is not installed.
        BundleError: a bundle is damaged.
    """
    warnings = _check_bundles(file)
    for name, camera in file.camera.items():
        if camera.is_files and not Path(camera.source).exists() and "*" not in camera.source:
            raise InputError(f"camera.{name}.source: no file or folder {camera.source}")
    for name, output in file.output.items():
        if output.path is not None:
            _check_folder(Path(output.path).parent, f"output.{name}.path")
        elif output.kind == "gpio":
            check_gpio()
    if file.input is not None:
        check_gpio()
    for name in ("update", "drift", "preview", "teaching"):
        folder = getattr(getattr(file, name), "folder", None)
        if folder is not None:
            _check_folder(Path(folder).parent, f"{name}.folder")
    for name in ("counters", "metrics", "log", "proof"):
        kept = getattr(getattr(file, name), "file", None)
        if kept is not None:
            _check_folder(Path(kept).parent, f"{name}.file")
    if file.metrics is not None:
        check_metrics()
    if file.link is not None and file.link.socket is not None:
        _check_folder(Path(file.link.socket).parent, "link.socket")
    return warnings


def run_station(
    file: StationFile,
    told: Callable[[Event | InspectedPart], None] = lambda _: None,
    record: RecordStep | None = None,
    *,
    also: tuple[QueuedOutput, ...] = (),
) -> StationLoop:
    """Runs the station until it is asked to stop, or until the files that are its cameras end. The loop that ran.

    ``told`` is called in the station's own loop, so it must not wait. ``record``: puts what becomes of a deployed
    bundle into the audit trail. ``also``: more outputs than those of the file; they are closed at the end.

    Raises:
        InputError: the socket cannot be made, or the counters are those of another station.
        LinkError: another station has the socket.
        OutputError: a digital output cannot be driven.
        SourceError: the digital input cannot be read.
    """
    with ExitStack() as stack:
        watch = _watched(file, stack.enter_context(open_log(file.log)))
        updates = None
        if file.update is not None:
            updates = stack.enter_context(closing(StationUpdates(file, record)))
            for said in updates.begin():
                log_event(logger, logging.WARNING, "update", said)
        file = in_force(file)
        outputs = list(also)
        for name, one in file.output.items():
            if one.kind != "video":  # the scorers write those
                outputs.append(QueuedOutput(name, _opened(name, one), one.queue or _QUEUE))
                stack.callback(outputs[-1].close)
        link = None
        if file.link is not None:
            path = Path(file.link.socket) if file.link.socket else default_path(file.station.name)
            link = LinkServer(path, station=file.station.name, mode=int(file.link.mode, 8))
            stack.enter_context(closing(link))
        trigger = None
        if file.input is not None:
            trigger = stack.enter_context(closing(_opened_input(file.input)))
        proofs = None if file.proof is None else stack.enter_context(closing(StationProofs(file)))
        loop = StationLoop(
            file,
            link=link,
            outputs=tuple(outputs),
            told=told,
            watch=watch,
            trigger=trigger,
            updates=updates,
            proofs=proofs,
        )
        loop.run()
        return loop


def _opened_input(settings: InputSettings) -> TriggerInput:
    try:
        return TriggerInput(lambda: KernelInput(settings))
    except SourceError as error:
        raise SourceError(f"input: {error}") from None


def _opened(name: str, settings: OutputSettings) -> PartOutput:
    """The output of these settings. A digital one lets no part pass from now on."""
    if settings.kind == "gpio":
        chip, line = settings.chip or "", 0 if settings.line is None else settings.line
        is_low = bool(settings.active_low)
        try:
            return DigitalOutput(
                lambda driven: KernelLine(chip, line, active_low=is_low, driven=driven),
                settings.signal or "reject",
                settings.pulse_ms or _PULSE_MS,
            )
        except OutputError as error:
            raise OutputError(f"output.{name}: {error}") from None
    path = Path(settings.path or "")
    return CsvOutput(path) if settings.kind == "csv" else JsonLinesOutput(path)


def _watched(file: StationFile, log: StationLog) -> StationWatch:
    """Follows the station, with the counts that it had when it stopped."""
    if file.counters is None:
        return StationWatch(file, KeptCounts(CountsFile(station=file.station.name)), log)
    counts, damage = read_counts(Path(file.counters.file), file.station.name)
    if damage is not None:
        log_event(logger, logging.WARNING, "counters", damage)
    return StationWatch(file, KeptCounts(counts, file.counters.shift_starts), log)


def _check_bundles(file: StationFile) -> tuple[str, ...]:
    """Which deployed bundles are damaged, and what the calibrations of all recipes lack in limits of frames."""
    damaged = damaged_bundles(file)
    try:
        return damaged + _check_used(in_force(file))
    except EdgeAdError as error:  # whoever reads that the named bundle is refused is to know why it is used at all
        raise error.saying("; ".join((str(error), *damaged))) from error


def _check_used(file: StationFile) -> tuple[str, ...]:
    warnings = []
    store = None if file.trust is None else TrustStore(Path(file.trust.store))
    for recipe in file.recipes:
        for name, one in file.inspections(recipe).items():
            where = f"recipe.{recipe}.inspect.{name}" if recipe in file.recipe else f"inspect.{name}"
            missing = _check_bundle(one, store, where, may_teach=file.teaching is not None)
            if missing is not None:
                warnings.append(f"{where}: {missing}")
    return tuple(warnings)


def _check_bundle(one: InspectionSettings, store: TrustStore | None, where: str, *, may_teach: bool) -> str | None:
    """What its calibration lacks in limits of frames. ``where``: its table in the file, for messages."""
    with _entry(f"{where}.bundle"):
        bundle = Bundle.open(one.bundle)
        if store is not None:
            store.check(bundle, was_taken=slot_number(one.bundle) is not None)
    with _entry(f"{where}.variant"):
        variant = bundle.variant(one.variant, one.calibration)
    with _entry(f"{where}.bundle"):
        record = bundle.calibration(variant)
        if record is None and may_teach:
            return "it is not calibrated, so every part is INVALID until good parts have been taught"
        if record is None:
            raise InputError(
                f"{variant.id} of {one.bundle} is not calibrated: run  edge-ad calibrate {one.bundle}  or teach it "
                "good parts, with a table [teaching]"
            )
    wanted, known = one.calibration or DEFAULT_STATION, ", ".join(sorted(record.stations))
    if wanted not in record.stations and may_teach:
        return f"it has no calibration {wanted!r}, so every part is INVALID until good parts have been taught"
    if wanted not in record.stations:
        raise InputError(f"{where}.calibration: no calibration {wanted!r} in {one.bundle}: there are {known}")
    return missing_limits(record.stations[wanted].frame_limits)


@contextmanager
def _entry(where: str) -> Iterator[None]:
    """Says which entry of the file an error is about."""
    try:
        yield
    except EdgeAdError as error:
        raise error.saying(f"{where}: {error}") from None


def _check_folder(folder: Path, where: str) -> None:
    if not folder.is_dir():
        raise InputError(f"{where}: the folder {folder} does not exist: create it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{where}: the folder {folder} may not be written to: choose another")
