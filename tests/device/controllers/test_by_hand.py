"""The commands and programs of the notes, exactly as they stand there, with clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.certificates import Authority
from support.http_served import http_served
from support.modbus_ends import serve_modbus
from support.plc_ends import connected, play
from support.plc_servers import plc_process
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle, pack
from edge_ad.controllers import Gateway
from edge_ad.controllers.adapter import load_protocol
from edge_ad.controllers.modbus.server import ModbusServer
from edge_ad.controllers.security import Role, add_token
from edge_ad.link import FakeStation

STATION = """
[station]
name = "trial"
trigger = "link"

[camera.top]
source = "link"

[inspect.top]
camera = "top"
bundle = "a.bundle"

[recipe.a]

[recipe.b.inspect.top]
bundle = "b.bundle"

[link]
socket = "s.sock"

[update]
folder = "updates"
"""
NOTES = Path(__file__).parents[3] / "firmware_notes/controllers"


def commands(page: str, program: str) -> list[str]:
    return re.findall(rf"^\$ ({program}.*)$", (NOTES / page).read_text(encoding="utf-8"), re.MULTILINE)


async def said(command: list[str]) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


async def said_until(command: list[str], pattern: str) -> list[str]:
    """What it says as soon as this is in it, as a person asks again."""
    for _ in range(200):
        found = re.findall(pattern, await said(command), re.MULTILINE)
        if found:
            return found
    raise AssertionError(f"{command} never says {pattern}")


def test_mbpoll_drives_a_part(tmp_path: Path) -> None:
    if shutil.which("mbpoll") is None:
        pytest.skip("needs the distribution's package mbpoll")

    async def scene(station: FakeStation, server: ModbusServer) -> None:
        # By itself it gives a server no more than a second.
        patient = [one.replace("mbpoll", "mbpoll -o 10", 1) for one in commands("modbus.md", "mbpoll")]
        calls = [shlex.split(one.replace("1502", str(server.port))) for one in patient]
        bits, number, trigger, answer, lower, whose, code, latency, acknowledge = calls
        await said_until(bits, r"^\[0\]:\s+0x0001\s+^\[1\]:\s+0x0001")
        for write in (number, trigger):
            assert "Written 1 reference" in await said(write)
        await said_until(answer, r"^\[17\]:\s+1$")
        await said(lower)
        assert await said_until(whose, r"^\[10\]:\s+(17)$") == ["17"]
        assert await said_until(code, r"^\[5\]:\s+(1)$") == ["1"]
        (milliseconds,) = await said_until(latency, r"^\[26\]:\s+([\d.e-]+)$")
        assert 0 <= float(milliseconds) < 60_000
        await said(acknowledge)
        assert [getattr(one.request, "part_id", None) for one in station.requests].count("17") == 1

    serve_modbus(tmp_path / "s.sock", scene, acknowledge=False)


def test_curl_hands_in_a_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    """The lines of the page as they stand there; a .curlrc says where the host station-1 is."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    calibrate(tiny_bundle, 0.5)
    pack(Bundle.open(tiny_bundle), tmp_path / "part.zip")
    (tmp_path / "station.toml").write_text(STATION, encoding="utf-8")
    server = Authority(tmp_path).issue("station-1")
    server.key.chmod(0o600)
    token = add_token(tmp_path / "tokens.toml", "anna", Role.ENGINEER)
    given: dict[str, Any] = {"certificate": str(server.certificate), "key": str(server.key)}
    given |= {"tokens": str(tmp_path / "tokens.toml"), "station_file": tmp_path / "station.toml"}
    hand_in, ask = [one for one in commands("http.md", "curl") if "/bundles/" in one]
    with http_served(tmp_path, **given) as served:
        (tmp_path / ".curlrc").write_text(f"connect-to = station-1:8443:127.0.0.1:{served.port}\n", encoding="utf-8")
        environment = {**os.environ, "CURL_HOME": str(tmp_path), "TOKEN": token}
        answers = [
            msgspec.json.decode(subprocess.check_output(["/bin/bash", "-c", line], cwd=tmp_path, env=environment))
            for line in (hand_in, ask)
        ]
    assert [[one["step"] for one in answer["steps"]] for answer in answers] == [["STAGED", "CHECKED"]] * 2


def _beside(tmp_path: Path, name: str, scene: Any) -> FakeStation:
    with plc_process(name) as (process, settings):
        given = msgspec.structs.replace(settings, acknowledge=False)

        async def run(station: FakeStation) -> None:
            async def follow(gateway: Gateway) -> None:
                await load_protocol(name, "test").run(given, gateway, "plc")

            async with connected(tmp_path / "s.sock", given, follow):
                await scene(process.port)

        return play(tmp_path / "s.sock", run)


def test_the_s7_program_drives_a_part(tmp_path: Path) -> None:
    _, program = re.findall(r"```python\n(.*?)```", (NOTES / "s7.md").read_text(encoding="utf-8"), re.DOTALL)

    async def scene(port: int) -> None:
        assert await said([sys.executable, "-c", program.replace("1102", str(port))]) == "17 1\n"

    _beside(tmp_path, "s7", scene)


def test_cpppos_client_drives_a_part(tmp_path: Path) -> None:
    _, *calls = [shlex.split(one) for one in commands("ethernet-ip.md", "python -m cpppo")]

    async def scene(port: int) -> None:
        trigger, read, lower = [
            [sys.executable, *(word.replace("44818", str(port)) for word in call[1:])] for call in calls
        ]
        await said(trigger)
        await said_until(read, r"EdgeAdOutputs\[10\].* == \[17, 0\]")
        await said_until(read, r"EdgeAdOutputs\[5\].* == \[1\]")
        await said(lower)

    _beside(tmp_path, "ethernet-ip", scene)
