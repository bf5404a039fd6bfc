"""What is published and what is understood: the JSON of each topic, and its schema."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edge_ad.controllers.conversation import Outcome
from edge_ad.link.messages import PART_ID_CHARACTERS, StationState
from edge_ad.verdict import State, Verdict

__all__ = [
    "AcknowledgeCommand",
    "AlarmMessage",
    "Answer",
    "Command",
    "CountersMessage",
    "ExposureMessage",
    "FaultMessage",
    "OnlineMessage",
    "RecipeCommand",
    "RecipeMessage",
    "ResetCommand",
    "ResetCountersCommand",
    "ResultMessage",
    "StateMessage",
    "TriggerCommand",
    "schemas",
]

_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
PartId = Annotated[str, msgspec.Meta(min_length=1, max_length=PART_ID_CHARACTERS, pattern=_PRINTABLE)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PRINTABLE)]


class Published(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out says nothing. Fields may be added: readers have to ignore those that they do not know."""


class ResultMessage(Published, frozen=True, kw_only=True):
    """The one result of a part.

    ``id``: of this result alone; whoever gets it twice has to take it once (QoS 1). ``sequence``: rises by one with
    every message of the topics ``result``, ``fault``, ``alarm`` and ``recipe``; a gap means that one was lost.
    ``passes``: true for ``ACCEPT`` alone. ``code``: the number of ``reason``, see the table of codes. ``trigger``: the
    number that the station gave to this part since it started. ``score``, ``threshold``: of the frame that is furthest
    over its threshold. ``at``: when the result was heard, seconds since the epoch. ``latency_ms``: from the trigger to
    the result, by the station's clock. ``frames``: the verdict on each frame.
    """

    id: str
    sequence: int
    station: str
    at: float
    part_id: str | None = None
    trigger: int | None = None
    state: State
    passes: bool
    code: int
    reason: str | None = None
    detail: str | None = None
    recipe: str | None = None
    latency_ms: float | None = None
    score: float | None = None
    threshold: float | None = None
    frames: tuple[Verdict, ...] = ()


class StateMessage(Published, frozen=True, kw_only=True):
    """How the station stands. ``connected``: whether it can be heard; where it is false the rest is not known."""

    station: str
    connected: bool
    state: StationState | None = None
    cause: str | None = None
    causes: tuple[str, ...] = ()
    recipe: str | None = None
    requested_recipe: str | None = None
    recipe_error: str | None = None
    recipes: tuple[str, ...] = ()
    alarms: dict[str, str] = {}


class CountersMessage(Published, frozen=True, kw_only=True):
    """What was counted with ``recipe`` since ``since`` (the station's local time).

    ``waiting``: messages that wait for the broker. ``dropped``: messages that were lost since this adapter started,
    because too many waited. ``unwritten``: messages that wait in memory alone, because the disk does not take them.
    """

    recipe: str | None
    since: str | None
    total: int
    ok: int
    ng: int
    invalid: int
    refused: int
    waiting: int
    dropped: int
    unwritten: int


class AlarmMessage(Published, frozen=True, kw_only=True):
    """An alarm came (``active``), went, or was acknowledged."""

    sequence: int
    alarm: str
    text: str
    active: bool
    acknowledged: bool


class RecipeMessage(Published, frozen=True, kw_only=True):
    """Where a change of recipe stands. With ``error`` the recipe ``active`` goes on."""

    sequence: int
    requested: str | None
    active: str | None
    acknowledged: bool
    error: str | None = None


class FaultMessage(Published, frozen=True, kw_only=True):
    """Inspection stops. ``triggers``: parts that were accepted and have no result: they are rejected."""

    sequence: int
    cause: str
    detail: str | None = None
    triggers: tuple[int, ...] = ()


class ExposureMessage(Published, frozen=True, kw_only=True):
    """The last picture of this part is taken: it may move on."""

    trigger: int
    part_id: str | None


class OnlineMessage(Published, frozen=True, kw_only=True):
    """Whether this adapter is connected to the broker; the broker itself says ``false`` where it is lost."""

    online: bool


class Answer(Published, frozen=True, kw_only=True):
    """The one answer to a command.

    ``done``: it was carried out; for a trigger: the part was inspected, and ``result`` says how. Otherwise ``reason``
    is a short word and ``detail`` a sentence. ``repeated``: the part was inspected before, and ``result`` is of then.
    """

    command: str
    done: bool
    part_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    repeated: bool = False
    result: ResultMessage | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``by``: who wants it, for the station's log; nobody checks that it is true."""

    by: Name | None = None


class TriggerCommand(Command, frozen=True, kw_only=True):
    """A part is there. The same ``part_id`` again is answered with the result of before."""

    part_id: PartId


class RecipeCommand(Command, frozen=True, kw_only=True):
    """Change to this recipe between two parts."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_PRINTABLE)]


class ResetCommand(Command, frozen=True, kw_only=True):
    """Leave FAULT, where its cause is gone; part ids may begin anew."""


class AcknowledgeCommand(Command, frozen=True, kw_only=True):
    """Somebody has seen this alarm."""

    alarm: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=_PRINTABLE)]


class ResetCountersCommand(Command, frozen=True, kw_only=True):
    """Begin to count anew."""


COMMANDS: dict[str, type[Command]] = {
    "trigger": TriggerCommand,
    "recipe": RecipeCommand,
    "reset": ResetCommand,
    "acknowledge": AcknowledgeCommand,
    "reset_counters": ResetCountersCommand,
}
PUBLISHED: dict[str, type[Published]] = {
    "result": ResultMessage,
    "fault": FaultMessage,
    "alarm": AlarmMessage,
    "recipe": RecipeMessage,
    "exposure": ExposureMessage,
    "state": StateMessage,
    "counters": CountersMessage,
    "online": OnlineMessage,
    "answer": Answer,
}


def schemas() -> dict[str, Any]:
    """The JSON Schema of every topic, below the base topic, as one document."""
    topics = {**PUBLISHED, **{f"command/{name}": kind for name, kind in COMMANDS.items()}}
    found, components = msgspec.json.schema_components(topics.values(), ref_template="#/$defs/{name}")
    for one in components.values():
        if "description" in one:
            one["description"] = " ".join(one["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edge-ad over MQTT",
        "topics": dict(zip(topics, found, strict=True)),
        "$defs": components,
    }


def result_message(outcome: Outcome, name: str, sequence: int, station: str, at: float) -> ResultMessage:
    """What is published of an outcome."""
    given = outcome.result
    return ResultMessage(
        id=name,
        sequence=sequence,
        station=station,
        at=at,
        part_id=outcome.part_id,
        trigger=outcome.trigger,
        state=outcome.state,
        passes=outcome.passes,
        code=int(outcome.code),
        reason=None if outcome.passes else outcome.code.name.lower(),
        detail=outcome.detail,
        recipe=outcome.recipe,
        latency_ms=outcome.latency_ms,
        score=outcome.score,
        threshold=outcome.threshold,
        frames=() if given is None else given.verdicts,
    )
