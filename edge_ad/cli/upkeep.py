"""``edge-ad doctor``, ``support``, ``backup`` and ``restore``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FILE, PATH, as_json, echo_json
from edge_ad.errors import DeviceError, EdgeAdError, counted

if TYPE_CHECKING:
    from edge_ad.upkeep import Check

_OUTPUT = click.option("-o", "--output", required=True, type=PATH, metavar="FILE", help="The archive to write.")


@command()
@click.argument("file", type=FILE, required=False)
@as_json
def doctor(file: Path | None, as_json: bool) -> None:
    """Say whether this machine is fit for a station, with advice.

    With the station FILE, its bundles, cameras, folders, memory and controllers are looked at, too. The exit code is 0,
    or 4 if something has to be mended.
    """
    from edge_ad.upkeep import examine

    checks = examine(file) + ([] if file is None else _controllers(file))
    failed = sum(one.level == "FAIL" for one in checks)
    if as_json:
        echo_json({"checks": checks, "failed": failed})
    else:
        _print_checks(checks)
    if failed:
        raise DeviceError(f"{failed} of {len(checks)} checks failed")


def _controllers(file: Path) -> list[Check]:
    """Whether each controller of the station file could be served: its table, library, certificates and files."""
    from edge_ad.controllers import check_controllers
    from edge_ad.station import read_station_file
    from edge_ad.upkeep import Check

    try:
        station = read_station_file(file)
    except EdgeAdError:
        return []  # the check of the station says so

    def checked(name: str) -> Check:
        try:
            _, settings = check_controllers(station, file.absolute().parent, [name])[name]
        except EdgeAdError as error:
            advice = "mend it, then: edge-ad connect FILE --check"
            return Check(name=f"controller {name}", level="FAIL", detail=str(error), advice=advice)
        return Check(name=f"controller {name}", level="OK", detail=settings.protocol)

    return [checked(name) for name in station.controller]


def _print_checks(checks: list[Check]) -> None:
    width = max(len(one.name) for one in checks)
    for one in checks:
        click.echo(f"{one.level:4}  {one.name:{width}}  {one.detail}")
        if one.advice is not None:
            click.echo(f"{'':4}  {'':{width}}  -> {one.advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportOptions:
    """How much is collected."""

    limit_mb: float = 50.0


SUPPORT = OptionGroup(
    COMMON,
    SupportOptions,
    (
        option(
            "--limit-mb",
            type=click.FloatRange(min=1),
            metavar="MB",
            help="The most that the archive may hold, in 10^6 bytes before compression. Evidence is left out first.",
        ),
    ),
)


@command(options=SUPPORT)
@click.argument("file", type=FILE)
@_OUTPUT
def support(file: Path, output: Path, options: SupportOptions) -> None:
    """Write one archive for whoever helps with the station FILE.

    It holds the configuration without passwords, the log, the findings of edge-ad doctor, versions, counters, the last
    results and the last frames of evidence. Look through it before you send it: frames show your parts.
    """
    from edge_ad.upkeep import write_support

    written = write_support(file, output, options.limit_mb)
    click.echo(f"{written.path}: {counted(len(written.members), 'file')}", err=True)
    if written.left_out:
        click.echo(f"left out: {', '.join(written.left_out)}", err=True)


@command()
@click.argument("file", type=FILE)
@_OUTPUT
def backup(file: Path, output: Path) -> None:
    """Write a whole station to one archive, for a spare machine.

    These are the station FILE, its bundles with their calibrations, and its counters. The station may run meanwhile.
    """
    from edge_ad.upkeep import back_up

    record = back_up(file, output)
    click.echo(f"{output}: station {record.station}, {counted(len(record.files), 'file')}", err=True)


@command()
@click.argument("archive", type=FILE)
@click.argument("folder", type=PATH)
def restore(archive: Path, folder: Path) -> None:
    """Make FOLDER out of the ARCHIVE that edge-ad backup wrote.

    Every file and every bundle is verified first; of a damaged archive nothing is restored.
    """
    from edge_ad.upkeep import restore as restore_station

    record = restore_station(archive, folder)
    click.echo(f"{folder}: station {record.station}, of {record.written}; check it with", err=True)
    click.echo(f"  edge-ad doctor {folder / 'station.toml'}", err=True)
