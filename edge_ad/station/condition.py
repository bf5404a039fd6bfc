"""The station's state, the causes of a fault, and alarms."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_ad.link.messages import AlarmChanged, StateChanged, StationState
from edge_ad.station.actions import Action, Publish
from edge_ad.station.states import StationChange, following
from edge_ad.verdict import Drift, DriftState

__all__ = ["Condition"]


@dataclass(slots=True)
class Condition:
    """Follows the table of states and publishes every change to ``out``.

    ``causes``: why the station is in FAULT, by a short name. A cause of ``latched`` stays until somebody resets it;
    the others go when what failed works again.
    """

    out: list[Action]
    state: StationState = StationState.STARTING
    causes: dict[str, str] = field(default_factory=dict)
    latched: set[str] = field(default_factory=set)
    alarms: dict[str, AlarmChanged] = field(default_factory=dict)
    drift: dict[str, DriftState] = field(default_factory=dict)

    @property
    def takes_triggers(self) -> bool:
        """Whether a part may begin."""
        return self.state in {StationState.READY, StationState.BUSY}

    @property
    def cause(self) -> str | None:
        """All causes in one line; ``None`` without one."""
        return "; ".join(self.causes.values()) or None

    def happened(self, what: StationChange) -> None:
        """Goes on to the state that the table names."""
        before, self.state = self.state, following(self.state, what)
        if self.state is not before:
            self._publish()

    def fail(self, name: str, text: str, *, latched: bool = False) -> bool:
        """Notes a cause; whether the station was not in FAULT before."""
        if latched:
            self.latched.add(name)
        is_known = self.causes.get(name) == text
        self.causes[name] = text
        if self.state in {StationState.FAULT, StationState.STOPPING}:
            if not is_known and self.state is StationState.FAULT:
                self._publish()
            return False
        self.happened(StationChange.FAILED)
        return True

    def clear(self, name: str) -> None:
        """What failed works again; a latched cause stays."""
        if name in self.causes and name not in self.latched:
            self._remove(name)

    def reset(self) -> None:
        """Somebody has looked: latched causes go, the others stay while they last."""
        for name in sorted(self.latched & set(self.causes)):
            self.latched.discard(name)
            self._remove(name)

    def alarm(self, name: str, text: str) -> None:
        """Raises an alarm, which stays until it is acknowledged."""
        self.alarms[name] = AlarmChanged(alarm=name, text=text)
        self.out.append(Publish(self.alarms[name]))

    def drifted(self, inspection: str, drift: Drift) -> None:
        """An alarm when it begins and when it gets worse; it goes when the frames are as they were."""
        before, self.drift[inspection] = self.drift.get(inspection, DriftState.OK), drift.state
        name = f"drift {inspection}"
        if drift.state is DriftState.OK:
            self.end_alarm(name)
        elif drift.state is not before:
            self.alarm(name, f"drift of {inspection}: {drift.state.value}: {', '.join(drift.causes)}")

    def end_alarm(self, name: str) -> None:
        """What the alarm was about is over."""
        found = self.alarms.pop(name, None)
        if found is not None:
            self.out.append(Publish(AlarmChanged(alarm=name, text=found.text, active=False)))

    def acknowledge(self, name: str) -> bool:
        """Somebody has seen this alarm; whether there is one."""
        found = self.alarms.pop(name, None)
        if found is not None:
            self.out.append(Publish(AlarmChanged(alarm=name, text=found.text, active=False, acknowledged=True)))
        return found is not None

    def _remove(self, name: str) -> None:
        del self.causes[name]
        if self.state is StationState.FAULT:
            if self.causes:
                self._publish()
            else:
                self.happened(StationChange.CLEARED)

    def _publish(self) -> None:
        self.out.append(Publish(StateChanged(state=self.state, cause=self.cause, causes=tuple(self.causes))))
