"""The folder ``EdgeAd``: plain variables for clients that do not know the companion specification. No socket."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.opcua.states import VisionState
from edge_ad.controllers.signals import FaultCode, ResultCode, fault_code
from edge_ad.controllers.view import StationView
from edge_ad.verdict import State

__all__ = ["VARIABLES", "PlainVariable", "plain_values"]


class PlainVariable(NamedTuple):
    """``kind``: the name of an OPC UA type; ``[]`` after it: an array."""

    name: str
    kind: str
    meaning: str


VARIABLES = (
    PlainVariable("State", "String", "the state of the vision system; see the state machine"),
    PlainVariable("Ready", "Boolean", "a trigger is accepted now"),
    PlainVariable("Busy", "Boolean", "a job of this server has no result yet"),
    PlainVariable("Ok", "Boolean", "the newest result lets its part pass, and there is no fault"),
    PlainVariable("Ng", "Boolean", "the opposite of a pass: the newest result, or a fault"),
    PlainVariable("Error", "Boolean", "the newest result is INVALID, or there is a fault; never without Ng"),
    PlainVariable("Fault", "Boolean", "no part is inspected now"),
    PlainVariable("FaultCode", "UInt16", "why, see the codes"),
    PlainVariable("FaultCause", "String", "why, in words"),
    PlainVariable("Alarm", "Boolean", "there is an alarm that nobody has acknowledged"),
    PlainVariable("Alarms", "String[]", "the names of the alarms"),
    PlainVariable("Heartbeat", "UInt16", "counts up every heartbeat_ms"),
    PlainVariable("ResultNumber", "UInt32", "counts up with each result; written after all that belongs to it"),
    PlainVariable("ResultPartId", "String", "the part of the newest result"),
    PlainVariable("ResultState", "String", "ACCEPT, REJECT or INVALID"),
    PlainVariable("ResultCode", "UInt16", "the same with its reason, see the codes"),
    PlainVariable("ResultDetail", "String", "the reason in words"),
    PlainVariable("Score", "Double", "of the frame that is furthest over its threshold; NaN without one"),
    PlainVariable("Threshold", "Double", "of that frame"),
    PlainVariable("LatencyMs", "Double", "from the trigger to the result, as the station measured it"),
    PlainVariable("LastResult", "String", "the newest result as one JSON object: what belongs together in one value"),
    PlainVariable("Recipe", "String", "the active recipe"),
    PlainVariable("RecipeActive", "UInt16", "its number, counted from 1 in the order of the station file"),
    PlainVariable("RecipeRequested", "UInt16", "the number of the recipe that is being changed to; 0 without one"),
    PlainVariable("RecipeError", "String", "why the last change of recipe failed; empty where it did not"),
    PlainVariable("Recipes", "String[]", "the recipes of the station file"),
    PlainVariable("CountTotal", "UInt32", "parts with a result, of the active recipe in this shift"),
    PlainVariable("CountOk", "UInt32", "of these: ACCEPT"),
    PlainVariable("CountNg", "UInt32", "of these: REJECT"),
    PlainVariable("CountInvalid", "UInt32", "of these: INVALID"),
    PlainVariable("CountRefused", "UInt32", "triggers that were refused"),
)


def plain_values(
    view: StationView, state: VisionState, newest: Outcome | None, *, results: int, is_late_fault: bool, is_busy: bool
) -> dict[str, object]:
    """The value of each variable but ``Heartbeat``; of arrays a list."""
    fault = _fault(view, is_late_fault)
    is_safe = fault is FaultCode.NONE
    counts = view.counts
    return {
        "State": state.value,
        "Ready": state is VisionState.READY,
        "Busy": is_busy,
        "Ok": is_safe and newest is not None and newest.passes,
        "Ng": not is_safe or (newest is not None and not newest.passes),
        "Error": not is_safe or (newest is not None and newest.state is State.INVALID),
        "Fault": not is_safe,
        "FaultCode": int(fault),
        "FaultCause": _cause(view, is_late_fault),
        "Alarm": bool(view.alarms),
        "Alarms": sorted(view.alarms),
        **_of_result(newest),
        "Recipe": view.recipe or "",
        "RecipeActive": view.number_of(view.recipe),
        "RecipeRequested": view.number_of(view.requested_recipe),
        "RecipeError": view.recipe_error or "",
        "Recipes": list(view.recipes),
        "CountTotal": counts.total,
        "CountOk": counts.ok,
        "CountNg": counts.ng,
        "CountInvalid": counts.invalid,
        "CountRefused": counts.refused,
        "ResultNumber": results % 2**32,
    }


def _of_result(newest: Outcome | None) -> dict[str, object]:
    if newest is None:
        empty = {"ResultPartId": "", "ResultState": "", "ResultCode": int(ResultCode.NONE), "ResultDetail": ""}
        return empty | {"Score": math.nan, "Threshold": math.nan, "LatencyMs": math.nan, "LastResult": ""}
    return {
        "ResultPartId": newest.part_id or "",
        "ResultState": newest.state.value,
        "ResultCode": int(newest.code),
        "ResultDetail": newest.detail or "",
        "Score": _number(newest.score),
        "Threshold": _number(newest.threshold),
        "LatencyMs": _number(newest.latency_ms),
        "LastResult": msgspec.json.encode(newest).decode(),
    }


def _fault(view: StationView, is_late_fault: bool) -> FaultCode:
    if not view.is_connected:
        return FaultCode.STATION_AWAY
    if view.is_fault:
        return fault_code(view.causes)
    return FaultCode.LATE_RESULTS if is_late_fault else FaultCode.NONE


def _cause(view: StationView, is_late_fault: bool) -> str:
    if not view.is_connected:
        return "no station is connected"
    if view.is_fault:
        return view.cause or "the station is in FAULT"
    return "too many results in a row did not come in time" if is_late_fault else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value
