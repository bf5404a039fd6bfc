"""A digital output: the gate's line. Whatever happens, its level at rest is the one that lets no part pass."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from edge_ad.errors import MissingExtraError, OutputError
from edge_ad.files import output_error
from edge_ad.link.messages import StationState
from edge_ad.station.part_outputs import PartOutput

if TYPE_CHECKING:
    from edge_ad.station.parts import InspectedPart

__all__ = ["DigitalLine", "DigitalOutput", "KernelLine", "RecordedLine", "check_gpio"]

Signal = Literal["reject", "accept"]
_T = TypeVar("_T")


class DigitalLine(Protocol):
    """One output line."""

    def set(self, *, driven: bool) -> None:
        """Raises :class:`OutputError`; the line is then opened again."""

    def close(self) -> None:
        """Lets go of the line."""


class RecordedLine:
    """A line for tests: keeps every level that it was given. Set ``error`` to make it fail."""

    def __init__(self) -> None:
        self.levels: list[bool] = []
        self.error: OutputError | None = None
        self.is_closed = False

    def set(self, *, driven: bool) -> None:
        """Keeps the level. Raises ``error`` where one is set."""
        if self.error is not None:
            raise self.error
        self.levels.append(driven)

    def close(self) -> None:
        """Notes that it was closed."""
        self.is_closed = True


class KernelLine:
    """A line of a GPIO chip, through the kernel's character device. ``line``: its offset, or its name.

    Raises:
        OutputError: there is no such chip or line, it is taken, or it may not be used.
    """

    def __init__(self, chip: str, line: int | str, *, active_low: bool, driven: bool) -> None:
        import gpiod

        self._name = f"line {line} of {chip}"
        self._line = line
        self._active, self._inactive = gpiod.line.Value.ACTIVE, gpiod.line.Value.INACTIVE
        settings = gpiod.LineSettings(
            direction=gpiod.line.Direction.OUTPUT,
            active_low=active_low,
            output_value=self._active if driven else self._inactive,
        )
        self._request = self._tried(lambda: gpiod.request_lines(chip, consumer="edge-ad", config={line: settings}))

    def set(self, *, driven: bool) -> None:
        """Sets the level. Raises :class:`OutputError`."""
        self._tried(lambda: self._request.set_value(self._line, self._active if driven else self._inactive))

    def close(self) -> None:
        """Lets go of the line; the kernel may leave its level, or make it an input."""
        self._request.release()

    def _tried(self, do: Callable[[], _T]) -> _T:
        try:
            return do()
        except OSError as error:
            raise output_error(self._name, error) from error
        except (ValueError, RuntimeError) as error:
            raise OutputError(f"{self._name}: {error}") from error


def check_gpio() -> None:
    """Raises :class:`MissingExtraError` where the library is not installed."""
    if importlib.util.find_spec("gpiod") is None:
        raise MissingExtraError("gpiod", "gpio")


class DigitalOutput(PartOutput):
    """Drives a line by results and states.

    ``reject``: driven for ``pulse_ms`` for each part that is not ACCEPT, and all the time while the station takes no
    parts. ``accept``: driven for ``pulse_ms`` for each ACCEPT, and never otherwise. ``open_line`` is given the level to
    begin with; it is called again after a failure.

    Raises:
        OutputError: the line cannot be opened.
    """

    # A result that waited longer is not let through any more: its part may be past the gate.
    latest_s = 0.25

    def __init__(
        self,
        open_line: Callable[[bool], DigitalLine],
        signal: Signal,
        pulse_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_line = open_line
        self._signal = signal
        self._pulse_s = pulse_ms / 1000
        self._clock = clock
        self._takes_parts = False
        self._until: float | None = None
        self._level = signal == "reject"
        self._line: DigitalLine | None = open_line(self._level)

    def write(self, part: InspectedPart) -> None:
        """A result: a pulse, or none. Raises :class:`OutputError`."""
        self._result(accepted=part.accepted)

    def lost(self) -> None:
        """A result did not come in time: it counts as one that is not ACCEPT. Raises :class:`OutputError`."""
        self._result(accepted=False)

    def state_changed(self, state: StationState) -> None:
        """The station's state. Raises :class:`OutputError`."""
        self._takes_parts = state in {StationState.READY, StationState.BUSY}
        if not self._takes_parts:
            self._until = None
        self.tick()

    def tick(self) -> float | None:
        """Ends a pulse when it is due; seconds until then. Raises :class:`OutputError`."""
        if self._until is not None and self._clock() >= self._until:
            self._until = None
        self._set(self._wanted())
        return None if self._until is None else max(0.0, self._until - self._clock())

    def close(self) -> None:
        """Leaves the line at the level of rest. Raises :class:`OutputError`."""
        self._takes_parts, self._until = False, None
        try:
            self._set(self._wanted())
        finally:
            if self._line is not None:
                self._line.close()
                self._line = None

    def _result(self, *, accepted: bool) -> None:
        if self._takes_parts and accepted is (self._signal == "accept"):
            self._until = self._clock() + self._pulse_s
        elif self._signal == "accept":
            self._until = None  # the part after an accepted one is not accepted: its window is over
        self.tick()

    def _wanted(self) -> bool:
        if self._until is not None:
            return True
        return self._signal == "reject" and not self._takes_parts

    def _set(self, level: bool) -> None:
        try:
            if self._line is None:
                self._line = self._open_line(level)
            elif level is not self._level:
                self._line.set(driven=level)
        except OutputError:
            line, self._line = self._line, None
            self._until = None if self._signal == "accept" else self._until
            if line is not None:
                line.close()
            raise
        self._level = level
