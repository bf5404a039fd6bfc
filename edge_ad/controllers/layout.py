"""The signals as registers: big-endian words of 16 bits, the same for every protocol that has memory to read and write.

Each direction begins with the version of this layout. Words are only ever added behind the others, bits in free places.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from edge_ad.controllers.signals import PART_ID_BYTES, SIGNALS_VERSION, Inputs, Outputs

__all__ = ["INPUTS", "OUTPUTS", "Field", "SignalLayout", "WordOrder", "read_inputs", "write_outputs"]

WordOrder = Literal["big", "little"]
"""``little``: of a value with two words the lower one comes first; bytes inside a word are always big-endian."""

_STRUCTS = {"uint16": "H", "uint32": "I", "float32": "f"}
_WORDS = {"bit": 1, "uint16": 1, "uint32": 2, "float32": 2, "text": PART_ID_BYTES // 2}


@dataclass(frozen=True, slots=True)
class Field:
    """A signal in its place. ``bit``: in its word, 0 is the least significant; ``None`` where it has whole words."""

    name: str
    kind: str
    word: int
    meaning: str
    bit: int | None = None

    @property
    def words(self) -> int:
        """How many words it takes."""
        return _WORDS[self.kind]


@dataclass(frozen=True, slots=True)
class SignalLayout:
    """One direction. ``bits``: the signals of word 1 from bit 0 on; ``rest``: (name, kind) of what follows it."""

    bits: tuple[tuple[str, str], ...]
    rest: tuple[tuple[str, str, str], ...]

    def __iter__(self) -> Iterator[Field]:
        yield Field("version", "uint16", 0, "version of this layout")
        for bit, (name, meaning) in enumerate(self.bits):
            yield Field(name, "bit", 1, meaning, bit)
        word = 2
        for name, kind, meaning in self.rest:
            yield Field(name, kind, word, meaning)
            word += _WORDS[kind]

    @property
    def words(self) -> int:
        """How many words this direction has."""
        return 2 + sum(_WORDS[kind] for _, kind, _ in self.rest)

    def pack(self, signals: Inputs | Outputs, order: WordOrder = "big") -> list[int]:
        """The words, each in 0..65535. A number that does not fit keeps its lowest bits."""
        bits = sum(1 << bit for bit, (name, _) in enumerate(self.bits) if getattr(signals, name))
        words = [SIGNALS_VERSION, bits]
        for name, kind, _ in self.rest:
            words += _packed(getattr(signals, name), kind, order)
        return words

    def unpack(self, words: list[int], order: WordOrder = "big") -> dict[str, Any]:
        """The values of all signals. Text that is no UTF-8 has ``\\x..`` in the places that are none."""
        values: dict[str, Any] = {name: bool(words[1] >> bit & 1) for bit, (name, _) in enumerate(self.bits)}
        word = 2
        for name, kind, _ in self.rest:
            values[name] = _unpacked(words[word : word + _WORDS[kind]], kind, order)
            word += _WORDS[kind]
        return values


def write_outputs(outputs: Outputs, order: WordOrder = "big") -> list[int]:
    """What the controller reads, as words."""
    return OUTPUTS.pack(outputs, order)


def read_inputs(words: list[int], order: WordOrder = "big") -> Inputs | None:
    """What the controller has written; ``None`` where its version word says that it means another layout.

    0 in the version word is taken: such a controller does not say for which version it was made.
    """
    return Inputs(**INPUTS.unpack(words, order)) if 0 <= words[0] <= SIGNALS_VERSION else None


def _packed(value: Any, kind: str, order: WordOrder) -> list[int]:
    if kind == "text":
        data = value.encode()[:PART_ID_BYTES].decode(errors="ignore").encode().ljust(PART_ID_BYTES, b"\0")
    elif kind == "float32":
        data = _float(value)
    else:
        data = struct.pack(f">{_STRUCTS[kind]}", value % (1 << 16 * _WORDS[kind]))
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    return words if order == "big" or kind == "text" else words[::-1]


def _float(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", math.copysign(math.inf, value))


def _unpacked(words: list[int], kind: str, order: WordOrder) -> Any:
    if kind == "text":
        text = struct.pack(f">{len(words)}H", *words).partition(b"\0")[0]
        return text.decode(errors="backslashreplace").rstrip(" ")
    data = struct.pack(f">{len(words)}H", *(words if order == "big" else words[::-1]))
    return struct.unpack(f">{_STRUCTS[kind]}", data)[0]


OUTPUTS = SignalLayout(
    bits=(
        ("ready", "a trigger is taken now"),
        ("trigger_ack", "the trigger is accepted; cleared when `trigger` falls"),
        ("trigger_error", "the trigger is refused, see `refusal_code`; cleared when `trigger` falls"),
        ("busy", "parts are open"),
        ("exposure_complete", "the newest part may move"),
        ("result_valid", "changes its value with every result"),
        ("ok", "the part of the newest result may pass"),
        ("ng", "it may not; also set by a fault"),
        ("error", "it was not inspected as it should be; never without `ng`"),
        ("fault", "no part is inspected, see `fault_code`"),
        ("alarm", "somebody should look; parts are inspected all the same"),
        ("recipe_ack", "the wanted recipe is active"),
        ("recipe_error", "the wanted recipe cannot be had"),
    ),
    rest=(
        ("heartbeat", "uint16", "counts up as long as the adapter runs"),
        ("refusal_code", "uint16", "why the trigger was refused"),
        ("fault_code", "uint16", "why no part is inspected"),
        ("result_code", "uint16", "1 ACCEPT, 2 REJECT, from 100 on INVALID"),
        ("recipe_active", "uint16", "number of the active recipe, from 1"),
        ("recipe_requested", "uint16", "number of the recipe that is being changed to, 0 without one"),
        ("trigger_part_number", "uint32", "whose `trigger_ack` or `trigger_error` it is"),
        ("result_part_number", "uint32", "whose result it is"),
        ("count_total", "uint32", "parts of the active recipe in this shift"),
        ("count_ok", "uint32", "of these ACCEPT"),
        ("count_ng", "uint32", "of these REJECT"),
        ("count_invalid", "uint32", "of these INVALID"),
        ("count_refused", "uint32", "triggers that were refused"),
        ("score", "float32", "of the frame that is furthest over its threshold; NaN without one"),
        ("threshold", "float32", "its threshold; NaN without one"),
        ("latency_ms", "float32", "from trigger to result inside the station; NaN without one"),
        ("result_part_id", "text", "whose result it is"),
    ),
)
"""What the controller reads."""

INPUTS = SignalLayout(
    bits=(
        ("trigger", "rises for each part, and stays until it is answered"),
        ("result_ack", "set to the value of `result_valid` when the result was read"),
        ("fault_reset", "rises to leave FAULT"),
        ("counter_reset", "rises to count anew"),
    ),
    rest=(
        ("heartbeat", "uint16", "changes as long as the controller runs"),
        ("recipe", "uint16", "number of the wanted recipe, from 1; 0 wants no change"),
        ("part_number", "uint32", "names the part; written before `trigger` rises; 0 for none"),
        ("part_id", "text", "names the part in words; empty for none"),
    ),
)
"""What the controller writes."""
