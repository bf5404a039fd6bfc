"""Where a station's socket lies, and that no two stations listen on one."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

from edge_ad.errors import InputError, LinkError

__all__ = ["ListeningSocket", "default_path"]

_LONGEST_PATH = 107  # sun_path of Linux, without its final zero
_BACKLOG = 16


def default_path(station: str) -> Path:
    """``NAME.sock`` in ``$RUNTIME_DIRECTORY`` (systemd's), ``/run/edge-ad`` or ``$XDG_RUNTIME_DIR/edge-ad``.

    The first of them that is set or exists. Both sides use this rule, so a client started outside systemd finds the
    socket of a unit with ``RuntimeDirectory=edge-ad``.

    Raises:
        InputError: none of them is there.
    """
    run = Path("/run/edge-ad")
    if given := os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        folder = Path(given)
    elif run.is_dir():
        folder = run
    elif users := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(users) / "edge-ad"
    else:
        raise InputError(
            "no folder for the link's socket: neither $RUNTIME_DIRECTORY nor /run/edge-ad nor $XDG_RUNTIME_DIR exists; "
            "name the socket's path"
        )
    return folder / f"{station}.sock"


class ListeningSocket:
    """A listening socket at ``path`` whose file has ``mode`` and ``group`` before anybody can connect.

    A lock beside it (``PATH.lock``) is held as long as this process lives. A socket that a killed station left
    behind is removed.

    Raises:
        InputError: the path cannot be a socket's, or the group does not exist.
        LinkError: another station holds it, or the system refuses.
    """

    def __init__(self, path: Path, mode: int, group: str | None) -> None:
        self.path = path
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise InputError(f"the link's path has more than {_LONGEST_PATH} bytes, choose a shorter one: {path}")
        try:
            # Only the last folder is made: a misspelt path is not to grow into a tree.
            path.parent.mkdir(mode=0o755, exist_ok=True)
            self._lock = _locked(path)
            try:
                self.socket, self._inode = _listening(path, mode, group)
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise LinkError(f"the link cannot listen on {path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Removes the socket's file, unless it is another's by now. The lock's file stays: removing it is a race."""
        self.socket.close()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except OSError:  # somebody cleaned up before us
            pass
        finally:
            os.close(self._lock)


def _locked(path: Path) -> int:
    """The descriptor of the lock, which ends with this process and is not inherited."""
    name = path.with_name(f"{path.name}.lock")
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise LinkError(
            f"another station (process {holder}) listens on {path}: stop it, or give this station another path"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _listening(path: Path, mode: int, group: str | None) -> tuple[socket.socket, int]:
    _remove_left_over(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind(str(path))
        if group is not None:
            os.chown(path, -1, _group_number(group))
        path.chmod(mode)
        # Until here every connection was refused.
        listener.listen(_BACKLOG)
        return listener, path.lstat().st_ino
    except BaseException:
        listener.close()
        raise


def _remove_left_over(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise InputError(f"the link's path is no socket but another kind of file, which is left alone: {path}")
    path.unlink()


def _group_number(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InputError(f"the link's group does not exist on this machine: {group}") from None
