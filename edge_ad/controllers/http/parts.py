"""The parts that were asked for, and the results of late: as many as the settings say, the oldest are forgotten."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Iterator

from edge_ad.controllers.conversation import Outcome, outcome_of
from edge_ad.controllers.http.answers import PartAnswer, part_answer
from edge_ad.link.messages import Event, PartResult

__all__ = ["AskedParts"]


class AskedParts:
    """``hear`` is given every event of the station."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._asked: OrderedDict[str, asyncio.Future[Outcome]] = OrderedDict()
        self._results: deque[PartResult] = deque(maxlen=limit)

    def hear(self, event: Event) -> None:
        """Remembers results, whoever has triggered."""
        if isinstance(event, PartResult):
            self._results.append(event)

    def add(self, outcome: asyncio.Future[Outcome]) -> str:
        """A part that was accepted: the id by which its outcome is found."""
        name = secrets.token_hex(8)
        self._asked[name] = outcome
        if len(self._asked) > self._limit:
            self._asked.popitem(last=False)
        return name

    def is_known(self, name: str) -> bool:
        """Whether a part of this id is remembered."""
        return name in self._asked

    def outcome(self, name: str) -> PartAnswer | None:
        """The outcome of a part; ``None`` where it has none yet. Raises ``KeyError`` for an unknown id."""
        future = self._asked[name]
        return part_answer(future.result(), name) if future.done() else None

    def results(self, part_id: str | None, trigger: int | None) -> Iterator[PartAnswer]:
        """The results of late, the newest first; of this part or trigger, where one is given."""
        for result in reversed(self._results):
            if part_id in (None, result.part_id) and trigger in (None, result.trigger):
                yield part_answer(outcome_of(result))
