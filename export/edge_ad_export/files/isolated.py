"""Runs a converter in a process of its own: one that runs out of memory or crashes takes nothing along."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import signal
import subprocess
import sys
import tempfile

from edge_ad.errors import ModelError, OutputError, one_line
from edge_ad.files import output_error

__all__ = ["run_isolated"]

_CHARACTERS_MAX = 400
# What the child ends with where its result could not be written; "an error in input or output" of sysexits.h, which
# Python names on Unix only.
_NOT_WRITTEN = 74
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_isolated(step: str, function: str, **arguments: object) -> None:
    """Calls ``package.module:function`` with keyword arguments that JSON can carry, in a child process.

    ``step`` completes "... failed" for the user.

    Raises:
        ModelError: the function raised, or the process died.
        OutputError: the function could not write its result because there is no room.
    """
    command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = "most likely out of memory" if name == "SIGKILL" else "a crash inside the library"
        raise ModelError(f"{step} died of {name} ({why})")
    if done.returncode:
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or [f"exit code {done.returncode}"]
        kind = OutputError if done.returncode == _NOT_WRITTEN else ModelError
        raise kind(f"{step} failed: {lines[-1]}")


def main() -> int:
    """In the child: standard output is for the one line that says what went wrong."""
    function, arguments = sys.argv[1:]
    module, _, name = function.partition(":")
    given = json.loads(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            getattr(importlib.import_module(module), name)(**given)
    except Exception as error:  # noqa: BLE001 - whatever a converter raises is told in one line
        if isinstance(error, OSError) and (isinstance(error, OutputError) or error.errno in _NO_ROOM):
            target = error.filename or given.get("target", tempfile.gettempdir())
            told = error if isinstance(error, OutputError) else output_error(target, error)
            print(one_line(told))  # noqa: T201
            return _NOT_WRITTEN
        print(_short(error))  # noqa: T201
        return 1
    return 0


def _short(error: Exception) -> str:
    text = one_line(error)
    shown = text if len(text) < _CHARACTERS_MAX else f"{text[:_CHARACTERS_MAX]} ..."
    return f"{type(error).__name__}: {shown}"


if __name__ == "__main__":
    sys.exit(main())
