"""What a converter may do to the process that it runs in. Called in child processes only."""

from __future__ import annotations

import errno
import os


def die(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)


def fail(message: str) -> None:
    print("a library's chatter")  # noqa: T201
    raise RuntimeError(message)


def run_out_of_room(target: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
