"""MQTT: a paho client that publishes a trigger (QoS 1) and waits for the result, through mosquitto."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

from benchmarks.controllers.frame import Trip, connect_process, free_port

__all__ = ["trips"]

_BASE = "edge-ad/bench"
_WAIT_S = 10.0


@contextmanager
def trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """Broker, adapter and client; the client hears ``result`` as any other consumer does."""
    from paho.mqtt.client import Client, MQTTv5
    from paho.mqtt.enums import CallbackAPIVersion

    heard: queue.Queue[tuple[float, dict[str, Any]]] = queue.Queue()
    states: list[dict[str, Any]] = []

    def on_message(_: object, __: object, message: Any) -> None:
        now = time.perf_counter()
        told = json.loads(message.payload)
        if message.topic.endswith("/result"):
            heard.put((now, told))
        elif message.topic.endswith("/state"):
            states.append(told)

    def on_socket_open(_: object, __: object, sock: Any) -> None:
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    with _broker(folder) as port:
        client = Client(CallbackAPIVersion.VERSION2, "bench", protocol=MQTTv5)
        client.on_message = on_message
        client.on_socket_open = on_socket_open
        client.connect("127.0.0.1", port)
        client.subscribe(f"{_BASE}/+", qos=1)
        client.loop_start()

        def trip(number: int) -> float:
            part_id = f"P{number}"
            payload = json.dumps({"part_id": part_id})
            begin = time.perf_counter()
            client.publish(f"{_BASE}/command/trigger", payload, qos=1)
            ended, told = heard.get(timeout=_WAIT_S)
            while told.get("part_id") != part_id:  # the station's results of the other turns are published too
                ended, told = heard.get(timeout=_WAIT_S)
            if not told["passes"]:
                raise RuntimeError(f"the part was not accepted: {told}")
            return (ended - begin) * 1e3

        table = f'protocol = "mqtt"\nport = {port}\n'
        with connect_process(folder, socket, table, lambda: any(one["connected"] for one in states)):
            yield trip
        client.disconnect()
        client.loop_stop()


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    program = shutil.which("mosquitto")
    if program is None:
        raise RuntimeError("mosquitto is not installed: run  apt-get install mosquitto")
    port = free_port()
    config = folder / "mosquitto.conf"
    # Without it the kernel holds a small packet back until the one before it is acknowledged: 40 ms.
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", encoding="utf-8")
    with subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
        try:
            time.sleep(0.5)
            yield port
        finally:
            broker.kill()
