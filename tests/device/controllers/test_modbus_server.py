"""The handshake over the Modbus server, asked by pymodbus's own client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.modbus_ends import (
    Registers,
    drive_modbus,
    modbus_client,
    serve_modbus,
)
from support.plc_ends import Plc

from edge_ad.controllers import FaultCode, RefusalCode, ResultCode
from edge_ad.controllers.layout import INPUTS
from edge_ad.controllers.modbus.server import FIRST_INPUT, FIRST_OUTPUT, ModbusServer
from edge_ad.link import FakeStation, Judgement
from edge_ad.verdict import State


@pytest.mark.parametrize("order", ["big", "little"])
def test_parts_go_through(tmp_path: Path, order: str) -> None:
    states = {"P1": State.ACCEPT, "P2": State.REJECT, "P70000": State.INVALID}

    async def scene(_: FakeStation, plc: Plc) -> None:
        results = [await plc.inspect(number, f"P{number}") for number in (1, 2, 70_000)]
        assert [one.result_part_number for one in results] == [1, 2, 70_000]
        assert [one.result_part_id for one in results] == ["P1", "P2", "P70000"]
        assert [(one.ok, one.ng, one.error) for one in results] == [
            (True, False, False),
            (False, True, False),
            (False, True, True),
        ]
        assert [one.result_code for one in results] == [ResultCode.ACCEPT, ResultCode.REJECT, ResultCode.INVALID]
        last = await plc.outputs()
        assert (last.count_total, last.count_ok, last.count_ng, last.count_invalid) == (3, 1, 1, 1)

    drive_modbus(
        tmp_path / "s.sock", scene, judge=lambda asked: Judgement(states[asked.request.part_id]), word_order=order
    )


def test_a_trigger_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        assert (await plc.inspect(1)).ok
        again = await plc.trigger(1)
        assert (again.trigger_error, again.refusal_code) == (True, RefusalCode.DUPLICATE)
        lower = await plc.trigger(0, "P0")
        assert lower.trigger_ack
        await plc.take()
        station.fault("camera top")
        faulted = await plc.wait_for(lambda out: out.fault)
        assert (faulted.fault_code, faulted.ready, faulted.ng, faulted.ok) == (FaultCode.CAMERA, False, True, False)
        refused = await plc.trigger(2)
        assert refused.trigger_error
        await plc.write(fault_reset=True)
        await plc.wait_for(lambda out: out.ready)
        await plc.write(fault_reset=False)
        assert (await plc.inspect(3)).ok

    drive_modbus(tmp_path / "s.sock", scene)


def test_numbers_that_do_not_rise_and_triggers_that_come_too_early(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        assert (await plc.inspect(5)).ok
        assert (await plc.trigger(4)).refusal_code == RefusalCode.OUT_OF_ORDER
        station.hold()
        for number in (6, 7):
            assert (await plc.trigger(number)).trigger_ack
        assert (await plc.trigger(8)).refusal_code == RefusalCode.TOO_MANY_OPEN
        station.release()
        assert [(await plc.take()).result_part_number for _ in range(2)] == [6, 7]

    drive_modbus(tmp_path / "s.sock", scene, ordered=True, max_open=2)


def test_another_recipe_in_the_middle_of_a_part(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        station.hold()
        assert (await plc.trigger(1)).trigger_ack
        await plc.write(recipe=2)
        changed = await plc.wait_for(lambda out: out.recipe_ack)
        assert changed.recipe_active == 2
        station.release()
        assert (await plc.take()).result_part_number == 1
        await plc.write(recipe=9)
        wrong = await plc.wait_for(lambda out: out.recipe_error)
        assert (wrong.ready, wrong.recipe_active) == (False, 2)
        assert (await plc.trigger(2)).refusal_code == RefusalCode.RECIPE_PENDING
        await plc.write(recipe=0)
        assert (await plc.inspect(3)).ok

    drive_modbus(tmp_path / "s.sock", scene, recipes=("small", "large"))


def test_a_controller_that_falls_silent_and_comes_back(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.write(heartbeat=1)
            await plc.inspect(1)
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            while not (silent := await plc.outputs()).fault:
                await asyncio.sleep(0.05)
            assert (silent.fault_code, silent.ok, silent.ready) == (FaultCode.CONTROLLER_SILENT, False, False)
            await plc.write(result_ack=silent.result_valid)
            for beat in range(2, 2000):  # a slow one may be silent again before it has read
                await plc.write(heartbeat=beat)
                if (await plc.outputs()).ready:
                    break
            else:
                pytest.fail("the controller came back, and the station is not ready")

    # Long enough for a part between two signs of life, also where this process gets no time for a while.
    serve_modbus(tmp_path / "s.sock", scene, controller_silent_ms=2_000)


def test_a_station_that_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def scene(station: FakeStation, plc: Plc) -> None:
        station.hold()
        assert (await plc.trigger(1)).trigger_ack
        await asyncio.to_thread(station.close)
        lost = await plc.take()
        assert (lost.result_part_number, lost.ok, lost.error) == (1, False, True)
        assert lost.result_code == ResultCode.STATION_AWAY
        assert (await plc.trigger(2)).refusal_code == RefusalCode.STATION_AWAY
        with FakeStation(path):
            assert (await plc.inspect(3)).ok

    drive_modbus(path, scene)


def test_bits_have_addresses_of_their_own(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            bits = 16 * (FIRST_OUTPUT + 1)
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            (await one.write_coil(16 * (FIRST_INPUT + 1), True)).isError()
            await plc.wait_for(lambda out: out.trigger_ack)
            registers = (await one.read_input_registers(FIRST_OUTPUT + 1, count=1)).registers
            for read in (one.read_coils, one.read_discrete_inputs):
                found = (await read(bits, count=16)).bits
                assert [bool(registers[0] >> bit & 1) for bit in range(16)] == found
                assert found[1]
                assert (await read(bits + 1, count=1)).bits[0]
            assert (await one.write_coils(16 * (FIRST_INPUT + 1), [False, True, False])).isError() is False
            await plc.wait_for(lambda out: not out.trigger_ack)
            assert (await one.read_holding_registers(FIRST_INPUT + 1, count=1)).registers == [0b10]

    serve_modbus(tmp_path / "s.sock", scene)


def test_single_registers_masks_and_reading_what_is_written(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            await one.write_register(FIRST_INPUT + 5, 77)
            await one.mask_write_register(address=FIRST_INPUT + 1, and_mask=0xFFFE, or_mask=1)
            acked = await plc.wait_for(lambda out: out.trigger_ack)
            assert acked.trigger_part_number == 77
            both = await one.readwrite_registers(
                read_address=FIRST_INPUT, read_count=2, write_address=FIRST_INPUT + 1, values=[0]
            )
            assert both.registers == [0, 0]
            await plc.wait_for(lambda out: not out.trigger_ack)
            shown = await plc.take()
            assert (shown.result_part_number, shown.count_total) == (77, 1)

    serve_modbus(tmp_path / "s.sock", scene)


def test_no_read_sees_half_a_result(tmp_path: Path) -> None:
    """Every result has one number in two of its fields; other clients read without a pause while results come."""

    async def scene(_: FakeStation, server: ModbusServer) -> None:
        seen: set[tuple[int, str]] = set()
        is_over = asyncio.Event()

        async def watch() -> None:
            async with modbus_client(server.port) as one:
                watching = Plc(Registers(one))
                while not is_over.is_set():
                    out = await watching.outputs()
                    seen.add((out.result_part_number, out.result_part_id))

        watchers = [asyncio.ensure_future(watch()) for _ in range(3)]
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            for number in range(1, 60):
                await plc.inspect(number, str(number))
        is_over.set()
        await asyncio.gather(*watchers)
        assert len(seen) > 10
        assert [pair for pair in seen if pair[1] != (str(pair[0]) if pair[0] else "")] == []

    serve_modbus(tmp_path / "s.sock", scene)


def test_another_version_in_the_inputs_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(station: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            words = [0x0100, 1, *[0] * (INPUTS.words - 2)]
            for _ in range(3):
                await Registers(one).write(words)
            assert (await plc.outputs()).trigger_ack is False
            assert (await plc.inspect(1)).ok

    caplog.set_level("WARNING", logger="edge_ad.controllers.modbus.server")
    station = serve_modbus(tmp_path / "s.sock", scene)
    assert len([one for one in station.requests if getattr(one.request, "part_id", None)]) == 1
    assert [one.message for one in caplog.records].count(
        "Modbus: register 100 says version 256, expected 0 to 1: what the controller writes is not read"
    ) == 1
