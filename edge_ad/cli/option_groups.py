"""Options in groups: the one way in which the commands of all packages take their options.

A group is a table of options and the dataclass, or the function, that takes their values. A command names its groups
and is called with one finished object for each of them. The default of an option is that of the dataclass' field or
the function's parameter: it is written there, and the help shows it from there.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

__all__ = [
    "COMMON",
    "OTHER",
    "GroupOption",
    "GroupedCommand",
    "OptionGroup",
    "Parsed",
    "Row",
    "argument",
    "command",
    "option",
]

COMMON = "Options that most users need"
OTHER = "Other options"

# The help is as wide as the terminal, up to this: longer lines are hard to read.
_WIDTH = 100
_NAMES_MAX = 30

_T = TypeVar("_T")
_ABSENT = inspect.Parameter.empty


@dataclass(frozen=True)
class Row:
    """One option or argument of a group; see :func:`option` and :func:`argument`."""

    names: tuple[str, ...]
    into: str
    default_of: str | None
    heading: str | None
    settings: Mapping[str, Any]
    is_argument: bool = False


def option(
    *names: str, into: str = "", default_of: str | None = None, heading: str | None = None, **settings: Any
) -> Row:
    """An option of a group.

    Args:
        names: as click takes them, such as ``-o``, ``--output``.
        into: the field or parameter that takes the value; by default the last name with underscores.
        default_of: ``package.module:Class.field`` where the default is written; by default the field ``into``.
        heading: the section of the help; by default the heading of the group.
        settings: what :class:`click.Option` takes, but no default.
    """
    assert "default" not in settings, names  # noqa: S101
    field = into or names[-1].partition("/")[0].lstrip("-").replace("-", "_")
    return Row(names, field, default_of, heading, settings)


def argument(name: str, **settings: Any) -> Row:
    """A positional argument that a group takes. ``settings``: what :class:`click.Argument` takes."""
    return Row((), name, None, None, settings, is_argument=True)


@dataclass(frozen=True)
class OptionGroup:
    """A table of options. ``makes``: the dataclass or function that takes their values as keyword arguments; a text
    ``package.module:name`` is imported when a command runs or shows its help, so that a group imports nothing heavy.
    """

    heading: str
    makes: str | Callable[..., Any]
    rows: tuple[Row, ...]

    def make(self, values: Mapping[str, Any]) -> Any:
        """The finished object. Raises what ``makes`` raises for values that do not go together."""
        return _load(self.makes)(**values)

    def parameters(self, keyword: str) -> Iterable[click.Parameter]:
        """For a command that is handed the object as ``keyword``."""
        for row in self.rows:
            name = f"{keyword}_{row.into}"
            if row.is_argument:
                yield click.Argument([name], metavar=row.into.upper(), **row.settings)
            else:
                yield GroupOption(row, self, name)

    def values(self, params: dict[str, Any], keyword: str) -> dict[str, Any]:
        """Takes the values of this group out of what click has read."""
        return {row.into: params.pop(f"{keyword}_{row.into}") for row in self.rows}


class GroupOption(click.Option):
    """An option whose default is written where the value goes."""

    def __init__(self, row: Row, group: OptionGroup, name: str) -> None:
        super().__init__([*row.names, name], show_default=True, **row.settings)
        self.heading = row.heading or group.heading
        self._default_of = row.default_of
        self._makes, self._field = group.makes, row.into

    def written_default(self) -> Any:
        """The default of the field or parameter; ``inspect.Parameter.empty`` where it has none."""
        makes, field = self._makes, self._field
        if self._default_of:
            makes, _, field = self._default_of.rpartition(".")
        return inspect.signature(_load(makes)).parameters[field].default

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        try:
            default = _ABSENT if self.required else self.written_default()
        except ModuleNotFoundError:
            if not ctx.resilient_parsing:
                raise
            return None  # the help is shown without what an extra brings
        return super().get_default(ctx, call) if default is _ABSENT else default


class GroupedCommand(click.Command):
    """Builds the objects of its groups, and lists its options under their headings."""

    def __init__(self, *args: Any, groups: Mapping[str, OptionGroup], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.groups = groups
        self.params += [one for keyword, group in groups.items() for one in group.parameters(keyword)]
        self.context_settings = {"max_content_width": _WIDTH, **self.context_settings}

    def read_groups(self, ctx: click.Context) -> dict[str, Any]:
        """One object for each group. Raises :class:`click.UsageError` with the context of this command."""
        try:
            return {keyword: group.make(group.values(ctx.params, keyword)) for keyword, group in self.groups.items()}
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        ctx.params.update(self.read_groups(ctx))
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {COMMON: []}
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for parameter in sorted(options, key=lambda one: not isinstance(one, GroupOption)):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "heading", OTHER), []).append(record)
        if not sections.keys() - {COMMON, OTHER}:
            sections = {"Options": [record for rows in sections.values() for record in rows]}
        width = min(_NAMES_MAX, max(len(names) for rows in sections.values() for names, _ in rows))
        for heading, rows in sections.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl([(names.ljust(width), text) for names, text in rows])


def command(**groups: OptionGroup) -> Callable[[Callable[..., Any]], GroupedCommand]:
    """Turns a function into a command that is called with one keyword argument for each group.

    Arguments and single options beside the groups are added with the decorators of click.
    """
    return click.command(cls=GroupedCommand, groups=groups)


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """A type of option that is read by a function, which raises :class:`ValueError` with what it expected."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{error}, found {value!r}", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        return self.name


def _load(what: str | Callable[..., _T]) -> Callable[..., _T]:
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    found: Callable[..., _T] = getattr(importlib.import_module(module), name)
    return found
