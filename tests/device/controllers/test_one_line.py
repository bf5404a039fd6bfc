"""A whole line: an emulated Basler camera is triggered over Modbus, and the verdicts come back by every protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.modbus_ends import Registers, modbus_client
from support.mosquitto import Mosquitto, Subscriber, mosquitto
from support.plc_ends import Plc
from support.ports import free_port
from support.station_files import to_toml
from support.tiny_calibration import calibrate
from support.videos import wait_for

from edge_ad.controllers import Outputs, ResultCode

PARTS = 1_000
COMPANION, RESULT_READY = "http://opcfoundation.org/UA/MachineVision", 1024
Heard = list[tuple[str, str]]
STATES = {ResultCode.ACCEPT: "ACCEPT", ResultCode.REJECT: "REJECT"}


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """``edge-ad`` in a process of its own, ended as a service is."""
    environment = {**os.environ, "PYLON_CAMEMU": "1"}
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_ad", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 0, (folder / f"{arguments[0]}.log").read_text()[-3000:]


def write_station(folder: Path, bundle: Path, pictures: Path, controllers: dict[str, Any]) -> Path:
    features = {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": str(pictures)}
    tables = {
        "station": {"name": "line1", "trigger": "link", "deadline_ms": 60_000},
        "camera": {
            "top": {
                "source": "basler:",
                "trigger": "software",
                "pixel_format": "BGR8",
                "width": 576,
                "height": 768,
                "allow_repeats": True,
                "stale_after_s": 30.0,
                "features": features,
            }
        },
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "link": {"socket": "s"},
        "controller": controllers,
    }
    path = folder / "station.toml"
    path.write_text(to_toml(tables))
    return path


async def drive(port: int, parts: int) -> list[Outputs]:
    """A PLC that brings parts one after the other: what it read of each."""
    async with modbus_client(port) as client:
        plc = Plc(Registers(client))
        return [await plc.inspect(number, f"part-{number}") for number in range(1, parts + 1)]


def heard(subscriber: Subscriber) -> Heard:
    """Part ids and states, as MQTT told them."""
    return [(one["part_id"], one["state"]) for topic, one in subscriber.messages if topic == "edge-ad/line1/result"]


@pytest.mark.slow
@pytest.mark.shared
def test_a_camera_triggered_over_modbus_answers_over_every_protocol(
    tiny_bundle: Path, shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pypylon", reason="needs the extra basler")
    pytest.importorskip("asyncua", reason="needs the extra opcua")
    calibrate(tiny_bundle, 0.65)
    modbus_port, opcua_port = free_port(), free_port()
    with mosquitto(tmp_path) as broker:
        file = write_station(
            tmp_path,
            tiny_bundle,
            shared / "data" / "cookies" / "train" / "good",
            {
                "plc": {
                    "protocol": "modbus",
                    "port": modbus_port,
                    "window_ms": 60_000,
                    "acknowledge_ms": 60_000,
                    "requests_per_s": 100_000,
                },
                "broker": {"protocol": "mqtt", "port": broker.port, "window_ms": 60_000},
                "scada": {"protocol": "opcua", "port": opcua_port, "window_ms": 60_000},
            },
        )
        compare(tmp_path, file, broker, modbus_port, opcua_port)


class ResultEvents:
    """What a client of OPC UA hears: part ids and states of the events ResultReady, in their order."""

    def __init__(self) -> None:
        self.heard: Heard = []

    def event_notification(self, event: Any) -> None:
        self.heard.append((event.PartId.Id, event.ResultContent[0].Value))


async def drive_and_listen(
    modbus_port: int, opcua_port: int, parts: int
) -> tuple[list[Outputs], list[tuple[str, str]]]:
    """The same, with a client of OPC UA beside it."""
    from asyncua import Client, ua

    events = ResultEvents()
    async with Client(f"opc.tcp://127.0.0.1:{opcua_port}/edge-ad/", timeout=60) as client:
        await client.load_data_type_definitions()
        index = await client.get_namespace_index(COMPANION)
        subscription = await client.create_subscription(20, events)
        await subscription.subscribe_events(
            client.get_node("ns=1;s=VisionSystem"), [ua.NodeId(RESULT_READY, index)], queuesize=1_000
        )
        read = await drive(modbus_port, parts)
        for _ in range(600):
            if len(events.heard) >= parts:
                break
            await asyncio.sleep(0.1)
    return read, events.heard


def are_connected(log: Path, count: int) -> bool:
    """Whether so many adapters have found the station."""
    return log.read_bytes().count(b"connected to the station") >= count


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def compare(folder: Path, file: Path, broker: Mosquitto, modbus_port: int, opcua_port: int) -> None:
    subscriber = Subscriber(broker, "edge-ad/line1/result")
    try:
        with running(folder, "run", str(file)), running(folder, "connect", str(file)):
            assert wait_for((folder / "s").exists, 60)
            assert wait_for(lambda: are_connected(folder / "connect.log", 3), 60)
            assert wait_for(lambda: is_open(opcua_port), 120)
            read, over_opcua = asyncio.run(drive_and_listen(modbus_port, opcua_port, PARTS))
            assert wait_for(lambda: len(heard(subscriber)) >= PARTS, 60)
    finally:
        subscriber.close()
    over_modbus = [(one.result_part_id, STATES[ResultCode(one.result_code)]) for one in read]
    assert [part for part, _ in over_modbus] == [f"part-{number}" for number in range(1, PARTS + 1)]
    assert heard(subscriber) == over_modbus
    assert over_opcua == over_modbus
    assert {state for _, state in over_modbus} == {"ACCEPT", "REJECT"}
