"""The loop of the station: waits for cameras, scorers, clients and the clock, and lets the core decide."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edge_ad.cameras import CameraEnded, CameraStatus
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.link import messages
from edge_ad.station.core import StationCore
from edge_ad.station.hands import Hands
from edge_ad.station.notify import Notifier
from edge_ad.station.parts import Asker, Moment
from edge_ad.station.scorer_messages import Refusal, Scored, ScorerReady
from edge_ad.station.watching import StationWatch

if TYPE_CHECKING:
    from edge_ad.link import ClientRequest, LinkServer
    from edge_ad.station.digital_input import TriggerInput
    from edge_ad.station.part_outputs import QueuedOutput
    from edge_ad.station.parts import InspectedPart
    from edge_ad.station.proving import StationProofs
    from edge_ad.station.scorer_process import ScorerProcess
    from edge_ad.station.station_file import StationFile
    from edge_ad.station.updating import StationUpdates

__all__ = ["StationLoop"]

_LONGEST_WAIT_NS = 1_000_000_000


class StationLoop:
    """One running station. ``told`` is given every event and result, for a terminal or a test.

    ``watch``: who follows it for people; by default a log without counts. ``trigger``: the digital input whose pulses
    are parts. ``updates``: the bundles that were deployed to it. ``proofs``: what was proved of it.
    """

    def __init__(
        self,
        file: StationFile,
        *,
        link: LinkServer | None = None,
        outputs: tuple[QueuedOutput, ...] = (),
        told: Callable[[messages.Event | InspectedPart], None] = lambda _: None,
        watch: StationWatch | None = None,
        trigger: TriggerInput | None = None,
        updates: StationUpdates | None = None,
        proofs: StationProofs | None = None,
    ) -> None:
        self.file = file
        self.core = StationCore(file, () if proofs is None else proofs.known)
        self._link = link
        self._watch = watch or StationWatch(file)
        self._updates = updates
        self._proofs = proofs
        self._hands = Hands(file, self.core, link, outputs, (self._watch.told, told), updates, proofs)
        self._notifier = Notifier()
        self._trigger = trigger
        self._timer_ns = 0
        self._stop_by_ns: int | None = None
        self._status = ""
        self._poll, self._polled = select.poll(), dict[int, tuple[Any, ...]]()
        self._woken, self._waking = socket.socketpair()
        for one in (self._woken, self._waking):
            one.setblocking(False)

    def run(self) -> None:
        """Inspects until SIGTERM or SIGINT, or until the files that are its cameras have come to their end."""
        with self._woken, self._waking, _stop_signals(self._waking):
            try:
                while not self._is_over():
                    self._wait(self._tick(_now()))
                self._notifier.tell("STOPPING=1")
                self.core.end_all(_now())
            finally:
                self._hands.carry_out(self.core.actions())
                self._hands.close()
                self._watch.close(self.core, _now(), self._hands.output_states())

    def stop(self) -> None:
        """Asks the loop to stop, from any thread. One that has stopped is left alone."""
        with contextlib.suppress(OSError):
            self._waking.send(b"\0")

    def scorers(self) -> list[ScorerProcess]:
        """The scorers, whether their processes run or not."""
        return list(self._hands.scorers.values())

    def add_output(self, output: QueuedOutput) -> None:
        """Results from now on go there, too; it is closed with the station."""
        self._hands.outputs += (output,)

    def scorer_pids(self) -> list[int]:
        """The processes of the scorers that run."""
        return [one.pid for one in self._hands.scorers.values() if one.pid is not None]

    def child_pids(self) -> list[int]:
        """The processes that the station has started and not ended."""
        return self.scorer_pids() + [one.pid for one in self._hands.cameras.values() if one.pid is not None]

    def _is_over(self) -> bool:
        if self._stop_by_ns is None:
            return self.core.is_finished
        return not self.core.parts or time.monotonic_ns() >= self._stop_by_ns

    def _tick(self, now: Moment) -> int:
        """What is due; when the next thing is."""
        hands, core = self._hands, self.core
        hands.carry_out(core.actions())
        due = [hands.tick_scorers(now.ns), self._notifier.tick(now.ns), self._tick_timer(now)]
        if hands.scorers_have_been_ready or not all(one.is_files for one in self.file.camera.values()):
            due.append(hands.tick_cameras(now.ns))
            for name in hands.cameras:  # a tick may have heard something, too
                self._hear_camera(name)
        if self._trigger is not None:
            due.append(self._trigger.tick(now.ns))
            core.input_status(self._trigger.error)
        core.tick(now)
        core.challenges.tick(now, self._watch.shift_began(now.at))
        hands.carry_out(core.actions())
        due.append(core.next_tick_ns())
        if self._link is not None:
            due.append(self._link.tick(now.ns))
        clients = {} if self._link is None else self._link.clients
        due.append(self._watch.tick(now, core, hands.output_states, clients))
        self._tell_systemd()
        return min([one for one in due if one is not None], default=now.ns + _LONGEST_WAIT_NS)

    def _tell_systemd(self) -> None:
        """The service is up when its loop turns: a camera that is unplugged at that time is no reason to end it."""
        condition = self.core.condition
        status = f"STATUS={condition.state.value}{': ' + condition.cause if condition.cause else ''}"
        if status != self._status:
            self._notifier.tell(*([] if self._status else ["READY=1"]), status)
            self._status = status

    def _tick_timer(self, now: Moment) -> int | None:
        every_ms = self.file.station.timer_ms
        if every_ms is None:
            return None
        if now.ns >= self._timer_ns:
            late = self._timer_ns and now.ns - self._timer_ns < every_ms * 1_000_000
            self._timer_ns = (self._timer_ns if late else now.ns) + every_ms * 1_000_000
            self.core.trigger(None, None, now)
        return self._timer_ns

    def _wait(self, until_ns: int) -> None:
        watched = self._watched()
        if watched != self._polled:
            self._polled, self._poll = watched, select.poll()
            for fd in watched:
                self._poll.register(fd, select.POLLIN)
        wait_ns = min(until_ns - time.monotonic_ns(), _LONGEST_WAIT_NS)
        for fd, _ in self._poll.poll(max(0, -(-wait_ns // 1_000_000))):
            hear, *whom = watched[fd]
            hear(*whom)
            self._hands.carry_out(self.core.actions())

    def _watched(self) -> dict[int, tuple[Any, ...]]:
        """What is waited for: the descriptor, and what to call with what when it is readable."""
        watched: dict[int, tuple[Any, ...]] = {self._woken.fileno(): (self._asked_to_stop,)}
        if self._trigger is not None and (fd := self._trigger.fileno()) is not None:
            watched[fd] = (self._hear_trigger,)
        if self._updates is not None:
            watched[self._updates.fileno()] = (self._hear_updates,)
        if self._proofs is not None:
            watched[self._proofs.fileno()] = (self._hear_proofs,)
        if self._link is not None:
            watched[self._link.fileno()] = (self._hear_link,)
        for number, scorer in self._hands.scorers.items():
            if (fd := scorer.fileno()) is not None:
                watched[fd] = (self._hear_scorer, number)
        for name, camera in self._hands.cameras.items():
            if (fd := camera.fileno()) is not None:
                watched[fd] = (self._hear_camera, name)
        return watched

    def _asked_to_stop(self) -> None:
        self._woken.recv(64)
        if self._stop_by_ns is None:
            self._stop_by_ns = time.monotonic_ns() + self.file.station.deadline_ms * 1_000_000 + 500_000_000
            self.core.stop()

    def _hear_trigger(self) -> None:
        assert self._trigger is not None  # noqa: S101
        for pulse in self._trigger.read():
            now = _now()
            self.core.pulse(Moment(pulse.at_ns, now.at - (now.ns - pulse.at_ns) / 1e9), pulse.lost_before)
            self._hands.carry_out(self.core.actions())
        self.core.input_status(self._trigger.error)

    def _hear_updates(self) -> None:
        assert self._updates is not None  # noqa: S101
        for what, error in self._updates.noted():
            self.core.update_noted(what, error)

    def _hear_proofs(self) -> None:
        assert self._proofs is not None  # noqa: S101
        for what, error in self._proofs.done():
            if isinstance(what, str):
                self.core.challenges.not_needed(what)
            else:
                self.core.challenges.kept(what, error)

    def _hear_scorer(self, number: int) -> None:
        scorer = self._hands.scorers.get(number)
        for event in [] if scorer is None else scorer.receive():
            now = _now()
            self._watch.scorer(self._hands.scorer_names[number], number, event)
            if isinstance(event, Scored):
                self._hands.note_evidence(number, event)
                self.core.scored(event.job, event.verdict, now)
            elif isinstance(event, ScorerReady):
                self._hands.scorers_have_been_ready |= self._is_last_to_open(number)
                self.core.scorer_ready(number, now)
            elif isinstance(event, Refusal):
                self.core.scorer_refused(number, event.detail)
            else:
                self.core.scorer_lost(number, event.detail, now)

    def _is_last_to_open(self, number: int) -> bool:
        return all(one.is_ready or one.number == number for one in self.core.recipes.active.scorers.values())

    def _hear_camera(self, name: str) -> None:
        events = self._hands.cameras[name].receive()
        ring = self._hands.ring_of(name) if events else 0
        for event in events:
            if isinstance(event, CameraStatus):
                self._watch.camera(name, event)
                self.core.camera_status(name, event)
            elif isinstance(event, CameraEnded):
                self.core.camera_ended(name)
            else:
                self.core.frame(name, ring, event, _now())

    def _hear_link(self) -> None:
        assert self._link is not None  # noqa: S101
        for asked in self._link.ready():
            self._asked(asked)
            self._hands.carry_out(self.core.actions())

    def _asked(self, asked: ClientRequest) -> None:
        request, now = asked.request, _now()
        asker = Asker(asked.client, request.id)
        if isinstance(request, messages.OperatorRequest):
            self._watch.asked(request, self._client_name(asked.client))
        if isinstance(request, messages.TriggerRequest):
            self.core.trigger(asker, request.part_id, now)
        elif isinstance(request, messages.FrameRequest):
            assert asked.frame is not None  # noqa: S101
            camera = request.camera or self.file.only_link_camera() or ""
            self.core.hand_in(asker, request.part_id, self._hands.keep(camera, asked.frame), now)
        elif isinstance(request, messages.RecipeRequest):
            self.core.request_recipe(asker, request.name)
        elif isinstance(request, messages.AcknowledgeRequest):
            self.core.acknowledge(asker, request.alarm)
        elif isinstance(request, messages.ResetRequest):
            self.core.reset(asker)
        elif isinstance(request, messages.ResetCountersRequest):
            self._watch.reset_counts(self.core, now)
            self.core.done(asker)
        elif isinstance(request, messages.UpdateRequest):
            self._update_asked(asker, request)
        elif isinstance(request, messages.ChallengeRequest):
            self.core.request_challenge(asker, request, self._client_name(asked.client), now)
        else:
            self._hands.snapshot(asker, self._watch.facts(self.core, now), now)

    def _update_asked(self, asker: Asker, request: messages.UpdateRequest) -> None:
        try:
            if self._updates is None:
                raise InputError("this station takes no deployed bundles: add a table [update]")
            wanted = self._updates.find(request.bundle, request.slot)
        except EdgeAdError as error:
            self.core.refuse_update(asker, str(error))
        else:
            self.core.request_update(asker, wanted)

    def _client_name(self, client: int) -> str:
        return "" if self._link is None else self._link.clients.get(client, "")


def _now() -> Moment:
    return Moment(time.monotonic_ns(), time.time())


@contextlib.contextmanager
def _stop_signals(waking: socket.socket) -> Iterator[None]:
    """SIGTERM and SIGINT wake the loop through this socket instead of raising anywhere; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    former = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        for number, handler in before.items():
            signal.signal(number, handler)
