"""Rules that stop the station, or raise an alarm, when too many parts are rejected or cannot be inspected."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Literal

import msgspec

from edge_ad.verdict import State

__all__ = ["RuleWatch", "StopRule"]

Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class StopRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``count`` of the last ``of`` parts in ``state``; without ``of``: ``count`` in a row.

    ``REJECT`` counts rejected parts, ``INVALID`` those without a verdict, ``NOT_ACCEPT`` both.
    ``action``: ``fault`` stops the station until somebody resets it; ``alarm`` only tells.
    """

    state: Literal["REJECT", "INVALID", "NOT_ACCEPT"]
    count: Count
    of: Count | None = None
    action: Literal["fault", "alarm"] = "fault"

    @property
    def window(self) -> int:
        """How many of the last parts are looked at."""
        return self.of or self.count

    def describe(self, name: str) -> str:
        """The rule, when it has been met, as a sentence."""
        what = {"REJECT": "rejected", "INVALID": "without a valid verdict", "NOT_ACCEPT": "not accepted"}[self.state]
        span = f"of the last {self.of} parts" if self.of else "parts in a row"
        return f"stop rule {name}: {self.count} {span} were {what}"

    def counts(self, state: State) -> bool:
        """Whether a part in this state counts."""
        return state is not State.ACCEPT if self.state == "NOT_ACCEPT" else state.value == self.state


class RuleWatch:
    """Counts results for each rule and says which rules are met."""

    def __init__(self, rules: dict[str, StopRule]) -> None:
        self._rules = rules
        self._last: dict[str, deque[bool]] = {}
        self.reset()

    def reset(self) -> None:
        """Begins to count anew."""
        self._last = {name: deque(maxlen=rule.window) for name, rule in self._rules.items()}

    def observe(self, state: State) -> list[tuple[str, StopRule]]:
        """The rules that this result meets; each of them then begins to count anew."""
        met = []
        for name, rule in self._rules.items():
            last = self._last[name]
            last.append(rule.counts(state))
            if sum(last) >= rule.count:
                met.append((name, rule))
                last.clear()
        return met
