"""Checks what a station file names, and runs the station."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import DEFAULT_STATION, Bundle
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.link import LinkServer, default_path
from edge_ad.station.loop import StationLoop
from edge_ad.station.part_outputs import JsonLinesOutput, QueuedOutput

if TYPE_CHECKING:
    from edge_ad.link.messages import Event
    from edge_ad.station.parts import InspectedPart
    from edge_ad.station.station_file import InspectionSettings, StationFile

__all__ = ["check_station", "run_station"]


def check_station(file: StationFile) -> None:
    """Opens every bundle that the file names, and looks whether folders and files are there. Starts nothing.

    Raises:
        InputError: a folder, an image source, a variant or a calibration is not there; the message names the entry.
        BundleError: a bundle is damaged.
    """
    for recipe in file.recipes:
        for name, one in file.inspections(recipe).items():
            where = f"inspect.{name}" if recipe not in file.recipe else f"recipe.{recipe}, inspect.{name}"
            try:
                _check_bundle(one)
            except EdgeAdError as error:
                raise type(error)(f"{where}: {error}") from None
    for name, camera in file.camera.items():
        if camera.is_files and not Path(camera.source).exists() and "*" not in camera.source:
            raise InputError(f"camera.{name}.source: no file or folder {camera.source}")
    for name, output in file.output.items():
        _check_folder(Path(output.path).parent, f"output.{name}.path")
    if file.link is not None and file.link.socket is not None:
        _check_folder(Path(file.link.socket).parent, "link.socket")


def run_station(file: StationFile, told: Callable[[Event | InspectedPart], None] = lambda _: None) -> StationLoop:
    """Runs the station until it is asked to stop, or until the files that are its cameras end. The loop that ran.

    Raises:
        InputError: the socket cannot be made.
        LinkError: another station has the socket.
    """
    with ExitStack() as stack:
        link = None
        if file.link is not None:
            path = Path(file.link.socket) if file.link.socket else default_path(file.station.name)
            link = LinkServer(path, station=file.station.name, mode=int(file.link.mode, 8))
            stack.enter_context(closing(link))
        outputs = tuple(
            QueuedOutput(name, JsonLinesOutput(Path(one.path)), one.queue) for name, one in file.output.items()
        )
        loop = StationLoop(file, link=link, outputs=outputs, told=told)
        loop.run()
        return loop


def _check_bundle(one: InspectionSettings) -> None:
    bundle = Bundle.open(one.bundle)
    variant = bundle.variant(one.variant)
    record = bundle.calibration(variant)
    if record is None:
        raise InputError(f"{variant.id} of {one.bundle} is not calibrated: run  edge-ad calibrate {one.bundle}")
    wanted = one.calibration or DEFAULT_STATION
    if wanted not in record.stations:
        raise InputError(f"no calibration {wanted!r} in {one.bundle}: there are {', '.join(sorted(record.stations))}")


def _check_folder(folder: Path, where: str) -> None:
    if not folder.is_dir():
        raise InputError(f"{where}: the folder {folder} does not exist: create it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{where}: the folder {folder} may not be written to: choose another")
