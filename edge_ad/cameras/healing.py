"""When a camera counts as lost, and when it is tried again: a table and a clock, without a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from edge_ad.cameras.messages import CameraState, CameraStatus, Setting

__all__ = ["Action", "Backoff", "Event", "Healing", "Patience"]

_NS = 1_000_000_000


class Event(str, Enum):
    """What can happen to a capture."""

    WORKING = "working"
    """The first frame of a camera in ``free`` mode; of others, that it is open and waits for triggers."""
    GONE = "gone"
    """It cannot be reached, was unplugged, fell silent, hung, or its process died."""
    SAID_NO = "said_no"
    """It answered, and refused: busy, no permission, a setting that it does not take."""


class Action(str, Enum):
    """What the owner of the capture process has to do."""

    NOTHING = "nothing"
    START = "start"
    KILL = "kill"


TABLE: dict[tuple[CameraState, Event], CameraState] = {
    (CameraState.CONNECTING, Event.WORKING): CameraState.STREAMING,
    (CameraState.CONNECTING, Event.GONE): CameraState.LOST,
    (CameraState.CONNECTING, Event.SAID_NO): CameraState.REFUSED,
    (CameraState.STREAMING, Event.WORKING): CameraState.STREAMING,
    (CameraState.STREAMING, Event.GONE): CameraState.LOST,
    (CameraState.STREAMING, Event.SAID_NO): CameraState.REFUSED,
    (CameraState.LOST, Event.WORKING): CameraState.STREAMING,
    (CameraState.LOST, Event.GONE): CameraState.LOST,
    (CameraState.LOST, Event.SAID_NO): CameraState.REFUSED,
    (CameraState.REFUSED, Event.WORKING): CameraState.STREAMING,
    (CameraState.REFUSED, Event.GONE): CameraState.LOST,
    (CameraState.REFUSED, Event.SAID_NO): CameraState.REFUSED,
}
"""Every state with every event. While a lost or refused camera is tried again, its state stays until it works."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Each wait is twice the last one, from ``first_s`` to at most ``longest_s``."""

    first_s: float
    longest_s: float

    def wait_ns(self, failures: int) -> int:
        """How long to wait after so many failures in a row, from 1 on."""
        doubled: float = self.first_s * 2 ** min(failures - 1, 30)
        return round(min(doubled, self.longest_s) * _NS)


_AFTER_LOSS = Backoff(0.25, 5.0)
_AFTER_REFUSAL = Backoff(5.0, 60.0)
_SETTLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """After how long without a word a capture counts as lost. ``silence_s``: without a frame; ``None``: no matter."""

    open_s: float
    hang_s: float
    silence_s: float | None


@dataclass(slots=True)
class _Attempt:
    """One capture process, from its start on. Times are monotonic nanoseconds."""

    started_ns: int
    turned_ns: int
    frame_ns: int
    is_open: bool = False
    has_worked: bool = False


@dataclass(slots=True)
class Healing:
    """Decides when a capture is started, ended and started again; every time is given by the caller.

    ``needs_frame``: a camera in ``free`` mode works from its first frame on; others once they are open.
    """

    patience: Patience
    needs_frame: bool
    after_loss: Backoff = _AFTER_LOSS
    after_refusal: Backoff = _AFTER_REFUSAL
    state: CameraState = CameraState.CONNECTING
    settings: dict[str, Setting] = field(default_factory=dict)
    _attempt: _Attempt | None = None
    _start_ns: int | None = 0
    _losses: int = 0
    _refusals: int = 0
    _died_early: bool = False
    _told: set[str] = field(default_factory=set)

    def started(self, now_ns: int) -> None:
        """A capture process was started."""
        self._attempt = _Attempt(now_ns, now_ns, now_ns)
        self._start_ns = None

    def opened(self, settings: dict[str, Setting], now_ns: int) -> CameraStatus | None:
        """The capture has opened the camera. The returned status, if any, is to be told."""
        if self._attempt is None:
            return None
        self._attempt.is_open = True
        self._attempt.turned_ns = self._attempt.frame_ns = now_ns
        self.settings = settings
        return None if self.needs_frame else self._works()

    def turned(self, now_ns: int) -> None:
        """The loop that waits for frames came round."""
        if self._attempt is not None:
            self._attempt.turned_ns = now_ns

    def frame(self, now_ns: int) -> CameraStatus | None:
        """A frame has arrived. The returned status, if any, is to be told before the frame."""
        if self._attempt is None:
            return None
        self._attempt.turned_ns = self._attempt.frame_ns = now_ns
        return self._works()

    def failed(self, detail: str, now_ns: int, *, is_refusal: bool) -> CameraStatus | None:
        """The capture has failed and is not there any more. Waits begin again after it went well for 10 s."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None and attempt.has_worked and now_ns - attempt.started_ns >= _SETTLED_S * _NS:
            self._losses = self._refusals = 0
        if is_refusal:
            self._refusals += 1
            self._start_ns = now_ns + self.after_refusal.wait_ns(self._refusals)
        else:
            self._losses += 1
            self._start_ns = now_ns + self.after_loss.wait_ns(self._losses)
        return self._step(Event.SAID_NO if is_refusal else Event.GONE, detail)

    def died(self, detail: str, now_ns: int) -> CameraStatus | None:
        """The capture process is dead without a last word. Twice in a row before it ever worked, this is a refusal."""
        early = self._attempt is not None and not self._attempt.has_worked
        again = early and self._died_early
        self._died_early = early
        return self.failed(detail, now_ns, is_refusal=again)

    def ended(self) -> None:
        """A file came to its end: nothing is started any more."""
        self._attempt = None
        self._start_ns = None

    def hung(self, now_ns: int) -> str | None:
        """Why the capture is to be ended now; ``None``: it is well, or there is none."""
        attempt = self._attempt
        if attempt is None or now_ns < self._deadline_ns(attempt):
            return None
        if not attempt.is_open:
            return f"the camera did not open within {self.patience.open_s:g} s"
        if now_ns >= attempt.turned_ns + round(self.patience.hang_s * _NS):
            return f"the capture hangs: its loop did not come round for {self.patience.hang_s:g} s"
        return f"no frame for {self.patience.silence_s:g} s"

    def action(self, now_ns: int) -> Action:
        """What is due now."""
        if self._start_ns is not None:
            return Action.START if now_ns >= self._start_ns else Action.NOTHING
        return Action.NOTHING if self.hung(now_ns) is None else Action.KILL

    def due_ns(self) -> int | None:
        """When to ask again for what is due; ``None``: never."""
        if self._start_ns is not None:
            return self._start_ns
        return None if self._attempt is None else self._deadline_ns(self._attempt)

    def _deadline_ns(self, attempt: _Attempt) -> int:
        if not attempt.is_open:
            return attempt.started_ns + round(self.patience.open_s * _NS)
        hang_ns = attempt.turned_ns + round(self.patience.hang_s * _NS)
        if self.patience.silence_s is None:
            return hang_ns
        return min(hang_ns, attempt.frame_ns + round(self.patience.silence_s * _NS))

    def _works(self) -> CameraStatus | None:
        if self._attempt is not None:
            self._attempt.has_worked = True
        return self._step(Event.WORKING, None)

    def _step(self, event: Event, detail: str | None) -> CameraStatus | None:
        """The next state. It is told when it is a new one, and so is a cause that was not told since it last worked."""
        before, self.state = self.state, TABLE[self.state, event]
        if self.state is CameraState.STREAMING:
            self._told.clear()
            return None if before is self.state else CameraStatus(state=self.state, settings=self.settings)
        if before is self.state and detail in self._told:
            return None
        self._told.add(detail or "")
        return CameraStatus(state=self.state, detail=detail)
