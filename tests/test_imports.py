"""What importing edge_ad costs, and that it opens no connection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

HEAVY = {"onnx", "onnxruntime", "openvino", "nncf", "torch", "scipy", "matplotlib", "cv2", "edge_ad_export"}


def python(code: str, **env: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(k for k, m in sys.modules.items() if m)))"
    return {name.partition(".")[0] for name in json.loads(python(code).splitlines()[-1])}


@pytest.mark.parametrize("statement", ["import edge_ad", "import edge_ad.cli", "import edge_ad.link"])
def test_an_import_pulls_in_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & (HEAVY | {"numpy"})


FOR_WORK = {"scipy", "sklearn", "matplotlib", "onnx", "openvino", "nncf"}
COMMANDS = [
    "score",
    "verify",
    "image",
    "image-update",
    "info",
    "bench",
    "pack",
    "unpack",
    "init",
    "run",
    "replay",
    "connect",
    "token",
    "audit",
    "trust",
    "keys",
    "sign",
    "deploy",
    "doctor",
    "support",
    "backup",
    "restore",
    "calibrate",
    "compare",
    "demo",
    "evaluate",
    "export",
    "package",
]


def test_the_list_of_commands_is_complete() -> None:
    from edge_ad.cli import main

    assert sorted(COMMANDS) == sorted(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_no_library_for_its_work(name: str) -> None:
    run = f"from edge_ad.cli import main\nmain([{name!r}, '--help'], standalone_mode=False)"
    assert not loaded_by(run) & FOR_WORK


def test_scoring_with_onnx_runtime_pulls_in_no_other_engine(tiny_bundle: Path) -> None:
    loaded = loaded_by(f"from edge_ad import Detector; Detector.open({str(tiny_bundle)!r}).close()")
    assert "onnxruntime" in loaded
    assert not loaded & (HEAVY - {"onnxruntime", "cv2"})


SOCKETS = """
import socket
def refuse(*args, **kwargs):
    raise SystemExit(f"a connection is opened: {args[:3]}")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = socket.socket.sendto = refuse
"""


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_the_device_opens_no_connection_and_leaves_no_file(tiny_bundle: Path, tmp_path: Path, variant: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = set(tiny_bundle.rglob("*"))
    python(
        SOCKETS + f"from edge_ad import Detector\nimport numpy as np\n"
        f"with Detector.open({str(tiny_bundle)!r}, {variant!r}) as d:\n"
        "    d.score(np.zeros((48, 64, 3), np.uint8))\n"
        "import sys\n"
        "assert not sys.modules.get('openvino_telemetry')\n",
        HOME=str(home),
        XDG_CACHE_HOME=str(home / "cache"),
    )
    assert list(home.rglob("*")) == []
    assert set(tiny_bundle.rglob("*")) == before
