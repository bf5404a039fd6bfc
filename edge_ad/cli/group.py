"""The command ``edge-ad``: its own commands, those of other packages, and one place for errors."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

from edge_ad.errors import EdgeAdError, MissingExtraError, OutputError, one_line, visible

__all__ = ["CommandGroup", "stopped_like_ctrl_c"]

COMMANDS = {
    "score": "edge_ad.cli.score:score",
    "verify": "edge_ad.cli.bundle_commands:verify",
    "info": "edge_ad.cli.bundle_commands:info",
    "bench": "edge_ad.cli.bench:bench",
    "pack": "edge_ad.cli.bundle_commands:pack",
    "unpack": "edge_ad.cli.bundle_commands:unpack",
    "trust": "edge_ad.cli.bundle_commands:trust",
    "deploy": "edge_ad.cli.deploy:deploy",
    "init": "edge_ad.cli.station:init",
    "run": "edge_ad.cli.station:run",
    "replay": "edge_ad.cli.station:replay",
    "connect": "edge_ad.cli.controllers:connect",
    "token": "edge_ad.cli.security:token",
    "audit": "edge_ad.cli.security:audit",
    "doctor": "edge_ad.cli.upkeep:doctor",
    "support": "edge_ad.cli.upkeep:support",
    "backup": "edge_ad.cli.upkeep:backup",
    "restore": "edge_ad.cli.upkeep:restore",
}

# What a command may find missing, and the extra that brings it.
_EXTRAS = {
    "jinja2": "calibration",
    "matplotlib": "calibration",
    "scipy": "calibration",
    "sklearn": "calibration",
    "nncf": "export",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxscript": "export",
    "openvino": "openvino",
}

USAGE = 2
INTERRUPTED = 130


class CommandGroup(click.Group):
    """Loads a command when it is asked for, and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*COMMANDS, *sorted(_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), name)
        elif cmd_name in (plugins := _plugins()):
            command = plugins[cmd_name].load()
        else:
            return None
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"no such command {name!r}{_suggest(name, self.list_commands(ctx))}", ctx)
        found, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeats(click.Context(command, ctx, found, **command.context_settings), rest)
        return found, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our output has seen enough (| head): no failure
            return None

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, and every :class:`EdgeAdError` ends the process with its own exit code."""
        # OpenCV prints lines of its own about a damaged image; ours says all. Read when cv2 is imported.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            super().main(args, prog_name, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(USAGE)
        except click.ClickException as error:
            _fail(_usage(error), USAGE)
        except (click.Abort, KeyboardInterrupt) as error:
            said = (error.__cause__ or error).args  # what goes on though this command has ended
            _fail(": ".join(("interrupted", *map(str, said))), INTERRUPTED)
        except ModuleNotFoundError as error:
            root = (error.name or "").partition(".")[0]
            if root not in _EXTRAS:
                raise
            _report(MissingExtraError(root, _EXTRAS[root]))
        except EdgeAdError as error:
            _report(error)
        except OSError as error:
            _report(OutputError(f"{error.filename or 'the system'}: {error.strerror or error}"))
        sys.exit(0)


@contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM (of ``timeout``, of a batch system) ends what goes on as Ctrl-C does, so that nothing half-written stays.

    Only the main thread can be told so; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_repeats(ctx: click.Context, args: Sequence[str]) -> None:
    """click keeps the last of two values that an option was given, and the user is not told that the first is lost."""
    try:
        _, _, read = ctx.command.make_parser(ctx).parse_args(args=list(args))
    except click.UsageError:
        return  # told when the command itself reads its arguments
    for one in {one for one in read if read.count(one) > 1}:
        if isinstance(one, click.Option) and not (one.multiple or one.count or one.is_flag):
            raise click.BadOptionUsage(one.opts[0], f"{one.opts[0]} was given twice, and it takes one value", ctx)


@functools.cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="edge_ad.commands")}


def _usage(error: click.ClickException) -> str:
    """One line for a command that was called in a wrong way; it names the help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    text = error.format_message()
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for one in context.command.get_params(context) for name in (*one.opts, *one.secondary_opts)]
        options = [name for name in known if name.startswith("-")]
        text = f"no such option {error.option_name}{_suggest(error.option_name, options)}"
    line = one_line(text).rstrip(".")
    return f"{line[:1].lower()}{line[1:]}: see {context.command_path if context else 'edge-ad'} --help"


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _report(error: EdgeAdError) -> NoReturn:
    if os.environ.get("EDGE_AD_DEBUG") == "1":
        raise error
    _fail(one_line(error), error.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"edge-ad: {visible(message)}", err=True)
    sys.exit(code)
