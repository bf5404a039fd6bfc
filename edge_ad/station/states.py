"""The states of a station, as a table. The diagram in ``docs/station.md`` is drawn from it."""

from __future__ import annotations

from enum import Enum

from edge_ad.link.messages import StationState

__all__ = ["TRANSITIONS", "StationChange", "draw_states", "following"]


class StationChange(str, Enum):
    """What moves a station from one state to another."""

    OPENED = "cameras and scorers are ready"
    SCORER_LOST = "a scorer has to be started again"
    CAMERA_CHANGED = "a camera is opened with other settings"
    PART_BEGUN = "a part was triggered"
    PARTS_DONE = "no part is open any more"
    FAILED = "a cause of a fault appeared"
    CLEARED = "the last cause of a fault is gone"
    STOP = "asked to stop"


TRANSITIONS: dict[tuple[StationState, StationChange], StationState] = {
    (StationState.STARTING, StationChange.OPENED): StationState.READY,
    (StationState.STARTING, StationChange.FAILED): StationState.FAULT,
    (StationState.STARTING, StationChange.STOP): StationState.STOPPING,
    (StationState.READY, StationChange.PART_BEGUN): StationState.BUSY,
    (StationState.READY, StationChange.SCORER_LOST): StationState.STARTING,
    (StationState.READY, StationChange.CAMERA_CHANGED): StationState.STARTING,
    (StationState.READY, StationChange.FAILED): StationState.FAULT,
    (StationState.READY, StationChange.STOP): StationState.STOPPING,
    (StationState.BUSY, StationChange.PARTS_DONE): StationState.READY,
    (StationState.BUSY, StationChange.SCORER_LOST): StationState.STARTING,
    (StationState.BUSY, StationChange.FAILED): StationState.FAULT,
    (StationState.BUSY, StationChange.STOP): StationState.STOPPING,
    (StationState.FAULT, StationChange.CLEARED): StationState.STARTING,
    (StationState.FAULT, StationChange.STOP): StationState.STOPPING,
}
"""Every change that there is. A pair that is missing changes nothing."""


def following(state: StationState, happening: StationChange) -> StationState:
    """The state after ``happening``: the same where the table has no such row."""
    return TRANSITIONS.get((state, happening), state)


def draw_states() -> str:
    """The table as a Mermaid state diagram."""
    rows = [f"    {before.value} --> {after.value}: {why.value}" for (before, why), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> STARTING", *rows, "    STOPPING --> [*]"])
