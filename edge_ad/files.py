"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "alone",
    "append_synced",
    "atomic_write",
    "check_folder",
    "check_output",
    "check_space",
    "output_error",
    "part_file",
    "read_small",
    "sync_folder",
]

_LOCK_WAIT_S, _LOCK_PAUSE_S = 5.0, 0.01

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EFBIG: "the file would be larger than this system allows: raise the limit or write elsewhere",
    errno.EACCES: "permission denied: choose a place that may be written to",
    errno.EPERM: "permission denied: choose a place that may be written to",
    errno.EROFS: "the disk is mounted read-only: choose another place",
    errno.ENOENT: "its folder does not exist: create it first",
    errno.ENOTDIR: "a part of its path is a file, not a folder: choose another place",
    errno.EISDIR: "a folder of that name is in the way: choose another name",
}


def atomic_write(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, replacing what is there in one step.

    The bytes go to a new file in the same folder, reach the disk (fsync) and are then renamed; the folder is
    synced too, so that after a power cut there is the old file or the new one. When anything goes wrong,
    Ctrl-C included, the old file is untouched and nothing else is left behind.

    Raises:
        OutputError: the file cannot be written; the message says why and what to do.
    """
    part = part_file(path)
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # gone: renamed, or never made
            part.unlink()


def part_file(path: Path) -> Path:
    """A fresh hidden name beside ``path`` for what is not finished yet; it keeps the suffix.

    Not ``tempfile.mkstemp``: its files are private to the user, and a bundle is read by a service account.
    """
    return path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")


def sync_folder(folder: Path) -> None:
    """Make the renames inside ``folder`` survive a power cut. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_synced(file: int, data: bytes) -> None:
    """Adds ``data`` at the end of the open file, down to the disk. Raises ``OSError``, and then nothing of it stays."""
    size = os.fstat(file).st_size
    try:
        if os.write(file, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


@contextlib.contextmanager
def alone(lock_file: Path, told: str) -> Iterator[None]:
    """No other process is in here with this lock meanwhile. One that was stopped in here is not waited for without end.

    Raises:
        OutputError: another process is in here for seconds, which ``told`` says; or the lock cannot be opened.
    """
    try:
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise output_error(lock_file, error) from error
    try:
        end = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise OutputError(told) from None
                time.sleep(_LOCK_PAUSE_S)
        yield
    finally:
        os.close(lock)


def output_error(path: Path | str, error: OSError) -> OutputError:
    """The one line for a write that failed: which file, why, what to do."""
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"{path}: cannot be written: {reason}")


def check_output(path: Path, option: str = "") -> None:
    """Raises before any work what would otherwise come out when its result is written to ``path``.

    ``option``: by which the file was asked for. A device such as ``/dev/null`` and a pipe are taken as they are.

    Raises:
        InputError: the folder of the file does not exist, or a folder has its name.
        OutputError: nothing can be written there.
    """
    name = f"{option} {path}".strip()
    if path.exists() and not path.is_file() and not path.is_dir():
        return
    if not path.parent.is_dir():
        raise InputError(f"{name}: its folder does not exist: create it first")
    if path.is_dir():
        raise InputError(f"{name}: a folder of that name is in the way: choose another name")
    check_folder(path.parent, name)


def check_folder(folder: Path, name: str = "") -> None:
    """Raises :class:`OutputError` unless files can be written to ``folder``, or it can be made. Leaves nothing.

    ``name``: of what is to be written there, by default the folder itself.
    """
    there = _existing(folder)
    probe = there / f".{secrets.token_hex(8)}.part"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    except OSError as error:
        raise output_error(name or folder, error) from error


def check_space(folder: Path, needed_bytes: float, name: str = "") -> None:
    """Raises :class:`OutputError` unless the disk of ``folder``, which need not exist yet, has so much room."""
    free = shutil.disk_usage(_existing(folder)).free
    if free < needed_bytes:
        raise OutputError(
            f"{name or folder}: cannot be written: it takes about {needed_bytes / 1e6:,.0f} MB, and the disk has "
            f"{free / 1e6:,.0f} MB: free some space and run again"
        )


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def read_small(path: Path, limit: int = 1 << 20) -> bytes:
    """A file such as a certificate. Raises ``OSError`` for a pipe or a device, too, and beyond ``limit`` bytes."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "expected a file, found a pipe or a device")
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"expected at most {limit} bytes, found {status.st_size}")
    return path.read_bytes()
