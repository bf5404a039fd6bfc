"""Where the results of parts go. One that is slow or broken never delays a verdict, and shows in the state."""

from __future__ import annotations

import csv
import io
import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge_ad.errors import OutputError
from edge_ad.files import output_error
from edge_ad.link.messages import StationState
from edge_ad.outputs.text_lines import LineWriter, append_whole, printable
from edge_ad.station.parts import InspectedPart

__all__ = ["CsvOutput", "JsonLinesOutput", "PartOutput", "PrintedParts", "QueuedOutput", "RecordedParts"]

_CLOSE_WAIT_S = 5.0
_AGAIN_S = 1.0


class PartOutput:
    """Takes the results of one station in order, in a thread of its own. What raises is called again with the next one.

    ``latest_s``: a result that waited longer is :meth:`lost`; ``None`` where it does not matter.
    """

    latest_s: float | None = None

    def write(self, part: InspectedPart) -> None:
        """Writes one result. Raises :class:`OutputError`."""
        raise NotImplementedError

    def lost(self) -> None:
        """One or more results did not come, or not in time. Raises :class:`OutputError`."""

    def state_changed(self, state: StationState) -> None:
        """The station's state. Raises :class:`OutputError`."""

    def tick(self) -> float | None:
        """What time alone brings about; seconds until the next call, if any. Raises :class:`OutputError`."""
        return None

    def close(self) -> None:
        """Finishes what was begun. Raises :class:`OutputError`."""


class RecordedParts(PartOutput):
    """An output for tests: keeps what it was given. Set ``error`` to make it fail."""

    def __init__(self) -> None:
        self.parts: list[InspectedPart] = []
        self.error: OutputError | None = None
        self.is_closed = False

    def write(self, part: InspectedPart) -> None:
        """Keeps the result. Raises ``error`` where one is set."""
        if self.error is not None:
            raise self.error
        self.parts.append(part)

    def close(self) -> None:
        """Notes that it was closed."""
        self.is_closed = True


class JsonLinesOutput(PartOutput):
    """Appends one JSON object for each part to a file, and each of them whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, part: InspectedPart) -> None:
        """Appends one line. Raises :class:`OutputError`."""
        try:
            # Opened each time: the file may be moved away by a log rotation, and its disk may come back.
            with self._path.open("ab", buffering=0) as file:
                append_whole(file, msgspec.json.encode(part) + b"\n")
        except OSError as error:
            raise output_error(self._path, error) from error

    def close(self) -> None:
        """Nothing is kept open."""


_COLUMNS = (
    *("triggered_at", "trigger", "part_id", "recipe", "state", "reason", "detail"),
    *("latency_ms", "score", "scores"),
)


class CsvOutput(PartOutput):
    """Appends a row for each part to a file (RFC 4180, UTF-8), which begins with a header."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, part: InspectedPart) -> None:
        """Appends one row. Raises :class:`OutputError`."""
        try:
            with self._path.open("ab", buffering=0) as file:
                header = b"" if file.tell() else _row(_COLUMNS)
                append_whole(file, header + _row(_cells(part)))
        except OSError as error:
            raise output_error(self._path, error) from error

    def close(self) -> None:
        """Nothing is kept open."""


def _cells(part: InspectedPart) -> tuple[object, ...]:
    when = datetime.fromtimestamp(part.triggered_at, timezone.utc).isoformat(timespec="milliseconds")
    scores = [(one.inspection, one.verdict.score) for one in part.frames if one.verdict.score is not None]
    highest = max((score for _, score in scores), default=None)
    said = " ".join(f"{name}={score:.6g}" for name, score in scores)
    detail = (
        part.detail if part.challenge is None else f"challenge part {part.challenge}: {part.detail or 'no production'}"
    )
    facts = part.trigger, part.part_id, part.recipe, part.state.value, part.reason, detail
    return (when, *facts, round(part.latency_ms, 3), highest, said)


def _row(cells: tuple[object, ...]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return printable(line.getvalue()).encode()


class PrintedParts(PartOutput):
    """Writes a line for each part to a stream, such as standard output. ``line``: the part's line, without its end."""

    def __init__(self, stream: BinaryIO, line: Callable[[InspectedPart], bytes]) -> None:
        self._lines = LineWriter(stream)
        self._line = line

    def write(self, part: InspectedPart) -> None:
        """Writes one line. Raises :class:`OutputError`."""
        try:
            self._lines.write(self._line(part) + b"\n")
        except BrokenPipeError as error:
            raise OutputError("standard output: whoever reads it has gone") from error


class QueuedOutput:
    """An output with a bounded queue and a thread of its own. Results that do not fit are dropped and counted."""

    def __init__(self, name: str, output: PartOutput, limit: int) -> None:
        self.name = name
        self.dropped = 0
        self.failed = 0
        self.error: str | None = None
        self._output = output
        self._queue: queue.Queue[tuple[float, InspectedPart | StationState] | None] = queue.Queue(limit)
        self._lost = False
        self._thread = threading.Thread(target=self._run, name=f"output-{name}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        """``ok``, or what is wrong, in one line."""
        if self.error is not None:
            return f"failing: {self.error}"
        return f"ok, {self.dropped} dropped" if self.dropped else "ok"

    def put(self, what: InspectedPart | StationState) -> None:
        """Queues a result, or a state of the station; never waits."""
        try:
            self._queue.put_nowait((time.monotonic(), what))
        except queue.Full:
            self.dropped += isinstance(what, InspectedPart)
            self._lost = True

    def close(self) -> None:
        """Writes what is queued, for some seconds at most. May be repeated."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        wait_s: float | None = None
        while True:
            try:
                given = self._queue.get(timeout=wait_s)
            except queue.Empty:
                pass
            else:
                if given is None:
                    break
                self._hand_on(*given)
            wait_s = self._ticked(wait_s)
        self._tried(self._output.close)

    def _hand_on(self, since: float, what: InspectedPart | StationState) -> None:
        latest_s = self._output.latest_s
        if isinstance(what, StationState):
            self._tried(lambda: self._output.state_changed(what))
        elif latest_s is not None and time.monotonic() - since > latest_s:
            self.dropped += 1
            self._lost = True
        else:
            self._tried(lambda: self._output.write(what), shows_that_it_works=True)
        if self._lost:
            self._lost = False
            self._tried(self._output.lost)

    def _ticked(self, waited_s: float | None) -> float | None:
        """Lets time do its part. An output that fails by itself is called again after a second, until it works."""
        try:
            due_s = self._output.tick()
        except OutputError as error:
            self.error = str(error)
            return _AGAIN_S
        if waited_s == _AGAIN_S:
            self.error = None
        return due_s

    def _tried(self, do: Callable[[], None], *, shows_that_it_works: bool = False) -> None:
        try:
            do()
        except OutputError as error:
            self.failed += 1
            self.error = str(error)
        else:
            if shows_that_it_works:  # a full disk stays full, whatever the station's state is
                self.error = None
