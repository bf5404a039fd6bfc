"""The client's side of a connection, without a socket; ``Client`` and ``AsyncClient`` are made of it.

Time is an argument, in nanoseconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, LinkError, LinkRefusedError, LinkTimeoutError, StationFaultError, one_line
from edge_ad.link.handed import OwnedFd, sealed_memory
from edge_ad.link.lines import LINE_BYTES, decode_sent, encode_line
from edge_ad.link.messages import (
    PART_ID_CHARACTERS,
    PROTOCOL_VERSION,
    TOPICS,
    Accepted,
    Answer,
    ClientHello,
    Done,
    ErrorAnswer,
    Event,
    ExposureComplete,
    FaultRaised,
    FrameRequest,
    Heartbeat,
    PartResult,
    Refused,
    Snapshot,
    StateChanged,
    StationHello,
    Topic,
    TriggerRequest,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ClientSide", "lost"]

_SILENT_BEATS = 3
_EVENTS_KEPT = 4096


class ClientSide:
    """What a client knows: the station's hello and state, answers by id, results of its own triggers, events.

    ``events_lost``: events that nobody read in time. ``not_understood``: lines that a newer station may send.
    """

    def __init__(self, path: Path, heartbeat_s: float | None) -> None:
        self._path = path
        self.station: StationHello | None = None
        self.state: StateChanged | None = None
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.events_lost = 0
        self.not_understood = 0
        self.heard_ns = 0
        self._heartbeat_s = heartbeat_s
        self._topics: frozenset[Topic] = frozenset()
        self._buffer = bytearray()
        self._last_id = 0
        self._waiting: dict[str, Answer | None] = {}
        self._open: dict[int, PartResult | FaultRaised | None] = {}
        self._ids: dict[int, str] = {}
        self._exposed: set[int] = set()

    # --- what goes out

    def hello(self, client: str) -> bytes:
        """The first line."""
        return encode_line(ClientHello(version=PROTOCOL_VERSION, client=client, heartbeat_s=self._heartbeat_s))

    def next_id(self) -> str:
        """An id for the next request, whose answer will be kept."""
        self._last_id += 1
        name = str(self._last_id)
        self._waiting[name] = None
        return name

    def part(
        self, part_id: str | None, pixels: NDArray[np.uint8] | None, camera: str | None
    ) -> tuple[TriggerRequest | FrameRequest, OwnedFd | None]:
        """A request for one part; with ``pixels`` a frame, and the memory to send along and to close.

        Raises:
            InputError: no station takes this part id or these pixels.
        """
        if part_id is not None and len(part_id) > PART_ID_CHARACTERS:
            raise InputError(f"expected a part id of at most {PART_ID_CHARACTERS} characters, found {len(part_id)}")
        if pixels is None:
            return TriggerRequest(id=self.next_id(), part_id=part_id), None
        try:
            memory = sealed_memory(pixels)
        except ValueError as error:
            raise InputError(str(error)) from None
        height, width, channels = (*pixels.shape, 1)[:3]
        request = FrameRequest(
            id=self.next_id(),
            part_id=part_id,
            camera=camera,
            height=height,
            width=width,
            channels=1 if channels == 1 else 3,
        )
        return request, memory

    # --- what comes in

    def receive(self, data: bytes, now_ns: int) -> None:
        """Takes what the station sent.

        Raises:
            LinkError: the station ended the connection and said why, or sends lines without end.
        """
        self.heard_ns = now_ns
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) >= LINE_BYTES:
            raise LinkError(f"the station sent a line of more than {LINE_BYTES} bytes")
        for line in lines:
            self._take(line)

    def silent_ns(self, since_ns: int) -> int:
        """When the station has to be given up if nothing comes, for a client that listens since ``since_ns``."""
        beat_s = 1.0 if self.station is None else self.station.heartbeat_s
        return max(self.heard_ns, since_ns) + int(_SILENT_BEATS * beat_s * 1e9)

    def check_time(self, now_ns: int, end_ns: int, since_ns: int, what: str) -> None:
        """For a client that waits for ``what`` since ``since_ns``, and has read all that there was.

        Raises:
            LinkTimeoutError: it is ``end_ns``.
            LinkError: the station is silent.
        """
        if now_ns >= end_ns:
            waited_s = (end_ns - since_ns) / 1e9
            raise LinkTimeoutError(f"{what} did not come within {waited_s:g} s from the station at {self._path}")
        if now_ns >= self.silent_ns(since_ns):
            raise LinkError(f"the station at {self._path} is silent: no heartbeat in time")

    def greeted(self) -> StationHello | None:
        """The station's hello, once it has come.

        Raises:
            LinkError: it speaks another version.
        """
        if self.station is not None and self.station.version != PROTOCOL_VERSION:
            raise LinkError(f"the station speaks version {self.station.version}, this client {PROTOCOL_VERSION}")
        return self.station

    def answer(self, name: str) -> Answer | None:
        """The answer to the request with this id, given once; ``None``: not there yet.

        Raises:
            LinkRefusedError: the station refused.
            LinkError: the station did not understand the request.
        """
        answer = self._waiting.get(name)
        if answer is None:
            return None
        del self._waiting[name]
        if isinstance(answer, Refused):
            detail = f": {one_line(answer.detail)}" if answer.detail else ""
            raise LinkRefusedError(answer.reason, f"the station refused ({answer.reason}){detail}")
        if isinstance(answer, ErrorAnswer):
            raise LinkError(f"the station did not understand a request: {one_line(answer.detail)}")
        return answer

    def result(self, trigger: int) -> PartResult | None:
        """The result of an own trigger, given once; ``None``: not there yet.

        Raises:
            StationFaultError: it will have none.
            LinkError: no such trigger waits: it was never accepted here, or was given up.
        """
        if trigger not in self._open:
            raise LinkError(f"trigger {trigger} does not wait for a result here")
        outcome = self._open[trigger]
        if outcome is None:
            return None
        self.forget(trigger)
        if isinstance(outcome, FaultRaised):
            raise StationFaultError(outcome.cause, f"the station is in FAULT ({outcome.cause}): trigger {trigger}")
        return outcome

    def forget(self, trigger: int) -> None:
        """Gives a trigger up: its result, should it still come, is nobody's."""
        self._open.pop(trigger, None)
        self._ids.pop(trigger, None)
        self._exposed.discard(trigger)

    def give_up(self, name: str) -> None:
        """The answer to this id is no longer waited for."""
        self._waiting.pop(name, None)

    def next_event(self) -> Event | None:
        """The oldest event that was not read yet; ``None``: there is none."""
        return self.events.popleft() if self.events else None

    def subscribed(self, topics: tuple[Topic, ...]) -> None:
        """From now on events of these topics are kept for whoever reads them; of all, where none is named."""
        self._topics = frozenset(topics or TOPICS)

    def exposed(self, trigger: int) -> bool | None:
        """True once the last picture for an own trigger is taken, or its outcome is there; ``None``: not yet.

        Raises:
            LinkError: no such trigger waits.
        """
        if trigger not in self._open:
            raise LinkError(f"trigger {trigger} does not wait for a result here")
        return True if trigger in self._exposed or self._open[trigger] is not None else None

    def _take(self, line: bytearray) -> None:
        if not line.strip():
            return
        try:
            message = decode_sent(line)
        except ValueError:
            self.not_understood += 1
            return
        if isinstance(message, StationHello):
            self.station = self.station or message
            self.state = StateChanged(state=message.state)
        elif isinstance(message, ErrorAnswer) and message.id is None:
            raise LinkError(f"the station says: {one_line(message.detail)}")
        elif isinstance(message, Accepted | Refused | Done | Snapshot | ErrorAnswer):
            self._answered(message)
        elif not isinstance(message, Heartbeat):
            self._happened(message)

    def _answered(self, message: Accepted | Refused | Done | Snapshot | ErrorAnswer) -> None:
        name = message.id
        if name is None or name not in self._waiting:
            return
        self._waiting[name] = message
        if isinstance(message, Accepted):
            self._open[message.trigger] = None
            self._ids[message.trigger] = name

    def _happened(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.state = event
        elif isinstance(event, PartResult):
            # Both the station's number and our own id have to be those of a trigger that still waits.
            if self._open.get(event.trigger, event) is None and self._ids.get(event.trigger) == event.id:
                self._open[event.trigger] = event
        elif isinstance(event, FaultRaised):
            for trigger in event.triggers:
                if self._open.get(trigger, event) is None:
                    self._open[trigger] = event
        elif isinstance(event, ExposureComplete) and self._ids.get(event.trigger) == event.id:
            self._exposed.add(event.trigger)
        if event.__struct_config__.tag in self._topics:
            self.events_lost += len(self.events) == _EVENTS_KEPT
            self.events.append(event)


def lost(path: Path, error: OSError | None) -> LinkError:
    """What is raised when the connection ends; ``error``: what the system said, where it said something."""
    detail = "" if error is None else f": {error.strerror or error}"
    return LinkError(f"the connection to the station at {path} is lost{detail}")
