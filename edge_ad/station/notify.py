"""What systemd is told: that the station is ready, what it does, and that its loop still turns (``sd_notify(3)``)."""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["Notifier"]


class Notifier:
    """Writes to the socket that systemd names in ``NOTIFY_SOCKET``; without one, nothing happens.

    ``watchdog_ns``: how often systemd wants to hear something, halved, so that one late message does no harm; ``None``
    where it does not watch.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        wanted_us = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_ns = int(wanted_us) * 1000 // 2 if self._address and mine and wanted_us.isdigit() else None
        self._due_ns = 0

    def tell(self, *lines: str) -> None:
        """Sends lines such as ``READY=1`` or ``STATUS=...``."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto("\n".join(lines).encode(), self._address)

    def tick(self, now_ns: int) -> int | None:
        """Feeds the watchdog when it is due; when to call again."""
        if self.watchdog_ns is None:
            return None
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + self.watchdog_ns
            self.tell("WATCHDOG=1")
        return self._due_ns
