"""``edge-ad calibrate --restore``: the calibrations that were replaced, listed or taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from edge_ad.cli.option_groups import OptionGroup, Parsed, option
from edge_ad.cli.options import echo_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_ad.bundle import Calibration

__all__ = ["RESTORE", "RestoreOptions", "restore"]

LIST: Final = "list"

# What goes together with --restore, by the names that click has for it.
_FITTING = {"bundle", "restoring_restore", "request_variant", "as_json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """The number of the calibration to take back, :data:`LIST` to see which there are, or ``None``."""

    restore: int | str | None


def _parse(text: str) -> int | str:
    if text != LIST and not text.isdecimal():
        raise ValueError("expected the number of an earlier calibration, or list to see them")
    return text if text == LIST else int(text)


RESTORE = OptionGroup(
    "Earlier calibrations",
    RestoreOptions,
    (
        option(
            "--restore",
            type=Parsed("N|list", _parse),
            help="Calibrate nothing, but take back a calibration that was replaced: the one of this number. list shows "
            "which there are.",
        ),
    ),
)


def restore(path: Path, variant_id: str | None, wanted: int | str, *, as_json: bool) -> None:
    """Lists the earlier calibrations of a variant, or takes one back.

    Raises:
        click.UsageError: an option was given that says how to calibrate.
        EdgeAdError: as :func:`edge_ad.bundle.restore_calibration`.
    """
    from edge_ad.bundle import Bundle, list_earlier, restore_calibration

    _check_alone()
    bundle = Bundle.open(path)
    variant = bundle.variant(variant_id)
    if isinstance(wanted, int):
        written = restore_calibration(bundle, variant, wanted)
        record = bundle.calibration(variant)
        stations = {} if record is None else record.stations
        replaced = None if written.replaced is None else written.replaced.number
        if as_json:
            echo_json({"calibration": str(written.path), "stations": stations, "replaced": replaced})
            return
        click.echo(f"restored {wanted}: the calibration of {variant.id} of {path} is now")
        _print(stations)
        if replaced is not None:
            click.echo(f"what it replaced is kept as {replaced}; pictures and pages of a calibration stay as they are")
        return
    earlier = list_earlier(bundle, variant)
    if as_json:
        echo_json([{"number": one.number, "stations": one.stations} for one in earlier])
        return
    click.echo(f"{len(earlier)} earlier calibrations of {variant.id} of {path}{', the newest last' if earlier else ''}")
    for one in earlier:
        click.echo(f"{one.number}")
        _print(one.stations)


def _print(stations: Mapping[str, Calibration]) -> None:
    for name, made in stations.items():
        click.echo(
            f"  group {name}: threshold {made.image.threshold:.6g} ({made.method}), from {made.image.n:,} "
            f"{made.observation}s, {made.created}"
        )


def _check_alone() -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        said = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if said and name not in _FITTING:
            raise click.UsageError(f"--restore calibrates nothing: leave out {parameter.opts[0]}")
