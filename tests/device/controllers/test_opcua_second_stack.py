"""The OPC UA server, driven by a client of another stack: npm ``node-opcua-client`` on Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.opcua_ends import opcua_ends

PACKAGE = "node-opcua-client@2.182"
PROGRAM = Path(__file__).with_name("opcua_second_stack.js")
PARTS = 100


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Node's modules; ``EDGE_AD_NODE_MODULES`` names one that is there already."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    if given := os.environ.get("EDGE_AD_NODE_MODULES"):
        return Path(given)
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", PACKAGE]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if said.returncode != 0:
        pytest.skip(f"{PACKAGE} cannot be had from npm's registry: {said.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.mark.slow
def test_jobs_and_result_events_of_node_opcua(modules: Path, tmp_path: Path) -> None:
    home = {**os.environ, "NODE_PATH": str(modules), "HOME": str(tmp_path)}
    with opcua_ends(tmp_path) as ends:
        command = ["node", str(PROGRAM), ends.url, str(PARTS)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=home)
    assert said.returncode == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if line.startswith("{")]
    assert json.loads(lines[-1]) == {"parts": [f"N{number}" for number in range(PARTS)], "verdicts": ["ACCEPT"]}
