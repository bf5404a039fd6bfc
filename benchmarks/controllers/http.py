"""A client that triggers by POST on one connection that is kept, as a MES or a Triton client does."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.controllers.frame import Trip, connect_process, free_port

_JSON = {"Content-Type": "application/json"}


@contextmanager
def trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """Beside an adapter that may be asked any number of times a second."""
    port = free_port()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def is_ready() -> bool:
        try:
            client.request("GET", "/api/v1/health")
            answer = client.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            client.close()
            return False
        return answer.status == 200

    def trip(number: int) -> float:
        begin = time.perf_counter()
        client.request("POST", "/api/v1/parts", json.dumps({"number": number}), _JSON)
        said = json.loads(client.getresponse().read())
        taken = (time.perf_counter() - begin) * 1e3
        if not said.get("passes") or said["number"] != number:
            raise RuntimeError(f"part {number} was not accepted: the measurement is void: {said}")
        return taken

    table = f'protocol = "http"\nport = {port}\nrate_per_s = 1000000\nrecent = 0\n'
    with connect_process(folder, socket, table, is_ready):
        yield trip
        client.close()
