"""A client of a station, for programs that wait for each answer."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from edge_ad.errors import EdgeAdError, InputError, LinkError, LinkRefusedError
from edge_ad.link.client_side import ClientSide, lost
from edge_ad.link.handed import OwnedFd
from edge_ad.link.lines import encode_line
from edge_ad.link.messages import (
    Accepted,
    AcknowledgeRequest,
    Answer,
    ChallengeAction,
    ChallengeRequest,
    Event,
    Heartbeat,
    PartResult,
    RecipeRequest,
    Request,
    ResetCountersRequest,
    ResetRequest,
    Snapshot,
    SnapshotRequest,
    StationHello,
    StationState,
    SubscribeRequest,
    Topic,
    UpdateRequest,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Connected to a station from the first line on; for one thread.

    >>> with Client("/run/edge-ad/line1.sock") as link:             # doctest: +SKIP
    ...     part_may_pass = link.passes(part_id="A-17")

    ``heartbeat_s``: promises the station a sign of life in this interval; then call ``heartbeat`` or anything else
    often enough, or it drops the connection. Without it the station does not mind silence.

    Raises:
        LinkError: no station listens there, or it speaks another version.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        client: str = "python",
        timeout_s: float = 5.0,
        heartbeat_s: float | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = Path(path)
        self._timeout_s = timeout_s
        self._clock = clock
        self._side = ClientSide(self._path, heartbeat_s)
        self._socket = _connected(self._path, timeout_s)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            self._send(self._side.hello(client))
            self._hello: StationHello = self._wait(self._side.greeted, timeout_s, "hello")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def station(self) -> str:
        """The station's name."""
        return self._hello.station

    @property
    def state(self) -> StationState:
        """The last known state; it follows the station only for a subscriber of ``state``."""
        return self._hello.state if self._side.state is None else self._side.state.state

    def fileno(self) -> int:
        """For a loop of your own: readable when the station sent something."""
        return self._socket.fileno()

    # --- parts

    def passes(
        self, part_id: str | None = None, pixels: NDArray[np.uint8] | None = None, *, timeout_s: float = 1.0
    ) -> bool:
        """Triggers one part and waits: true for its own ACCEPT within ``timeout_s`` alone, false for all else.

        Refusals, FAULT, a lost link and an answer that comes too late are false as well.

        Raises:
            InputError: ``pixels`` or ``part_id`` cannot be sent, or no pixels were given to a station whose camera is
                the link: that is a fault of the program, not of the part.
        """
        end_ns = self._clock() + int(timeout_s * 1e9)
        try:
            trigger = self._asked(part_id, pixels, None, timeout_s)
            accepted = self.result(trigger, timeout_s=(end_ns - self._clock()) / 1e9).accepted
            return accepted and self._clock() <= end_ns
        except LinkRefusedError as error:
            if error.reason == "needs_frame":
                raise InputError(f"{error}: give passes() the pixels of the part") from None
            return False
        except LinkError:
            return False

    def trigger(self, part_id: str | None = None) -> int:
        """A part is there. Returns the number of the trigger, for ``result``.

        Raises:
            LinkRefusedError: the station takes no trigger now.
        """
        return self._asked(part_id, None, None, self._timeout_s)

    def hand_in(self, pixels: NDArray[np.uint8], part_id: str | None = None, camera: str | None = None) -> int:
        """Gives the station a picture to judge: uint8 (H, W, 3) BGR or (H, W) gray. Returns the trigger's number.

        Raises:
            InputError: other pixels.
            LinkRefusedError: the station takes no frame now.
        """
        return self._asked(part_id, pixels, camera, self._timeout_s)

    def result(self, trigger: int, *, timeout_s: float = 5.0) -> PartResult:
        """Waits for the result of an own trigger. One that is waited for in vain is given up.

        Raises:
            LinkTimeoutError: it did not come in time.
            StationFaultError: the station went into FAULT; there is no result.
            LinkError: the connection is lost.
        """
        try:
            return self._wait(lambda: self._side.result(trigger), timeout_s, f"the result of trigger {trigger}")
        except EdgeAdError:
            self._side.forget(trigger)
            raise

    def exposed(self, trigger: int, *, timeout_s: float = 5.0) -> None:
        """Waits until the last picture for an own trigger is taken: the line may move on.

        Raises:
            LinkTimeoutError: it was not taken in time. The trigger still waits for its result.
            LinkError: the connection is lost.
        """
        self._wait(lambda: self._side.exposed(trigger), timeout_s, f"the exposure of trigger {trigger}")

    # --- the station

    def snapshot(self, *, recent_parts: bool = False) -> Snapshot:
        """How the station stands; ``recent_parts``: with the parts that clients of this name triggered of late."""
        return self._answer(SnapshotRequest(id=self._side.next_id(), recent_parts=recent_parts), Snapshot)

    def recipe(self, name: str, *, by: str | None = None) -> None:
        """Asks for a recipe. The station tells subscribers of ``recipe`` when it is active.

        ``by``, here and below: who wants it, for the station's log.
        """
        self._request(RecipeRequest(id=self._side.next_id(), name=name, by=by))

    def acknowledge(self, alarm: str, *, by: str | None = None) -> None:
        """Says that somebody has seen the alarm."""
        self._request(AcknowledgeRequest(id=self._side.next_id(), alarm=alarm, by=by))

    def reset(self, *, by: str | None = None) -> None:
        """Leaves FAULT, where its cause is gone."""
        self._request(ResetRequest(id=self._side.next_id(), by=by))

    def reset_counters(self, *, by: str | None = None) -> None:
        """Closes the present count, as at the end of a shift; ``counts`` of the snapshot begins at zero."""
        self._request(ResetCountersRequest(id=self._side.next_id(), by=by))

    def update(self, bundle: str, slot: int, *, by: str | None = None) -> None:
        """Asks for a bundle that was deployed and checked; the topic ``update`` tells what becomes of it."""
        self._request(UpdateRequest(id=self._side.next_id(), bundle=bundle, slot=slot, by=by))

    def challenge(
        self,
        action: ChallengeAction,
        part: str | None = None,
        *,
        runs: int = 1,
        by: str | None = None,
    ) -> None:
        """Proves the station; ``challenge`` of the snapshot says how that goes."""
        asked = ChallengeRequest(id=self._side.next_id(), action=action, part=part, runs=runs, by=by)
        self._request(asked)

    def subscribe(self, *topics: Topic) -> None:
        """From now on ``next_event`` gives events of these topics; of all, where none is named."""
        self._side.subscribed(topics)
        self._request(SubscribeRequest(id=self._side.next_id(), topics=topics or None))

    def next_event(self, *, timeout_s: float = 5.0) -> Event:
        """The oldest event that was not read yet.

        Raises:
            LinkTimeoutError: none came in time.
        """
        return cast("Event", self._wait(self._side.next_event, timeout_s, "an event"))

    def heartbeat(self) -> None:
        """A sign of life."""
        self._send(encode_line(Heartbeat()))

    def close(self) -> None:
        """May be called more than once."""
        self._socket.close()

    # --- inside

    def _asked(
        self, part_id: str | None, pixels: NDArray[np.uint8] | None, camera: str | None, timeout_s: float
    ) -> int:
        request, memory = self._side.part(part_id, pixels, camera)
        try:
            return self._answer(request, Accepted, timeout_s, memory).trigger
        finally:
            if memory is not None:
                memory.close()

    def _answer(
        self, request: Request, expected: type[T], timeout_s: float | None = None, memory: OwnedFd | None = None
    ) -> T:
        answer = self._request(request, timeout_s, memory)
        if not isinstance(answer, expected):
            raise LinkError(f"the station answered a {type(answer).__name__} to a {type(request).__name__}")
        return answer

    def _request(self, request: Request, timeout_s: float | None = None, memory: OwnedFd | None = None) -> Answer:
        name: str = getattr(request, "id")  # noqa: B009  every request but hello and heartbeat has one
        try:
            self._send(encode_line(request), memory)
            waits_s = self._timeout_s if timeout_s is None else timeout_s
            return cast("Answer", self._wait(lambda: self._side.answer(name), waits_s, "an answer"))
        except EdgeAdError:
            self._side.give_up(name)
            raise

    def _send(self, line: bytes, memory: OwnedFd | None = None) -> None:
        try:
            sent = 0 if memory is None else socket.send_fds(self._socket, [line], [memory.fd])
            self._socket.sendall(line[sent:])
        except OSError as error:
            # Half a line may be out: nothing sensible can follow it.
            self.close()
            raise lost(self._path, error) from error

    def _wait(self, found: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """Reads until ``found`` gives something; what has arrived already is read first, whatever the time."""
        started_ns = self._clock()
        end_ns = started_ns + int(timeout_s * 1e9)
        while True:
            if (value := found()) is not None:
                return value
            left_ns = min(end_ns, self._side.silent_ns(started_ns)) - self._clock()
            if self._read(max(0, left_ns)) and left_ns > 0:
                continue
            if (value := found()) is not None:
                return value
            self._side.check_time(self._clock(), end_ns, started_ns, what)

    def _read(self, wait_ns: int) -> bool:
        """True when something was read within this time."""
        if not self._poll.poll(wait_ns / 1e6):
            return False
        try:
            data = self._socket.recv(65_536)
        except OSError as error:
            raise lost(self._path, error) from error
        if not data:
            raise lost(self._path, None)
        self._side.receive(data, self._clock())
        return True


def _connected(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise LinkError(f"no station listens on {path}: {error.strerror or error}") from error
    return connection
