"""``edge-ad token`` and ``edge-ad audit``: who may do what over the network, and what was done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, command, option
from edge_ad.cli.options import PATH
from edge_ad.errors import GateError, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """What ``edge-ad token`` does."""

    role: Literal["operator", "supervisor", "engineer"] | None = None
    certificate: Path | None = None
    file: Path = Path("tokens.toml")


TOKEN = OptionGroup(
    COMMON,
    TokenOptions,
    (
        option(
            "--role",
            type=click.Choice(["operator", "supervisor", "engineer"]),
            help="What this person or program may do; each may also do what those before it may.",
        ),
        option(
            "--certificate",
            type=PATH,
            metavar="PEM",
            help="Instead of a token: whoever shows a client certificate with the subject of this one.",
        ),
        option("--file", type=PATH, help="The file of tokens that the table of the controller names."),
    ),
)


@command(options=TOKEN)
@click.argument("action", type=click.Choice(["add", "list", "remove"]))
@click.argument("name", required=False)
def token(action: str, name: str | None, options: TokenOptions) -> None:
    """Make and remove the tokens of people and programs.

    By a token they log in at a controller that listens on the network.

    add NAME prints a new token once. It is kept nowhere: the file has only its hash. A removed token is worth nothing
    from then on, without a restart. add NAME --certificate PEM makes no token: it gives the role to the subject of a
    client certificate, and prints it.
    """
    from edge_ad.controllers.security import Role, add_certificate, add_token, read_tokens, remove_token

    if action == "list":
        if name is not None:
            raise click.UsageError("list takes no name")
        for known, entry in read_tokens(options.file).items():
            click.echo("  ".join(filter(None, (known, entry.role.value, entry.added, entry.subject))))
        return
    if name is None:
        raise click.UsageError(f"{action} needs a name: edge-ad token {action} NAME")
    if action == "remove":
        remove_token(options.file, name)
        return
    if options.role is None:
        raise click.UsageError("add needs --role: one of operator, supervisor, engineer")
    role = Role(options.role)
    if options.certificate is not None:
        click.echo(add_certificate(options.file, name, role, options.certificate))
    else:
        click.echo(add_token(options.file, name, role))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """What ``edge-ad audit`` shows."""

    verify: bool = False
    syslog: bool = False
    expect: str | None = None


AUDIT = OptionGroup(
    COMMON,
    AuditOptions,
    (
        option("--verify", is_flag=True, help="Check that no record was changed, removed or put in."),
        option("--expect", metavar="HASH", help="With --verify: a hash noted earlier, whose record has to be there."),
        option("--syslog", is_flag=True, help="Print the records as lines of syslog (RFC 5424)."),
    ),
)


@command(options=AUDIT)
@click.argument("file", type=PATH)
def audit(file: Path, options: AuditOptions) -> None:
    """Show or check the audit trail FILE.

    It is the file of the table [audit] of a station file. Older files, FILE.NUMBER, are read too. With
    --verify the exit code is 5 where something is wrong.
    """
    from edge_ad.controllers.security import check_trail, read_trail, syslog_line

    if options.expect is not None and not options.verify:
        raise click.UsageError("--expect belongs to --verify")
    if options.verify:
        report = check_trail(file, options.expect)
        for problem in report.problems:
            click.echo(problem)
        if report.problems:
            raise GateError(f"{file}: the trail is broken at {len(report.problems)} places")
        click.echo(f"{file}: {report.records} records, {report.first} to {report.last}, unbroken; last {report.sha256}")
        return
    report = check_trail(file)
    if report.problems and not report.records:
        raise InputError(f"{file}: expected an audit trail, found no record in it: name the file of the table [audit]")
    if report.problems:
        click.echo(f"edge-ad: warning: {file}: the trail is broken: edge-ad audit {file} --verify says where", err=True)
    for record in read_trail(file):
        if options.syslog:
            click.echo(syslog_line(record))
            continue
        who = " ".join(filter(None, (record.who, record.role and f"({record.role})", record.source)))
        what = " ".join(filter(None, (record.target, record.before and f"was {record.before}")))
        parts = (record.time, record.controller, who or "-", record.action, record.result, what, record.detail)
        click.echo("  ".join(filter(None, parts)))
