"""How often a client may ask, and how often it may fail to log in. The memory of both is bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["FailureLimit", "RateLimit"]

_CLIENTS_KEPT = 4_096
_FAILURES = 10
_FORGIVEN_S = 60.0


class RateLimit:
    """A bucket for each client: ``per_s`` requests a second, and as many at once."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """0 where the request may go on, else the seconds until one may."""
        now = self._clock()
        left, then = self._left.pop(client, (max(1.0, self._per_s), now))
        left = min(max(1.0, self._per_s), left + (now - then) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._left[client] = (left - 1 if wait_s == 0 else left, now)
        if len(self._left) > _CLIENTS_KEPT:
            self._left.popitem(last=False)
        return wait_s


class FailureLimit:
    """After ``failures`` failed log-ins within ``forgiven_s`` a client is not heard until they are that old."""

    def __init__(
        self,
        failures: int = _FAILURES,
        forgiven_s: float = _FORGIVEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._forgiven_s = forgiven_s
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """0 where the client is heard, else the seconds until it is."""
        failed = self._recent(client)
        return 0.0 if len(failed) < self._failures else failed[0] + self._forgiven_s - self._clock()

    def failed(self, client: str) -> None:
        """A log-in of this client failed."""
        self._failed[client] = [*self._recent(client), self._clock()][-self._failures :]
        self._failed.move_to_end(client)
        if len(self._failed) > _CLIENTS_KEPT:
            self._failed.popitem(last=False)

    def _recent(self, client: str) -> list[float]:
        since = self._clock() - self._forgiven_s
        return [when for when in self._failed.get(client, []) if when > since]
