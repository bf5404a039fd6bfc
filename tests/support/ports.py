"""Ports of loopback for servers that cannot be told to choose one themselves."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_ALL = range(20_000, 65_536)
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CHANCE = random.SystemRandom()  # of its own: tests that run at once begin with the same seed


def free_port() -> int:
    """A port that nobody listens on, of those that the system gives to nobody by itself.

    One of the others could be taken by any connection before the server has it; and who connects to it again and
    again, to see whether somebody listens, is in the end connected to himself.
    """
    first, last = (int(one) for one in _RANGE.read_text(encoding="ascii").split())
    ports = [one for one in _ALL if not first <= one <= last] or list(_ALL)
    while True:
        port = _CHANCE.choice(ports)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
