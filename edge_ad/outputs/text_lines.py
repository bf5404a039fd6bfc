"""Lines of text, each of them whole, to a file or a stream; and the sink that prints one per frame for people."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from edge_ad.files import output_error
from edge_ad.outputs.sink import Sink
from edge_ad.verdict import FrameSpan, State, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame

__all__ = ["LineWriter", "TextSink", "append_whole", "printable"]


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
                append_whole(self._file, line)
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


def append_whole(file: BinaryIO, line: bytes) -> None:
    """Writes ``line`` at the end of an unbuffered file, or nothing of it where it raises ``OSError``."""
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


class TextSink(Sink):
    """``REJECT  score 71.2  p 0.067  2 regions  drift OK  shots/a.png``; uncalibrated: the score and the source."""

    needs_map = False

    def __init__(self, target: BinaryIO, *, verdicts: bool) -> None:
        self._lines = LineWriter(target)
        self._verdicts = verdicts

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:  # noqa: ARG002
        parts = [verdict.state.value.ljust(7)] if self._verdicts else []
        parts += _found(verdict) if verdict.score is not None else []
        parts += [_objects(verdict)] if verdict.objects else []
        parts += [_covered(verdict.covers)] if verdict.covers else []
        parts += [f"drift {verdict.drift.state.value:<5}"] if verdict.drift else []
        parts.append(printable(frame.source))
        if verdict.score is None:
            parts.append(
                f"({verdict.reason.value if verdict.reason else 'invalid'}: {printable(verdict.detail or '')})"
            )
        self._lines.write("  ".join(parts).encode() + b"\n")

    def close(self) -> None:
        self._lines.close()


def _objects(verdict: Verdict) -> str:
    count = len(verdict.objects)
    objects = f"{count} object{'' if count == 1 else 's'}"
    if verdict.threshold is None:
        return objects
    return f"{sum(one.state is State.REJECT for one in verdict.objects)} of {objects} rejected"


def _covered(span: FrameSpan) -> str:
    return f"frame {span.last}" if span.first == span.last else f"frames {span.first}-{span.last}"


def _found(verdict: Verdict) -> list[str]:
    parts = [f"score {verdict.score:<10.6g}"]
    if verdict.p_value is not None:
        parts.append(f"p {verdict.p_value:<7.4g}")
    if verdict.pixel_threshold is not None:
        count = len(verdict.regions)
        parts.append(f"{count:>2} region{' ' if count == 1 else 's'}")
    return parts
