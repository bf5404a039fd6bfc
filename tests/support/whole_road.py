"""The whole road in the folder that is named: from ``model.onnx`` and pictures to results of a station over Modbus."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_ad.errors import LinkError
from edge_ad.link import Client, StationState
from support.modbus_ends import Registers, modbus_client
from support.plc_ends import Plc
from support.ports import free_port
from support.station_files import to_toml
from support.videos import wait_for

BEFORE = """\
export model.onnx --images normals -o part --effort low --report export.html
compare part part --images normals
calibrate part --normal held-out --fpr 0.1 --no-cache --report calibration.html
evaluate part --data data --no-cache --report evaluation.html
keys keys
sign part --keys keys
trust store keys/root.json
verify part --trust store
info part
bench part --runs 10
pack part -o part.zip
unpack part.zip -o second
score part held-out --json --csv scores.csv --annotate pictures --keep kept
init part --source held-out
doctor
run --check line/station.toml
connect --check line/station.toml
"""
AFTER = """\
replay line/evidence
support line/station.toml -o support.zip
backup line/station.toml -o backup.zip
restore backup.zip spare
"""
# doctor's WARN and FAIL are about this machine; some frames of score and some parts of replay may be rejected.
MAY_DISAGREE = {"doctor", "replay"}


def main(folder: Path) -> None:
    os.chdir(folder)
    port = free_port()
    write_station(Path("line"), port)
    for line in BEFORE.splitlines():
        edge_ad(*line.split())
    with running("run", "line/station.toml"), running("connect", "line/station.toml"):
        asyncio.run(inspect(port))
        edge_ad("deploy", "part.zip", "--to", "line/station.toml", "--recipe", "second")
    for line in AFTER.splitlines():
        edge_ad(*line.split())
    print("2 parts over Modbus, with 2 recipes")  # noqa: T201


def edge_ad(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "edge_ad", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and arguments[0] not in MAY_DISAGREE:
        sys.exit(f"edge-ad {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """A command that ends when it is told to."""
    with subprocess.Popen([sys.executable, "-m", "edge_ad", *arguments]) as process:
        yield
        process.terminate()
        if process.wait(60) != 0:
            sys.exit(f"edge-ad {' '.join(arguments)} ended with {process.returncode}")


def write_station(folder: Path, port: int) -> None:
    camera = {
        "source": "../held-out",
        "trigger": "software",
        "loop": True,
        "allow_repeats": True,
        "stale_after_s": 60.0,
    }
    tables = {
        "station": {"name": "line1", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": camera},
        "inspect": {"top": {"camera": "top", "bundle": "../part"}},
        "recipe": {
            "first": {"inspect": {"top": {"bundle": "../part"}}},
            "second": {"inspect": {"top": {"bundle": "../second"}}},
        },
        "link": {"socket": "s"},
        "evidence": {"folder": "evidence", "limit_mb": 10, "every": 1},
        "trust": {"store": "../store"},
        "update": {"folder": "updates", "watch_parts": 0},
        "controller": {"plc": {"protocol": "modbus", "port": port, "window_ms": 60_000, "acknowledge_ms": 60_000}},
    }
    folder.mkdir()
    (folder / "station.toml").write_text(to_toml(tables))


def is_ready(recipe: str) -> bool:
    with suppress(LinkError), Client("line/s", timeout_s=60.0) as client:
        snapshot = client.snapshot()
        return snapshot.state == StationState.READY and snapshot.recipe == recipe
    return False


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def inspect(port: int) -> None:
    """A controller brings one part, another recipe is asked for, and it brings a second part."""
    if not wait_for(lambda: is_ready("first") and listens(port), 120):
        sys.exit("the station was never ready")
    with Client("line/s", timeout_s=60.0) as client:
        async with modbus_client(port) as registers:
            plc = Plc(Registers(registers))
            await plc.inspect(1)
            client.recipe("second")
            if not wait_for(lambda: is_ready("second"), 120):
                sys.exit("the second recipe was never ready")
            await plc.inspect(2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
