"""Which triggers are open, and who asked for them: each is settled exactly once. And who asked for what of late."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from edge_ad.link.messages import Snapshot

__all__ = ["Ledger", "OpenTrigger", "RecentParts"]

_PARTS_KEPT, _CLIENTS_KEPT = 256, 32
_RECENT_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class OpenTrigger:
    """An accepted trigger. ``client`` and ``id`` are ``None`` where it came from elsewhere than the link."""

    number: int
    client: int | None = None
    id: str | None = None
    part_id: str | None = None

    @property
    def to(self) -> dict[int, str]:
        """The client that asked, and its own id: what ``LinkServer.publish`` wants."""
        return {} if self.client is None or self.id is None else {self.client: self.id}


class Ledger:
    """Numbers accepted triggers from 1 and keeps them until they are settled by a result or by a fault.

    What was settled cannot be settled again: a late result finds nothing here, and is nobody's. At most ``limit``
    triggers are open, so that a fault can name all of them in one line.
    """

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._open: dict[int, OpenTrigger] = {}
        self._ids: set[tuple[int, str]] = set()
        self._last = 0

    @property
    def open(self) -> tuple[OpenTrigger, ...]:
        """The oldest first."""
        return tuple(self._open.values())

    def refusal(self, client: int | None = None, id: str | None = None) -> str | None:  # noqa: A002  the protocol's word
        """Why a trigger cannot be accepted now, as a reason for ``Refused``; ``None``: it can."""
        if len(self._open) >= self._limit:
            return "too_many_open"
        return "id_in_use" if client is not None and id is not None and (client, id) in self._ids else None

    def accept(
        self,
        client: int | None = None,
        id: str | None = None,  # noqa: A002  the protocol's word
        part_id: str | None = None,
    ) -> OpenTrigger:
        """A new open trigger.

        Raises:
            ValueError: there is a ``refusal``.
        """
        reason = self.refusal(client, id)
        if reason is not None:
            raise ValueError(reason)
        self._last += 1
        trigger = OpenTrigger(self._last, client, id, part_id)
        self._open[trigger.number] = trigger
        if client is not None and id is not None:
            self._ids.add((client, id))
        return trigger

    def settle(self, number: int) -> OpenTrigger | None:
        """Closes a trigger for its one result; ``None`` where it is not open (any more)."""
        trigger = self._open.pop(number, None)
        if trigger is not None and trigger.client is not None and trigger.id is not None:
            self._ids.discard((trigger.client, trigger.id))
        return trigger

    def fault(self, numbers: Iterable[int] | None = None) -> tuple[OpenTrigger, ...]:
        """Closes these triggers, or all open ones, for one fault; those that were settled before are left out."""
        asked = list(self._open) if numbers is None else numbers
        return tuple(trigger for number in asked if (trigger := self.settle(number)) is not None)


class RecentParts:
    """The ids of the parts that were accepted of late, for each client by its name: 256 parts of 32 clients.

    A client that was started again asks for them, so that it does not have the same part inspected twice.
    """

    def __init__(self) -> None:
        self._parts: OrderedDict[str, deque[str]] = OrderedDict()

    def add(self, client: str, part_id: str | None) -> None:
        """A part of this client was accepted."""
        if part_id is None:
            return
        self._parts.setdefault(client, deque(maxlen=_PARTS_KEPT)).append(part_id)
        self._parts.move_to_end(client)
        if len(self._parts) > _CLIENTS_KEPT:
            self._parts.popitem(last=False)

    def forget(self, client: str) -> None:
        """This client may begin anew with the same ids."""
        self._parts.pop(client, None)

    def told(self, snapshot: Snapshot, client: str) -> Snapshot:
        """The snapshot with the ids of this client, the newest last; as many as take 16 KiB in a line."""
        found: deque[str] = deque()
        room = _RECENT_BYTES
        for part_id in reversed(self._parts.get(client, ())):
            room -= len(msgspec.json.encode(part_id)) + 1
            if room < 0:
                break
            found.appendleft(part_id)
        return msgspec.structs.replace(snapshot, recent_parts=tuple(found))
