"""The state file of a drift watch, so that a restart continues where it stopped."""

from __future__ import annotations

import fcntl
import os
import weakref
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from edge_ad.bundle.seal import UNSEALED, broken_seal, sealed_json
from edge_ad.drift.monitor import Memory
from edge_ad.errors import InputError, InUseError
from edge_ad.files import atomic_write, output_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MemoryFile", "SavedWatch"]

FORMAT: Final = "edge-ad-drift/1"


class SavedWatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file. ``watched``: SHA-256 of what it is about; ``rejects``: how many frames were rejected."""

    format: Literal["edge-ad-drift/1"]
    seal: str
    watched: str
    rejects: int
    memory: Memory


class MemoryFile:
    """One JSON file, replaced in one step. It belongs to one process until it is closed.

    Args:
        path: it need not exist yet.
        watched: identifies what the memory is about; a file about something else is not read.
        write: replaces the file.

    Raises:
        InUseError: another watch keeps its state in this file.
        OutputError: nothing can be written to its folder.
    """

    def __init__(self, path: Path, watched: str, write: Callable[[Path, bytes], None] = atomic_write) -> None:
        self.path = path
        self._write = write
        self._watched = watched
        self.close = weakref.finalize(self, os.close, _lock(path))
        """Gives the file free for another watch; so does the end of the process, however it ends."""

    def load(self) -> SavedWatch | None:
        """What was saved; ``None`` where there is no file, or one of another calibration or other settings.

        Raises:
            InputError: the file is damaged or something else.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            record = msgspec.json.decode(data, type=SavedWatch)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path} is no state of a drift watch ({error}): delete it to start anew") from error
        if problem := broken_seal(data, record.seal):
            raise InputError(f"{self.path} is damaged: {problem}: delete it to start anew")
        return record if record.watched == self._watched else None

    def save(self, memory: Memory, rejects: int) -> None:
        """Replaces the file. Raises ``OutputError`` when it cannot be written; the old one then stays."""
        record = SavedWatch(format=FORMAT, seal=UNSEALED, watched=self._watched, rejects=rejects, memory=memory)
        self._write(self.path, sealed_json(record))


def _lock(path: Path) -> int:
    """The descriptor of a locked file beside ``path``: the state file itself is another file after each save.

    The system takes the lock back when the process ends. The file stays: who deletes it may let two processes in.
    """
    beside = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise InUseError(
            f"--drift-state {path}: another watch keeps its state in this file (process {holder or 'unknown'}): give "
            "each process a file of its own, or end the other one"
        ) from None
    except OSError:
        return descriptor  # some network file systems know no locks
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
