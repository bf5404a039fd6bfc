"""``edge-ad connect``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """What ``edge-ad connect`` does."""

    check: bool = False


CONNECT = OptionGroup(
    COMMON,
    ConnectOptions,
    (option("--check", is_flag=True, help="Only check the tables of the controllers and what they need."),),
)


@command(options=CONNECT)
@click.argument("file", type=FILE)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def connect(file: Path, names: tuple[str, ...], options: ConnectOptions) -> None:
    """Connect a station to a PLC, a broker or other controllers.

    FILE is the station file; each table [controller.NAME] in it is one controller. Without NAME all of them are served.
    With one NAME it is served in this process; of several, each has a process of its own, which is started again when
    it ends. The station runs beside this command (edge-ad run), and either may be started first.
    """
    from edge_ad.controllers import check_controllers, run_controller, run_controllers
    from edge_ad.station import read_station_file

    station = read_station_file(file)
    found = check_controllers(station, file.absolute().parent, names)
    if options.check:
        listed = ", ".join(f"{name} ({settings.protocol})" for name, (_, settings) in found.items())
        click.echo(f"{file}: in order: {listed}", err=True)
        return
    of = f"{names[0]} " if len(names) == 1 else ""  # the processes of all controllers write to one log
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {of}%(name)s: %(message)s")
    if len(names) == 1:
        run_controller(station, file, names[0])
    else:
        run_controllers(file, list(found))
