"""Station files and events for tests of the station."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from edge_ad.cameras import CameraState, CameraStatus, FrameInfo
from edge_ad.link import messages
from edge_ad.link.messages import StationState
from edge_ad.station.actions import Action, AnswerClient, PartDone, Publish, ScoreFrame
from edge_ad.station.core import StationCore
from edge_ad.station.parts import InspectedPart, Moment
from edge_ad.station.station_file import StationFile
from edge_ad.station.strict import convert
from edge_ad.verdict import State, Verdict

__all__ = [
    "MS",
    "a_frame",
    "a_verdict",
    "at",
    "events",
    "of",
    "opened_core",
    "refusals",
    "results",
    "score_all",
    "state_of",
    "station_file",
    "to_toml",
]

T = TypeVar("T")

MS = 1_000_000


def station_file(**tables: Any) -> StationFile:
    """A station of one camera and one inspection; ``tables`` replace or add tables of its file."""
    data: dict[str, Any] = {
        "station": {"name": "trial"},
        "camera": {"top": {"source": "0"}},
        "inspect": {"top": {"camera": "top", "bundle": "bundle"}},
    }
    return convert(data | tables, StationFile, "")


def opened_core(file: StationFile, now_ns: int = 0) -> StationCore:
    """A station in READY, its first actions taken."""
    core = StationCore(file)
    now = Moment(now_ns, 0.0)
    for camera in file.camera:
        core.camera_status(camera, CameraStatus(state=CameraState.STREAMING))
    for slot in list(core.recipes.slots):
        core.scorer_ready(slot, now)
    core.actions()
    return core


def a_frame(at_ns: int, *, slot: int = 0, trigger: int | None = None, **more: Any) -> FrameInfo:
    """A frame of 4x4 gray pixels, captured at ``at_ns``."""
    given: dict[str, Any] = {"height": 4, "width": 4, "channels": 1, "sequence": slot, "captured_at": 0.0, **more}
    return FrameInfo(slot=slot, captured_ns=at_ns, trigger=trigger, **given)


def a_verdict(state: State = State.ACCEPT) -> Verdict:
    """A verdict of this state."""
    return Verdict(state=state, score=0.5, captured_at=0.0, bundle="b@1", variant="v")


def score_all(core: StationCore, actions: list[Action], now: Moment, state: State = State.ACCEPT) -> None:
    """Answers every frame that was lent."""
    for action in actions:
        if isinstance(action, ScoreFrame):
            core.scored(action.job, a_verdict(state), now)


def to_toml(tables: dict[str, Any], within: str = "") -> str:
    """The tables as text; values are numbers, texts, truths and lists of them."""
    plain = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    lines = [f"[{within}]"] if within and plain else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in tables.items():
        if isinstance(value, dict):
            name = f"{within}.{key}" if within else key
            lines.append(to_toml(value, name) if value else f"[{name}]")
    return "\n".join(lines)


def at(ms: float) -> Moment:
    """A moment, by milliseconds."""
    return Moment(round(ms * MS), ms / 1000)


def state_of(core: StationCore) -> StationState:
    """The state, as a value that type checkers do not narrow."""
    return core.condition.state


def of(actions: list[Action], kind: type[T]) -> list[T]:
    """Those of one kind."""
    return [one for one in actions if isinstance(one, kind)]


def results(actions: list[Action]) -> list[InspectedPart]:
    """The results of parts."""
    return [one.part for one in of(actions, PartDone)]


def events(actions: list[Action], kind: type[T]) -> list[T]:
    """The events of one kind that are published."""
    return [one.event for one in of(actions, Publish) if isinstance(one.event, kind)]


def refusals(actions: list[Action]) -> list[str]:
    """The reasons of refused requests."""
    return [one.message.reason for one in of(actions, AnswerClient) if isinstance(one.message, messages.Refused)]
