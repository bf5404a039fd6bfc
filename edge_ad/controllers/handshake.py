"""The handshake of signals, as tables: states, what happens, what follows, and which signals each state shows.

Four small machines run side by side. :class:`edge_ad.controllers.signalling.Signalling` drives them; the diagrams of
the documentation are drawn from the tables.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

__all__ = [
    "SHOWN",
    "TABLES",
    "ExposureState",
    "HandshakeEvent",
    "RecipeState",
    "ResultState",
    "SignalState",
    "TriggerState",
    "draw_handshake",
    "following",
]


class TriggerState(str, Enum):
    """What became of the trigger."""

    IDLE = "idle"
    ASKED = "asked"
    TAKEN = "taken"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class ExposureState(str, Enum):
    """Whether the newest part may leave its place under the camera."""

    NONE = "none"
    EXPOSING = "exposing"
    COMPLETE = "complete"


class ResultState(str, Enum):
    """What became of the newest result."""

    NONE = "none"
    SHOWN = "shown"
    READ = "read"
    NOT_TAKEN = "not taken"


class RecipeState(str, Enum):
    """Where a change of the recipe stands."""

    SETTLED = "settled"
    REQUESTED = "requested"
    ACTIVE = "active"
    FAILED = "failed"


SignalState = TriggerState | ExposureState | ResultState | RecipeState
S = TypeVar("S", TriggerState, ExposureState, ResultState, RecipeState)


class HandshakeEvent(str, Enum):
    """What the controller or the station did."""

    TRIGGER_ROSE = "trigger rises"
    TRIGGER_FELL = "trigger falls"
    PART_ACCEPTED = "the part is accepted"
    PART_REFUSED = "the part is refused"
    EXPOSED = "the last picture is taken"
    RESULT_OUT = "a result comes"
    RESULT_READ = "result_ack equals result_valid"
    NOT_READ_IN_TIME = "result_ack stays behind"
    RECIPE_ASKED = "another recipe is wanted"
    RECIPE_ACTIVE = "the recipe is active"
    RECIPE_REFUSED = "the recipe cannot be had"
    RECIPE_WITHDRAWN = "recipe is 0 or the active one"
    RECIPE_LOST = "another recipe is active, or the station is gone"


TRIGGERS: dict[tuple[TriggerState, HandshakeEvent], TriggerState] = {
    (TriggerState.IDLE, HandshakeEvent.TRIGGER_ROSE): TriggerState.ASKED,
    (TriggerState.ASKED, HandshakeEvent.PART_ACCEPTED): TriggerState.TAKEN,
    (TriggerState.ASKED, HandshakeEvent.PART_REFUSED): TriggerState.REFUSED,
    (TriggerState.ASKED, HandshakeEvent.TRIGGER_FELL): TriggerState.WITHDRAWN,
    (TriggerState.TAKEN, HandshakeEvent.TRIGGER_FELL): TriggerState.IDLE,
    (TriggerState.REFUSED, HandshakeEvent.TRIGGER_FELL): TriggerState.IDLE,
    # The controller did not wait for the answer. The part may be inspected all the same, and has its result.
    (TriggerState.WITHDRAWN, HandshakeEvent.PART_ACCEPTED): TriggerState.IDLE,
    (TriggerState.WITHDRAWN, HandshakeEvent.PART_REFUSED): TriggerState.IDLE,
    (TriggerState.WITHDRAWN, HandshakeEvent.TRIGGER_ROSE): TriggerState.REFUSED,
}

EXPOSURES: dict[tuple[ExposureState, HandshakeEvent], ExposureState] = {
    (ExposureState.NONE, HandshakeEvent.PART_ACCEPTED): ExposureState.EXPOSING,
    (ExposureState.COMPLETE, HandshakeEvent.PART_ACCEPTED): ExposureState.EXPOSING,
    (ExposureState.EXPOSING, HandshakeEvent.EXPOSED): ExposureState.COMPLETE,
    (ExposureState.COMPLETE, HandshakeEvent.TRIGGER_ROSE): ExposureState.NONE,
}

RESULTS: dict[tuple[ResultState, HandshakeEvent], ResultState] = {
    (ResultState.NONE, HandshakeEvent.RESULT_OUT): ResultState.SHOWN,
    (ResultState.SHOWN, HandshakeEvent.RESULT_READ): ResultState.READ,
    (ResultState.READ, HandshakeEvent.RESULT_OUT): ResultState.SHOWN,
    (ResultState.SHOWN, HandshakeEvent.NOT_READ_IN_TIME): ResultState.NOT_TAKEN,
    (ResultState.NOT_TAKEN, HandshakeEvent.RESULT_READ): ResultState.READ,
}

RECIPES: dict[tuple[RecipeState, HandshakeEvent], RecipeState] = {
    (RecipeState.SETTLED, HandshakeEvent.RECIPE_ASKED): RecipeState.REQUESTED,
    (RecipeState.ACTIVE, HandshakeEvent.RECIPE_ASKED): RecipeState.REQUESTED,
    (RecipeState.FAILED, HandshakeEvent.RECIPE_ASKED): RecipeState.REQUESTED,
    (RecipeState.REQUESTED, HandshakeEvent.RECIPE_ACTIVE): RecipeState.ACTIVE,
    (RecipeState.REQUESTED, HandshakeEvent.RECIPE_REFUSED): RecipeState.FAILED,
    (RecipeState.REQUESTED, HandshakeEvent.RECIPE_LOST): RecipeState.FAILED,
    (RecipeState.ACTIVE, HandshakeEvent.RECIPE_LOST): RecipeState.FAILED,
    (RecipeState.FAILED, HandshakeEvent.RECIPE_ACTIVE): RecipeState.ACTIVE,
    (RecipeState.ACTIVE, HandshakeEvent.RECIPE_WITHDRAWN): RecipeState.SETTLED,
    (RecipeState.FAILED, HandshakeEvent.RECIPE_WITHDRAWN): RecipeState.SETTLED,
}

TABLES = {"trigger": TRIGGERS, "exposure": EXPOSURES, "result": RESULTS, "recipe": RECIPES}
"""Every change that there is. What is missing changes nothing."""

SHOWN: dict[SignalState, tuple[str, ...]] = {
    TriggerState.TAKEN: ("trigger_ack",),
    TriggerState.REFUSED: ("trigger_error",),
    ExposureState.COMPLETE: ("exposure_complete",),
    RecipeState.ACTIVE: ("recipe_ack",),
    RecipeState.FAILED: ("recipe_error",),
}
"""The signals that are set in a state; in every other state they are not."""


def following(state: S, happening: HandshakeEvent) -> S:
    """The state after ``happening``: the same where no table has such a row."""
    table: dict[tuple[S, HandshakeEvent], S]
    for table in TABLES.values():  # type: ignore[assignment]
        if (state, happening) in table:
            return table[state, happening]
    return state


def draw_handshake(name: str) -> str:
    """One of ``TABLES`` as a Mermaid state diagram; names of states with the signals that they show."""
    table: dict[tuple[SignalState, HandshakeEvent], SignalState] = TABLES[name]  # type: ignore[assignment]
    states = {state: None for (before, _), after in table.items() for state in (before, after)}
    labels = [f"    {state.name}: {' '.join((state.value, *SHOWN.get(state, ())))}" for state in states]
    rows = [f"    {before.name} --> {after.name}: {why.value}" for (before, why), after in table.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {next(iter(states)).name}", *labels, *rows])
