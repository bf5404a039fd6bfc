"""Writes the calibrations of a bundle, keeps the ones that were replaced, and takes them back."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle.reader import calibration_name
from edge_ad.bundle.records import CALIBRATION_FORMAT, CalibrationRecord
from edge_ad.bundle.seal import UNSEALED, sealed_json
from edge_ad.errors import BundleError, InputError
from edge_ad.files import atomic_write, output_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_ad.bundle.reader import Bundle
    from edge_ad.bundle.records import AnyCalibration, Variant

__all__ = [
    "KEPT",
    "EarlierCalibration",
    "WrittenCalibration",
    "list_earlier",
    "restore_calibration",
    "write_calibration",
    "write_calibrations",
]

KEPT = 5
"""So many calibrations of each station are kept after they were replaced."""

_HISTORY = "calibration.history"


@dataclass(frozen=True, slots=True)
class EarlierCalibration:
    """A calibration that was replaced. ``number``: of its file; a later one has a larger number."""

    number: int
    stations: Mapping[str, AnyCalibration]


@dataclass(frozen=True, slots=True)
class WrittenCalibration:
    """The file that was written. ``replaced``: what was there for these stations before, if anything was."""

    path: Path
    replaced: EarlierCalibration | None


def write_calibration(bundle: Bundle, variant: Variant, station: str, calibration: AnyCalibration) -> Path:
    """As :func:`write_calibrations`, for one station. Returns the file written."""
    return write_calibrations(bundle, variant, {station: calibration}).path


def write_calibrations(
    bundle: Bundle, variant: Variant, calibrations: Mapping[str, AnyCalibration]
) -> WrittenCalibration:
    """Adds or replaces the calibrations of stations, all of them or none; the other stations' stay.

    What is replaced is kept in the folder ``calibration.history`` beside the file, the last :data:`KEPT` of each
    station. A damaged record, or one bound to another artefact or geometry, is replaced as a whole and not kept.

    Raises:
        InputError: the bundle is packed, or a calibration holds what no file may hold.
        OutputError: a file cannot be written; the calibration that was there stays.
    """
    _check_folder(bundle)
    path = bundle.path / calibration_name(variant)
    stations: dict[str, AnyCalibration] = {}
    with contextlib.suppress(BundleError):
        previous = bundle.calibration(variant)
        stations |= previous.stations if previous else {}
    data = _sealed(bundle, variant, stations | dict(calibrations))
    replaced = {name: stations[name] for name in calibrations if name in stations}
    with contextlib.ExitStack() as undo:
        kept = _keep(bundle, variant, replaced, undo) if replaced else None
        atomic_write(path, data)
        undo.pop_all()
    _forget(bundle, variant)
    return WrittenCalibration(path, kept)


def list_earlier(bundle: Bundle, variant: Variant) -> tuple[EarlierCalibration, ...]:
    """The calibrations that were replaced and can be taken back, the oldest first."""
    found = []
    for number, path in _files(bundle, variant):
        with contextlib.suppress(BundleError, OSError):
            found.append(EarlierCalibration(number, _read(bundle, variant, path).stations))
    return tuple(found)


def restore_calibration(bundle: Bundle, variant: Variant, number: int) -> WrittenCalibration:
    """Takes an earlier calibration back for the stations that it has. What they have now is kept in its turn.

    Raises:
        InputError: there is none of this number, or the bundle is packed.
        BundleError: it is damaged, or was made for another artefact or geometry.
        OutputError: a file cannot be written.
    """
    _check_folder(bundle)
    files = dict(_files(bundle, variant))
    if number not in files:
        there = ", ".join(map(str, files)) or "none"
        raise InputError(f"{variant.id} of {bundle.path} has no earlier calibration {number}: there are {there}")
    return write_calibrations(bundle, variant, _read(bundle, variant, files[number]).stations)


def _check_folder(bundle: Bundle) -> None:
    if not bundle.path.is_dir():
        raise InputError(f"{bundle.path} is packed: run  edge-ad unpack  first, calibrate the folder, pack again")


def _sealed(bundle: Bundle, variant: Variant, stations: Mapping[str, AnyCalibration]) -> bytes:
    record = CalibrationRecord(
        format=CALIBRATION_FORMAT,
        seal=UNSEALED,
        variant=variant.id,
        artefact_sha256=bundle.artefact_sha256(variant),
        geometry_sha256=bundle.geometry_sha256,
        stations=dict(stations),
    )
    data = sealed_json(record)
    try:
        msgspec.json.decode(data, type=CalibrationRecord)  # the reader must take what the writer writes
    except msgspec.ValidationError as error:
        names = ", ".join(map(repr, stations))
        raise InputError(f"the calibration for the station {names} cannot be written: {error}") from None
    return data


def _keep(
    bundle: Bundle, variant: Variant, replaced: Mapping[str, AnyCalibration], undo: contextlib.ExitStack
) -> EarlierCalibration:
    """Writes what is replaced to its folder; ``undo`` takes it away again."""
    folder = _folder(bundle, variant)
    undo.callback(_remove_empty, folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    number = max((number for number, _ in _files(bundle, variant)), default=0) + 1
    path = folder / f"{number}.json"
    atomic_write(path, _sealed(bundle, variant, replaced))
    undo.callback(path.unlink)
    return EarlierCalibration(number, dict(replaced))


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        folder.rmdir()


def _forget(bundle: Bundle, variant: Variant) -> None:
    """Deletes what no station needs any more: each has :data:`KEPT` later ones."""
    seen: Counter[str] = Counter()
    for _, path in reversed(_files(bundle, variant)):
        names: list[str] = []
        with contextlib.suppress(BundleError, OSError):
            names = list(_read(bundle, variant, path).stations)
        seen.update(names)
        if all(seen[name] > KEPT for name in names):
            with contextlib.suppress(OSError):
                path.unlink()


def _folder(bundle: Bundle, variant: Variant) -> Path:
    return (bundle.path / calibration_name(variant)).with_name(_HISTORY)


def _files(bundle: Bundle, variant: Variant) -> list[tuple[int, Path]]:
    paths = (path for path in _folder(bundle, variant).glob("*.json") if path.stem.isdecimal())
    return sorted((int(path.stem), path) for path in paths)


def _read(bundle: Bundle, variant: Variant, path: Path) -> CalibrationRecord:
    return bundle.read_record(path.read_bytes(), variant, str(path.relative_to(bundle.path)))
