"""A digital input as trigger: a light barrier or a controller's line says that a part is there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Protocol

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import SourceError, one_line

__all__ = ["InputSettings", "KernelInput", "Pulse", "PulseLine", "RecordedInput", "TriggerInput"]

_AGAIN_NS = 1_000_000_000


class InputSettings(Record, frozen=True, kw_only=True):
    """``[input]``: the line ``line`` (its offset or name) of ``chip``, each ``edge`` of which is a part.

    ``debounce_ms``: a level counts when it has lasted so long. ``bias``: of the pin; without it as it is.
    """

    chip: str
    line: Annotated[int, msgspec.Meta(ge=0, le=1_023)] | str
    edge: Literal["rising", "falling"] = "rising"
    active_low: bool = False
    debounce_ms: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 5.0
    bias: Literal["pull-up", "pull-down", "disabled"] | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """One edge. ``at_ns``: of the monotonic clock. ``lost_before``: edges before it that nobody could read."""

    at_ns: int
    lost_before: int = 0


class PulseLine(Protocol):
    """One input line."""

    def fileno(self) -> int:
        """Readable when there was an edge, or when the line is gone."""

    def read(self) -> list[Pulse]:
        """What has arrived. Raises :class:`SourceError`; the line is then opened again."""

    def close(self) -> None:
        """Lets go of the line."""


class RecordedInput:
    """A line for tests: :meth:`pulse` is an edge. Set ``error`` to make it fail with the next one."""

    def __init__(self) -> None:
        self.error: SourceError | None = None
        self.is_closed = False
        self._pulses: list[Pulse] = []
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def pulse(self, at_ns: int | None = None, lost_before: int = 0) -> None:
        """An edge; now, where no time is given. From any thread."""
        self._pulses.append(Pulse(time.monotonic_ns() if at_ns is None else at_ns, lost_before))
        os.eventfd_write(self._event, 1)

    def fileno(self) -> int:
        """Of an event counter of the kernel."""
        return self._event

    def read(self) -> list[Pulse]:
        """What has arrived. Raises ``error`` where one is set."""
        os.eventfd_read(self._event)
        if self.error is not None:
            raise self.error
        taken, self._pulses = self._pulses, []
        return taken

    def close(self) -> None:
        """Notes that it was closed."""
        if not self.is_closed:
            self.is_closed = True
            os.close(self._event)


class KernelInput:
    """A line of a GPIO chip, through the kernel's character device, which debounces it and notes the time of each edge.

    Raises:
        SourceError: there is no such chip or line, it is taken, or it cannot tell edges.
    """

    def __init__(self, settings: InputSettings) -> None:
        import gpiod

        self._name = f"line {settings.line} of {settings.chip}"
        self._last_number = 0
        edges = {"rising": gpiod.line.Edge.RISING, "falling": gpiod.line.Edge.FALLING}
        biases = {
            None: gpiod.line.Bias.AS_IS,
            "pull-up": gpiod.line.Bias.PULL_UP,
            "pull-down": gpiod.line.Bias.PULL_DOWN,
            "disabled": gpiod.line.Bias.DISABLED,
        }
        line = gpiod.LineSettings(
            direction=gpiod.line.Direction.INPUT,
            edge_detection=edges[settings.edge],
            bias=biases[settings.bias],
            active_low=settings.active_low,
            debounce_period=timedelta(milliseconds=settings.debounce_ms),
            event_clock=gpiod.line.Clock.MONOTONIC,
        )
        try:
            self._request = gpiod.request_lines(settings.chip, consumer="edge-ad", config={settings.line: line})
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def fileno(self) -> int:
        """Of the kernel's queue of edges."""
        return int(self._request.fd)

    def read(self) -> list[Pulse]:
        """What has arrived. Raises :class:`SourceError`."""
        pulses = []
        try:
            for event in self._request.read_edge_events():
                lost = max(0, event.line_seqno - self._last_number - 1)  # the kernel's queue was full
                self._last_number = event.line_seqno
                pulses.append(Pulse(event.timestamp_ns, lost))
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error
        return pulses

    def close(self) -> None:
        """Lets go of the line."""
        self._request.release()

    def _failed(self, error: Exception) -> SourceError:
        said = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        return SourceError(f"{self._name} cannot be read: {said}")


class TriggerInput:
    """Reads a line, and opens it again once a second after it failed. ``error``: why it is not read now.

    Raises:
        SourceError: the line cannot be opened at the start.
    """

    def __init__(self, open_line: Callable[[], PulseLine]) -> None:
        self._open_line = open_line
        self._due_ns = 0
        self.error: str | None = None
        self._line: PulseLine | None = open_line()

    def fileno(self) -> int | None:
        """What to watch; another one after each opening, ``None`` while there is no line."""
        return None if self._line is None else self._line.fileno()

    def read(self) -> list[Pulse]:
        """What has arrived; nothing where the line fails, and then there is an ``error``."""
        if self._line is None:
            return []
        try:
            return self._line.read()
        except SourceError as error:
            self.error = one_line(error)
            self.close()
            return []

    def tick(self, now_ns: int) -> int | None:
        """Opens the line again when it is due; when to call again."""
        if self._line is not None:
            return None
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + _AGAIN_NS
            try:
                self._line, self.error = self._open_line(), None
            except SourceError as error:
                self.error = one_line(error)
        return None if self._line is not None else self._due_ns

    def close(self) -> None:
        """Lets go of the line. May be called more than once."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
