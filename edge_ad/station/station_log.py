"""The log of a station: one line an event, as JSON or as text, to a file that rotates or to standard error.

Python's own logging: the device's installation stays small, and what the rest of edge-ad logs comes along.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TextIO

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import one_line, visible

__all__ = ["AuditSettings", "LogSettings", "StationLog", "log_event", "open_log"]

_QUEUED = 2_000
_CLOSE_WAIT_S = 3.0
# What journald reads before a line: the priorities of syslog.
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

logging.getLogger("edge_ad").addHandler(logging.NullHandler())


class LogSettings(Record, frozen=True, kw_only=True):
    """``[log]``. Without ``file``, the log goes to standard error.

    ``format``: by default ``text`` on a terminal, otherwise ``json``. ``limit_mb``: in 10**6 bytes, when a new file is
    begun; ``keep`` older ones stay, called ``FILE.1`` and so on.
    """

    file: str | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] | None = None
    limit_mb: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 10.0
    keep: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5


class AuditSettings(Record, frozen=True, kw_only=True):
    """``[audit]``: the trail of who asked for which change, kept by ``edge-ad connect``; ``edge-ad audit`` reads it.

    ``limit_mb``: in 10**6 bytes, when a new file is begun; ``keep`` older ones stay, called ``FILE.NUMBER``.
    """

    file: str
    limit_mb: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 10.0
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


def log_event(logger: logging.Logger, level: int, event: str, message: str, **fields: object) -> None:
    """Logs ``message`` under the short name ``event``; ``fields`` stand beside it in the JSON."""
    logger.log(level, "%s", message, extra={"event": event, "fields": fields})


class StationLog:
    """Where log lines go, beside the station: what writes never waits for a disk or a terminal.

    ``dropped``: lines that came faster than they could be written.
    """

    def __init__(self, settings: LogSettings, stderr: TextIO) -> None:
        self._target: _Output = _RotatingFile(settings) if settings.file else _Stream(stderr)
        is_json = settings.format == "json" or (settings.format is None and not self._target.is_terminal)
        self._target.setFormatter(_JsonLine() if is_json else _TextLine())
        self._lines: queue.Queue[Any] = queue.Queue(_QUEUED)
        self._queue = _NeverWaits(self._lines)
        self._queue.setLevel(settings.level.upper())
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._logger = logging.getLogger("edge_ad")
        self._level_before = self._logger.level
        self._logger.setLevel(settings.level.upper())
        self._logger.addHandler(self._queue)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that did not fit."""
        return self._queue.dropped

    @property
    def state(self) -> str:
        """``ok``, or what is wrong, in one line."""
        return "ok" if self._target.error is None else f"failing: {self._target.error}"

    def close(self) -> None:
        """Writes what waits, for some seconds at most."""
        self._logger.removeHandler(self._queue)
        self._logger.setLevel(self._level_before)
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_CLOSE_WAIT_S)
            self._thread.join(_CLOSE_WAIT_S)
        if not self._thread.is_alive():  # otherwise it holds the target, and ends with the process
            self._target.close()

    def _run(self) -> None:
        while (record := self._lines.get()) is not None:
            self._target.handle(record)


@contextlib.contextmanager
def open_log(settings: LogSettings | None, stderr: TextIO | None = None) -> Iterator[StationLog]:
    """The log as these settings want it, until the end of the block."""
    log = StationLog(settings or LogSettings(), stderr or sys.stderr)
    try:
        yield log
    finally:
        log.close()


class _NeverWaits(logging.handlers.QueueHandler):
    """Puts lines into the queue, or counts those that do not fit."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Output(logging.Handler):
    """What both targets have in common: a failure is kept as a text, not printed."""

    error: str | None = None
    is_terminal = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002  the name is that of logging
        error = sys.exc_info()[1]
        self.error = getattr(error, "strerror", None) or str(error)


class _RotatingFile(_Output, logging.handlers.RotatingFileHandler):
    """A file that is begun anew when it is full, and made again when it was moved away or its disk came back."""

    def __init__(self, settings: LogSettings) -> None:
        size = max(1, int(settings.limit_mb * 1_000_000))
        super().__init__(
            str(settings.file), maxBytes=size, backupCount=settings.keep, encoding="utf-8", delay=True, errors="replace"
        )

    def emit(self, record: logging.LogRecord) -> None:
        self.error = None
        if self.stream is not None and not os.path.exists(self.baseFilename):  # noqa: PTH110  for each line
            with contextlib.suppress(OSError):
                self.stream.close()
            self.stream = None
        super().emit(record)


class _Stream(_Output):
    """Standard error; before a line that goes to the journal stands its priority."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        with contextlib.suppress(ValueError):
            self.is_terminal = stream.isatty()
        self._to_journal = _is_journal(stream)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if self._to_journal:
                line = f"<{_PRIORITIES.get(record.levelname, 6)}>{line}"
            self._stream.write(f"{line}\n")
            self._stream.flush()
            self.error = None
        except (OSError, ValueError):  # nobody reads it any more
            self.handleError(record)


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec='milliseconds')}",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return msgspec.json.encode(line, enc_hook=str).decode()


class _TextLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M:%S")
        return f"{when} {record.levelname.lower():7} {visible(one_line(record.getMessage()))}"


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd connected this stream to the journal, as it says in ``JOURNAL_STREAM``."""
    given = os.environ.get("JOURNAL_STREAM")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return given == f"{found.st_dev}:{found.st_ino}"
