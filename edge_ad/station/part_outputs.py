"""Where the results of parts go. One that is slow or broken never delays a verdict, and shows in the state."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Protocol

import msgspec

from edge_ad.errors import OutputError
from edge_ad.files import output_error
from edge_ad.station.parts import InspectedPart

__all__ = ["JsonLinesOutput", "PartOutput", "QueuedOutput", "RecordedParts"]

_CLOSE_WAIT_S = 5.0


class PartOutput(Protocol):
    """Takes the results of one station in order, in a thread of its own."""

    def write(self, part: InspectedPart) -> None:
        """Writes one result. Raises :class:`OutputError`; it is called again with the next one."""

    def close(self) -> None:
        """Finishes what was begun."""


class RecordedParts:
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


class JsonLinesOutput:
    """Appends one JSON object for each part to a file, and each of them whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, part: InspectedPart) -> None:
        """Appends one line. Raises :class:`OutputError`."""
        try:
            # Opened each time: the file may be moved away by a log rotation, and its disk may come back.
            with self._path.open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(part) + b"\n")
        except OSError as error:
            raise output_error(self._path, error) from error

    def close(self) -> None:
        """Nothing is kept open."""


class QueuedOutput:
    """An output with a bounded queue and a thread of its own. Results that do not fit are dropped and counted."""

    def __init__(self, name: str, output: PartOutput, limit: int) -> None:
        self.name = name
        self.dropped = 0
        self.failed = 0
        self.error: str | None = None
        self._output = output
        self._queue: queue.Queue[InspectedPart | None] = queue.Queue(limit)
        self._thread = threading.Thread(target=self._run, name=f"output-{name}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        """``ok``, or what is wrong, in one line."""
        if self.error is not None:
            return f"failing: {self.error}"
        return f"ok, {self.dropped} dropped" if self.dropped else "ok"

    def put(self, part: InspectedPart) -> None:
        """Queues a result; never waits."""
        try:
            self._queue.put_nowait(part)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Writes what is queued, for some seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        while (part := self._queue.get()) is not None:
            self._write(part)
        self._output.close()

    def _write(self, part: InspectedPart) -> None:
        try:
            self._output.write(part)
        except OutputError as error:
            self.failed += 1
            self.error = str(error)
        else:
            self.error = None
