"""Random bytes for the Modbus server: it neither ends nor hangs, and a good client is served all the while."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzzing import rounds
from support.modbus_ends import Registers, frame, modbus_client, modbus_settings, raw_modbus, serve_modbus
from support.plc_ends import Plc

from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.modbus.server import FIRST_INPUT, ModbusRegisters, ModbusServer
from edge_ad.controllers.signals import SIGNALS_VERSION, Outputs
from edge_ad.link import FakeStation

KNOWN = [1, 2, 3, 4, 5, 6, 15, 16, 22, 23]
words = st.sampled_from([0, 1, 43, 44, 99, 100, 121, 122, 125, 126, 255, 1_616, 1_952, 2_000, 65_535]) | st.integers(
    0, 65_535
)
bodies = st.lists(words, max_size=6).map(lambda many: struct.pack(f">{len(many)}H", *many)) | st.binary(max_size=252)
requests = st.builds(lambda code, body: bytes([code]) + body, st.sampled_from(KNOWN) | st.integers(0, 255), bodies)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 255]), requests), min_size=1, max_size=20))
def test_every_request_has_its_answer_and_no_output_is_written(asked: list[tuple[int, bytes]]) -> None:
    async def run() -> None:
        registers = ModbusRegisters(modbus_settings())
        registers.show(Outputs(ready=True, result_part_number=77))
        before = await registers.answer(1, struct.pack(">BHH", 3, 0, OUTPUTS.words))
        for unit, request in asked:
            answer = await registers.answer(unit, request)
            assert answer[0] & 0x7F == request[0] & 0x7F
            assert 2 <= len(answer) <= 253
            assert (len(answer) == 2) is (answer[0] > 0x7F)
        assert await registers.answer(1, struct.pack(">BHH", 3, 0, OUTPUTS.words)) == before
        assert len(await registers.inputs()) == INPUTS.words

    asyncio.run(run())


def one_noise(rng: random.Random) -> bytes:
    """A frame that is well made, or broken in one of many ways."""
    code = rng.choice(KNOWN) if rng.random() < 0.8 else rng.randrange(256)
    body = struct.pack(">HH", rng.choice([0, 43, FIRST_INPUT, 1_616, 65_535]), rng.choice([0, 1, 22, 125, 65_535]))
    request = bytes([code]) + (body + rng.randbytes(rng.randrange(60)) if rng.random() < 0.8 else rng.randbytes(9))
    sent = bytearray(frame(request, rng.randrange(65_536), rng.choice([0, 1, 1, 1, 9, 255])))
    if rng.random() < 0.2:
        sent[rng.randrange(len(sent))] = rng.randrange(256)
    return bytes(sent[: rng.randrange(1, len(sent))] if rng.random() < 0.1 else sent)


def disturb(tmp_path: Path, connections: int, seed: int, parts: int) -> None:
    """Connections that send noise until a good client has brought its parts.

    Noise may write inputs, and so may disturb the good client's own signals: it only reads then, and the parts are
    brought before and after.
    """
    rng = random.Random(seed)  # noqa: S311

    async def noise(port: int) -> None:
        reader, writer = await raw_modbus(port)
        try:
            for _ in range(50):
                writer.write(one_noise(rng))
                await writer.drain()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.read(4_096), 0.001)
        except OSError:
            return
        finally:
            writer.transport.abort()

    async def scene(station: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            assert (await plc.inspect(1_000_001)).ok
            left = [noise(server.port) for _ in range(connections)]
            while left:
                now, left = left[:4], left[4:]
                for done in asyncio.as_completed(now):
                    await done
                    assert (await Registers(one).read())[0] == SIGNALS_VERSION
            await plc.write(trigger=False, recipe=0, fault_reset=False, counter_reset=False, part_id="")
            await plc.wait_for(lambda out: not (out.trigger_ack or out.trigger_error))
            await plc.write(fault_reset=True)
            await plc.write(fault_reset=False)
            while (shown := await plc.outputs()).result_valid != plc.inputs.result_ack or shown.busy:
                await plc.write(result_ack=shown.result_valid)
            for number in range(parts):
                assert (await plc.inspect(2_000_000 + number)).ok

    serve_modbus(tmp_path / "s.sock", scene, recent=0, controller_silent_ms=None)


def test_noise_hurts_no_good_client(tmp_path: Path) -> None:
    disturb(tmp_path, connections=40, seed=1, parts=5)


@pytest.mark.slow
def test_much_noise_hurts_no_good_client(tmp_path: Path) -> None:
    """``EDGE_AD_FUZZ_MINUTES`` says for how long."""
    for seed in rounds("modbus"):
        (tmp_path / str(seed)).mkdir()
        disturb(tmp_path / str(seed), connections=400, seed=seed, parts=50)
