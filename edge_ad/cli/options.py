"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

__all__ = ["add_options", "as_json", "bundle_argument", "echo_json", "engine_options", "parse_size"]

_F = TypeVar("_F", bound=Callable[..., Any])

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")

_ENGINE_OPTIONS = (
    click.option("--variant", metavar="ID", help="Which variant of the bundle; its default one otherwise."),
    click.option("--device", default="CPU", show_default=True, help="Device or execution provider of the engine."),
    click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine; its own choice otherwise."),
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the engine may keep compiled models.",
    ),
)


def add_options(function: _F, options: Sequence[Callable[[_F], _F]]) -> _F:
    """Adds the options to a command, in the order in which its help is to list them."""
    for option in reversed(options):
        function = option(function)
    return function


def engine_options(function: _F) -> _F:
    """Adds --variant, --device, --threads and --cache-dir."""
    return add_options(function, _ENGINE_OPTIONS)


def parse_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Callback of an option such as 1920x1080; gives (width, height)."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() and 0 < int(p) <= 65_535 for p in parts):
        raise click.BadParameter(
            f"expected WIDTHxHEIGHT in pixels, such as 1920x1080, found {value!r}", ctx=ctx, param=param
        )
    return int(parts[0]), int(parts[1])


def echo_json(record: object) -> None:
    """One JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    sys.stdout.flush()
