"""The signals between a station and a controller, and the codes in them; every protocol carries these.

What the controller writes is ``Inputs``, what it reads is ``Outputs``. Numbers of codes never change their meaning.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from edge_ad.station.parts import PartReason
from edge_ad.verdict import Reason, State

__all__ = [
    "PART_ID_BYTES",
    "SIGNALS_VERSION",
    "FaultCode",
    "Inputs",
    "Outputs",
    "RefusalCode",
    "ResultCode",
    "fault_code",
    "refusal_code",
    "result_code",
]

SIGNALS_VERSION = 1
"""Counts up when a signal is added; none is taken away or changes its place."""
PART_ID_BYTES = 32
"""The room for a part id in a register map, in bytes of UTF-8."""


class ResultCode(IntEnum):
    """What a result says. Only ``ACCEPT`` lets a part pass; from 100 on the part is INVALID, which means reject."""

    NONE = 0
    ACCEPT = 1
    REJECT = 2
    INVALID = 100
    UNREADABLE = 101
    WRONG_SHAPE = 102
    WRONG_TYPE = 103
    NOT_FINITE = 104
    ENGINE_FAILED = 105
    SOURCE_FAILED = 106
    UNCALIBRATED = 107
    WARMING_UP = 108
    INCOMPLETE_CLIP = 109
    BETWEEN_SCORES = 110
    NO_OBJECTS = 111
    BAD_OBJECT = 112
    OUT_OF_RANGE = 113
    STALE = 114
    FROZEN = 115
    LATE = 130
    FAULT = 131
    STOPPED = 132
    SCORER_LOST = 133
    DROPPED = 134
    MISSING_FRAMES = 135
    NO_RESULT = 150
    """No result came within the controller's window."""
    STATION_AWAY = 151
    """The connection to the station was lost while the part was open."""


class RefusalCode(IntEnum):
    """Why a trigger was not accepted. Its part is not inspected and has no result."""

    NONE = 0
    NOT_READY = 1
    FAULT = 2
    STATION_AWAY = 3
    DUPLICATE = 4
    OUT_OF_ORDER = 5
    TOO_EARLY = 6
    TOO_MANY_OPEN = 7
    RECIPE_PENDING = 8
    NEEDS_FRAME = 9
    BAD_PART = 10
    OTHER = 99


class FaultCode(IntEnum):
    """Why no part is inspected now. The first that applies, in this order."""

    NONE = 0
    STATION_AWAY = 1
    CAMERA = 10
    SCORER = 11
    STOP_RULE = 12
    OTHER = 19
    LATE_RESULTS = 20
    CONTROLLER_SILENT = 21
    RESULT_NOT_TAKEN = 22


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller writes.

    ``trigger`` rises for each part and stays until ``trigger_ack`` or ``trigger_error`` answers it. ``part_number``
    and ``part_id`` name the part and are there before ``trigger`` rises. ``result_ack`` is set to the value of
    ``result_valid`` when a result was read. ``recipe``: the number of the wanted recipe, counted from 1 in the order of
    the station file; 0 wants no change. ``heartbeat`` changes as long as the controller runs.
    """

    trigger: bool = False
    result_ack: bool = False
    fault_reset: bool = False
    counter_reset: bool = False
    heartbeat: int = 0
    recipe: int = 0
    part_number: int = 0
    part_id: str = ""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller reads.

    A part may pass only for ``ok`` after ``result_valid`` changed, with the number of this part in
    ``result_part_number`` and in time. ``ng`` is the opposite of a pass; ``error`` never comes without ``ng``.
    ``score``, ``threshold``: of the frame that is furthest over its threshold, NaN without one.
    """

    ready: bool = False
    trigger_ack: bool = False
    trigger_error: bool = False
    busy: bool = False
    exposure_complete: bool = False
    result_valid: bool = False
    ok: bool = False
    ng: bool = False
    error: bool = False
    fault: bool = False
    alarm: bool = False
    recipe_ack: bool = False
    recipe_error: bool = False
    heartbeat: int = 0
    refusal_code: int = 0
    fault_code: int = 0
    result_code: int = 0
    recipe_active: int = 0
    recipe_requested: int = 0
    trigger_part_number: int = 0
    result_part_number: int = 0
    result_part_id: str = ""
    score: float = float("nan")
    threshold: float = float("nan")
    latency_ms: float = float("nan")
    count_total: int = 0
    count_ok: int = 0
    count_ng: int = 0
    count_invalid: int = 0
    count_refused: int = 0


_REASONS = (
    *(one.value for one in Reason),
    PartReason.LATE,
    PartReason.FAULT,
    PartReason.STOPPED,
    PartReason.SCORER_LOST,
    PartReason.DROPPED,
    PartReason.MISSING_FRAMES,
)
_OF_REASON = {name: ResultCode[name.upper()] for name in _REASONS}

_OF_REFUSAL = {
    "not_ready": RefusalCode.NOT_READY,
    "fault": RefusalCode.FAULT,
    "station_away": RefusalCode.STATION_AWAY,
    "duplicate": RefusalCode.DUPLICATE,
    "part_open": RefusalCode.DUPLICATE,
    "id_in_use": RefusalCode.DUPLICATE,
    "out_of_order": RefusalCode.OUT_OF_ORDER,
    "too_early": RefusalCode.TOO_EARLY,
    "too_many_open": RefusalCode.TOO_MANY_OPEN,
    "recipe_pending": RefusalCode.RECIPE_PENDING,
    "needs_frame": RefusalCode.NEEDS_FRAME,
    "wrong_camera": RefusalCode.NEEDS_FRAME,
    "bad_frame": RefusalCode.BAD_PART,
    "bad_part": RefusalCode.BAD_PART,
}

_OF_CAUSE = {"camera": FaultCode.CAMERA, "scorer": FaultCode.SCORER, "stop": FaultCode.STOP_RULE}


def result_code(state: State, reason: str | None) -> ResultCode:
    """The code of a result; a reason that has no number of its own is ``INVALID``."""
    if state is State.ACCEPT:
        return ResultCode.ACCEPT
    if state is State.REJECT:
        return ResultCode.REJECT
    return _OF_REASON.get(reason or "", ResultCode.INVALID)


def refusal_code(reason: str) -> RefusalCode:
    """The code of the short reason with which a trigger was refused."""
    return _OF_REFUSAL.get(reason, RefusalCode.OTHER)


def fault_code(causes: tuple[str, ...]) -> FaultCode:
    """The code of the short names of causes, such as ``camera top``; ``OTHER`` where none is known."""
    codes = [_OF_CAUSE.get(cause.partition(" ")[0], FaultCode.OTHER) for cause in causes]
    return min(codes, default=FaultCode.OTHER)
