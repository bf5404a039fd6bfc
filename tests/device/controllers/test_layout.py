"""The signals as words: every one in its place, and nothing between them lost."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.controllers import Inputs, Outputs
from edge_ad.controllers.layout import INPUTS, OUTPUTS, SignalLayout, WordOrder, read_inputs, write_outputs
from edge_ad.controllers.signals import PART_ID_BYTES, SIGNALS_VERSION

ORDERS: list[WordOrder] = ["big", "little"]


@pytest.mark.parametrize(("layout", "signals"), [(OUTPUTS, Outputs), (INPUTS, Inputs)], ids=["outputs", "inputs"])
def test_every_signal_has_one_place(layout: SignalLayout, signals: type[msgspec.Struct]) -> None:
    fields = list(layout)
    assert sorted(one.name for one in fields) == sorted(["version", *signals.__struct_fields__])
    words = [(one.word + more, one.bit) for one in fields for more in range(one.words)]
    assert len(set(words)) == len(words)
    assert {word for word, _ in words} == set(range(layout.words))
    assert all(one.word % 2 == 0 for one in fields if one.words == 2)


def test_places_of_version_1_never_change() -> None:
    places = {one.name: (one.word, one.bit) for layout in (OUTPUTS, INPUTS) for one in layout}
    assert (OUTPUTS.words, INPUTS.words) == (44, 22)
    assert places["ready"] == (1, 0)
    assert places["ok"] == (1, 6)
    assert places["recipe_error"] == (1, 12)
    assert places["result_code"] == (5, None)
    assert places["result_part_number"] == (10, None)
    assert places["score"] == (22, None)
    assert places["result_part_id"] == (28, None)
    assert places["trigger"] == (1, 0)
    assert places["part_number"] == (4, None)
    assert places["part_id"] == (6, None)


@pytest.mark.parametrize(
    ("order", "number", "score"),
    [("big", [0x0001, 0x0002], [0x3FC0, 0]), ("little", [0x0002, 0x0001], [0, 0x3FC0])],
)
def test_words_as_a_plc_sees_them(order: WordOrder, number: list[int], score: list[int]) -> None:
    outputs = Outputs(ready=True, ok=True, result_part_number=65_538, score=1.5, result_part_id="Größe")
    words = write_outputs(outputs, order)
    assert words[:2] == [SIGNALS_VERSION, 0b100_0001]
    assert words[10:12] == number
    assert words[22:24] == score
    assert struct.pack(">16H", *words[28:44]) == "Größe".encode().ljust(PART_ID_BYTES, b"\0")


def test_values_that_do_not_fit() -> None:
    words = write_outputs(Outputs(count_ok=2**32 + 3, score=1e300, result_part_id="ä" * 40))
    assert words[14:16] == [0, 3]
    assert struct.unpack(">f", struct.pack(">2H", *words[22:24]))[0] == math.inf
    assert struct.pack(">16H", *words[28:44]).decode() == "ä" * 16


def test_another_version_is_not_read() -> None:
    words = INPUTS.pack(Inputs(trigger=True))
    assert read_inputs([0, *words[1:]]) == Inputs(trigger=True)
    assert read_inputs([SIGNALS_VERSION + 1, *words[1:]]) is None
    assert read_inputs([0x0100, *words[1:]]) is None  # bytes in the wrong order


def test_a_part_id_that_is_no_text_is_told_apart() -> None:
    words = INPUTS.pack(Inputs())
    ids = set()
    for byte in (0xC0, 0xC1, 0xFF):
        words[6] = byte << 8
        inputs = read_inputs(words)
        assert inputs is not None
        ids.add(inputs.part_id)
    assert len(ids) == 3


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8).map(
    lambda text: text.rstrip(" ")
)


@given(
    st.builds(
        Inputs,
        trigger=st.booleans(),
        result_ack=st.booleans(),
        fault_reset=st.booleans(),
        counter_reset=st.booleans(),
        heartbeat=st.integers(0, 2**16 - 1),
        recipe=st.integers(0, 2**16 - 1),
        part_number=st.integers(0, 2**32 - 1),
        part_id=NAMES,
    ),
    st.sampled_from(ORDERS),
)
def test_what_was_written_is_read(inputs: Inputs, order: WordOrder) -> None:
    assert read_inputs(INPUTS.pack(inputs, order), order) == inputs


@given(st.lists(st.integers(0, 2**16 - 1), min_size=22, max_size=22), st.sampled_from(ORDERS))
def test_no_words_are_too_strange(words: list[int], order: WordOrder) -> None:
    assert (read_inputs(words, order) is None) is (words[0] > SIGNALS_VERSION)
