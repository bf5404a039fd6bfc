"""The states of a vision system, and the plain variables, without a server."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree as ET

import pytest

import edge_ad.controllers.opcua as package
from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.opcua.plain import VARIABLES, plain_values
from edge_ad.controllers.opcua.states import TRANSITIONS, VisionState, path_between, vision_state
from edge_ad.controllers.signals import ResultCode
from edge_ad.controllers.view import StationView
from edge_ad.link.messages import StationState
from edge_ad.verdict import State


def view(
    state: StationState = StationState.READY, *, recipe: str | None = "lid", requested: str | None = None
) -> StationView:
    return StationView(is_connected=True, state=state, recipe=recipe, requested_recipe=requested, recipes=("lid",))


@pytest.mark.parametrize(
    ("known", "late", "exposing", "expected"),
    [
        (StationView(), False, False, VisionState.PREOPERATIONAL),
        (view(StationState.STARTING), False, False, VisionState.PREOPERATIONAL),
        (view(StationState.STOPPING), False, False, VisionState.HALTED),
        (view(StationState.FAULT), False, True, VisionState.ERROR),
        (view(), True, False, VisionState.ERROR),
        (view(StationState.BUSY), False, True, VisionState.SINGLE_EXECUTION),
        (view(requested="base"), False, False, VisionState.INITIALIZED),
        (view(recipe=None), False, False, VisionState.INITIALIZED),
        (view(StationState.BUSY), False, False, VisionState.READY),
    ],
)
def test_the_state_that_is_shown(known: StationView, late: bool, exposing: bool, expected: VisionState) -> None:
    assert vision_state(known, is_late_fault=late, is_exposing=exposing) is expected


@pytest.mark.parametrize(("before", "after"), list(itertools.product(VisionState, VisionState)))
def test_every_state_is_reached_by_steps_that_the_specification_has(before: VisionState, after: VisionState) -> None:
    way = [before, *path_between(before, after)]
    assert way[-1] is after
    assert all(step in TRANSITIONS for step in itertools.pairwise(way))


def test_every_transition_is_one_of_the_nodeset() -> None:
    path = f"{package.__path__[0]}/nodesets/Opc.Ua.MachineVision.NodeSet2.xml"
    names = {str(node.get("BrowseName")) for node in ET.parse(path).getroot()}  # noqa: S314 - our own file
    assert {f"1:{name}" for name in TRANSITIONS.values()} <= names


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("state", State)
def test_nothing_passes_beside_a_fault(is_connected: bool, state: State) -> None:
    known = view()
    known.is_connected = is_connected
    newest = Outcome(part_id="A", number=None, state=state, code=ResultCode.ACCEPT)
    shown = plain_values(known, VisionState.READY, newest, results=1, is_late_fault=False, is_busy=False)
    assert shown["Ok"] is (is_connected and state is State.ACCEPT)
    assert shown["Ok"] is not shown["Ng"]
    assert set(shown) == {one.name for one in VARIABLES} - {"Heartbeat"}
