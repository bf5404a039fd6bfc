"""Node-RED with its Modbus node drives parts by the flow of the notes; both are installed anew from npm."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.modbus_ends import serve_modbus
from support.ports import free_port

from edge_ad.controllers.modbus.server import ModbusServer
from edge_ad.link import FakeStation, Judgement
from edge_ad.verdict import State

FLOW = Path(__file__).parents[3] / "firmware_notes/node-red/modbus-flow.json"
PACKAGE = {
    "dependencies": {"node-red": "4.1", "node-red-contrib-modbus": "5.45.2"},
    # Its own dependency lies outside the registry.
    "overrides": {"@openp4nr/modbus-serial": "npm:modbus-serial@8.0.25"},
}
STATES = [State.ACCEPT, State.REJECT, State.INVALID, State.ACCEPT]


def installed(folder: Path) -> Path:
    """Node-RED in a folder of its own; skipped where npm is missing or cannot be reached."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(PACKAGE), encoding="utf-8")
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0 and re.search("ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|E40[34]", done.stderr):
        pytest.skip(f"the npm registry cannot be reached: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return folder / "node_modules/node-red/red.js"


def prepared(folder: Path) -> Path:
    """Settings, and the flow with a part every tenth of a second instead of one at each click."""
    flow = json.loads(FLOW.read_text(encoding="utf-8"))
    (part,) = [one for one in flow if one["type"] == "inject"]
    part |= {"repeat": "0.1", "once": True}
    (folder / "flow.json").write_text(json.dumps(flow), encoding="utf-8")
    settings = {
        "uiHost": "127.0.0.1",
        "uiPort": free_port(),
        "httpAdminRoot": False,
        "flowFile": "flow.json",
        "userDir": str(folder),
    }
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};", encoding="utf-8")
    return folder / "settings.js"


@pytest.mark.slow
def test_node_red_drives_parts(tmp_path: Path) -> None:
    red = installed(tmp_path / "red")
    settings = prepared(tmp_path / "red")

    async def scene(station: FakeStation, server: ModbusServer) -> None:
        environment = {**os.environ, "EDGE_AD_MODBUS_PORT": str(server.port), "EDGE_AD_TIMEOUT_MS": "60000"}
        process = await asyncio.create_subprocess_exec(
            "node", str(red), "-s", str(settings), env=environment, stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        said: list[str] = []
        try:
            while len(said) < len(STATES):
                line = (await asyncio.wait_for(process.stdout.readline(), 120)).decode()
                assert line, "Node-RED has ended"
                said += re.findall(r"part \d+ .*", line)
        finally:
            process.kill()
            await process.wait()
        assert said == [
            "part 1 passes: result_code 1",
            "part 2 is rejected: result_code 2",
            "part 3 is rejected: result_code 100",
            "part 4 passes: result_code 1",
        ]

    def judge(asked: object) -> Judgement:
        number = int(getattr(asked, "request").part_id)  # noqa: B009
        return Judgement(STATES[min(number, len(STATES)) - 1])

    serve_modbus(tmp_path / "s.sock", scene, judge=judge)
