"""The states of a vision system as OPC 40100-1 has them, and how the station's state is shown by them. No socket."""

from __future__ import annotations

from collections import deque
from enum import Enum

from edge_ad.controllers.view import StationView
from edge_ad.link.messages import StationState

__all__ = ["OPERATIONAL", "TRANSITIONS", "VisionState", "draw_states", "path_between", "vision_state"]


class VisionState(str, Enum):
    """The values are the names of the state nodes; the last three are inside of Operational."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE_EXECUTION = "SingleExecution"


OPERATIONAL = frozenset({VisionState.INITIALIZED, VisionState.READY, VisionState.SINGLE_EXECUTION})
"""The states of AutomaticModeStateMachine; in all others that machine is not active."""

TRANSITIONS: dict[tuple[VisionState, VisionState], str] = {
    (VisionState.PREOPERATIONAL, VisionState.INITIALIZED): "PreoperationalToOperationalAuto",
    (VisionState.PREOPERATIONAL, VisionState.ERROR): "PreoperationalToErrorAuto",
    (VisionState.PREOPERATIONAL, VisionState.HALTED): "PreoperationalToHaltedAuto",
    (VisionState.HALTED, VisionState.PREOPERATIONAL): "HaltedToPreoperationalAuto",
    (VisionState.ERROR, VisionState.PREOPERATIONAL): "ErrorToPreoperationalAuto",
    (VisionState.ERROR, VisionState.HALTED): "ErrorToHaltedAuto",
    (VisionState.ERROR, VisionState.INITIALIZED): "ErrorToOperationalAuto",
    (VisionState.INITIALIZED, VisionState.READY): "InitializedToReadyAuto",
    (VisionState.READY, VisionState.INITIALIZED): "ReadyToInitializedAuto",
    (VisionState.READY, VisionState.SINGLE_EXECUTION): "ReadyToSingleExecution",
    (VisionState.SINGLE_EXECUTION, VisionState.READY): "SingleExecutionToReadyAuto",
    **{(inner, VisionState.ERROR): "OperationalToErrorAuto" for inner in VisionState if inner in OPERATIONAL},
    **{(inner, VisionState.HALTED): "OperationalToHaltedAuto" for inner in VisionState if inner in OPERATIONAL},
    **{
        (inner, VisionState.PREOPERATIONAL): "OperationalToPreoperationalAuto"
        for inner in VisionState
        if inner in OPERATIONAL
    },
}
"""Every change that the server shows, with the name of its node. What is missing goes by way of others."""


def vision_state(view: StationView, *, is_late_fault: bool, is_exposing: bool) -> VisionState:
    """What is shown of a station.

    ``is_late_fault``: too many results did not come in time. ``is_exposing``: a job's pictures are being taken.
    """
    if not view.is_connected or view.state is StationState.STARTING:
        return VisionState.PREOPERATIONAL
    if view.state is StationState.STOPPING:
        return VisionState.HALTED
    if view.is_fault or is_late_fault:
        return VisionState.ERROR
    if is_exposing:
        return VisionState.SINGLE_EXECUTION
    is_changing = view.requested_recipe not in {None, view.recipe}
    return VisionState.INITIALIZED if view.recipe is None or is_changing else VisionState.READY


def path_between(before: VisionState, after: VisionState) -> list[VisionState]:
    """The shortest way that the specification allows, without ``before``; empty for the same state."""
    came_from: dict[VisionState, VisionState] = {before: before}
    waiting = deque([before])
    while waiting and after not in came_from:
        here = waiting.popleft()
        for start, end in TRANSITIONS:
            if start is here and end not in came_from:
                came_from[end] = here
                waiting.append(end)
    path: list[VisionState] = []
    while after is not before:
        path.append(after)
        after = came_from[after]
    return path[::-1]


def draw_states() -> str:
    """``TRANSITIONS`` as a Mermaid state diagram."""
    rows = [f"    {before.value} --> {after.value}: {name}" for (before, after), name in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> Preoperational", *rows])
