"""``edge-ad deploy``: a new bundle for a station that runs, on this device or on another one."""

from __future__ import annotations

import getpass
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import FILE, bundle_argument
from edge_ad.errors import InputError, visible

if TYPE_CHECKING:
    from edge_ad.controllers.security import Result
    from edge_ad.link.messages import UpdateChanged
    from edge_ad.station.station_log import AuditSettings
    from edge_ad.update import RecordStep, Slots

_STATIONS = Path("/var/lib/edge-ad")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """Where a bundle goes, and how the way there is told."""

    to: str
    recipe: str | None
    inspection: str | None
    by: str | None
    token_file: Path | None
    ca: Path | None
    no_wait: bool = False
    json: bool = False


DEPLOY = OptionGroup(
    COMMON,
    DeployOptions,
    (
        option(
            "--to",
            required=True,
            metavar="DEVICE",
            help="The station: its station file; local, for the only one below /var/lib/edge-ad; or https://HOST:PORT, "
            "where its HTTP controller listens.",
        ),
        option("--recipe", metavar="NAME", help="Replace the bundle of this recipe."),
        option("--inspection", metavar="NAME", help="Replace the bundle of this inspection."),
        option(
            "--no-wait",
            is_flag=True,
            help="End when the bundle has been checked here and handed to the station, which goes on by itself.",
        ),
        option("--json", is_flag=True, help="Print one JSON object for each step instead of a line of text."),
        option(
            "--by",
            metavar="NAME",
            help="Who deploys it, for the audit trail. Without this option it is the user of this command.",
        ),
        option("--token-file", type=FILE, metavar="FILE", help="The file with the token for an HTTP controller."),
        option("--ca", type=FILE, metavar="FILE", help="The certificate of whoever signed the HTTP controller's."),
    ),
)


@command(options=DEPLOY)
@bundle_argument
def deploy(bundle: Path, options: DeployOptions) -> None:
    """Take BUNDLE into use on a station that runs.

    The device copies the bundle, and checks its hashes, its signature, its golden frames and, where there is one, the
    challenge set. From the next part on the station inspects with it. It watches the first parts, then keeps it, or
    goes back to the one before by itself. The exit code is 0 only if the bundle was kept; it is 3 if it was refused.
    """
    told = _tell_json if options.json else _tell
    _check_options(options)
    if "://" in options.to:
        from edge_ad.update.remote import deploy_to, read_token

        token = None if options.token_file is None else read_token(options.token_file)
        deploy_to(options.to, bundle, options.recipe, options.inspection, token, options.ca, told, not options.no_wait)
        return
    from edge_ad.station import read_station_file
    from edge_ad.station.updating import deploy_order
    from edge_ad.update import deploy as deploy_here

    path = _only_station() if options.to == "local" else Path(options.to)
    station = read_station_file(path)
    _check_user(path)
    order = deploy_order(station, bundle, options.recipe, options.inspection, options.by or _user())
    deploy_here(order, told, recorder(station.audit, "deploy"), waits=not options.no_wait)


def _check_options(options: DeployOptions) -> None:
    given: dict[str, str | Path | None]
    if "://" in options.to:
        given = {"--by": options.by}
        why = "the device knows you by your token"
    else:
        given = {"--token-file": options.token_file, "--ca": options.ca}
        why = "it is for a station at https://HOST:PORT"
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}: {why}: leave it out with --to {options.to}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError: since Python 3.13
        return f"uid {os.getuid()}"


def recorder(settings: AuditSettings | None, name: str) -> RecordStep | None:
    """Puts each step of an update into the audit trail of a station. ``name``: of who records it."""
    if settings is None:
        return None
    from edge_ad.controllers.security import AuditTrail

    trail = AuditTrail(settings, name)
    results: dict[str, Result] = {"asked": "asked", "REFUSED": "refused", "RETURNED": "refused"}

    def record(slots: Slots, step: str, bundle: str, who: str | None, reason: str | None) -> None:
        detail = step if reason is None else f"{step}: {reason}"
        trail.record("update", results.get(step, "done"), who=who, target=slots.key, after=bundle, detail=detail)

    return record


def _only_station() -> Path:
    found = sorted(_STATIONS.glob("*/station.toml"))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise InputError(
            f"--to local needs one station below {_STATIONS}, found {names}: name its station file by --to"
        )
    return found[0]


def _check_user(file: Path) -> None:
    """What root writes, the station could neither use up nor clear away."""
    owner = file.parent.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise InputError(
            f"{file} belongs to {name}: run this command as that user, with  sudo -u '{name}' edge-ad deploy"
        )


def _tell(what: UpdateChanged) -> None:
    is_error = what.step in {"REFUSED", "RETURNED"}  # the last line of the command says why
    click.echo(visible(f"{what.title}  {what.step:8}  {'' if is_error else what.reason or ''}".rstrip()))


def _tell_json(what: UpdateChanged) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()
