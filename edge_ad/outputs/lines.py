"""Lines of text to a file or a stream, each of them whole."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO, cast

from edge_ad.files import output_error

__all__ = ["LineWriter", "printable"]


class LineWriter:
    """Writes whole lines, so that whoever follows the file or the pipe never sees half of one.

    A file is opened when the first line is written, not earlier: a run that fails before it has a result leaves
    the results of the run before. Of a line that the disk has no room for nothing remains.
    A stream (``sys.stdout.buffer``) is left open. When its reader is gone (``| head``) the ``BrokenPipeError`` is
    let through: that is no failure, and click ends a command on it without a word.
    """

    def __init__(self, target: Path | BinaryIO) -> None:
        self._path = target if isinstance(target, Path) else None
        self._file: BinaryIO | None = None if isinstance(target, Path) else _unbuffered(target)

    def write(self, line: bytes) -> None:
        """Write ``line``, which ends with a newline. Raises ``OutputError`` or ``BrokenPipeError``."""
        try:
            if self._file is None and self._path is not None:
                self._file = cast(BinaryIO, self._path.open("wb", buffering=0))
            if self._file is not None:
                _append(self._file, line)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise output_error(self._path or "standard output", error) from error

    def close(self) -> None:
        """Close the file that was opened here."""
        if self._path is not None and self._file is not None:
            self._file.close()
            self._file = None


def printable(text: str) -> str:
    """``text`` without what UTF-8 cannot hold: file names of other encodings carry such characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unbuffered(stream: BinaryIO) -> BinaryIO:
    """What is below the stream's buffer, which would try to write again what failed once, at exit."""
    stream.flush()
    return cast(BinaryIO, getattr(stream, "raw", stream))


def _append(file: BinaryIO, line: bytes) -> None:
    start = file.tell() if file.seekable() else None
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        if start is not None:
            with contextlib.suppress(OSError):
                file.truncate(start)
        raise
