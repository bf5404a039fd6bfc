"""A disk that fills up, played by the largest size that a file of a process may have."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["disk_of", "limit_child"]


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes.

    Nothing is compiled meanwhile: Python takes a compiled file that was cut off for a whole one, for ever.
    """
    before, compiles = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = compiles


def limit_child(size: int) -> None:
    """For a child, before it becomes another program: the same. Set ``PYTHONDONTWRITEBYTECODE`` for it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
