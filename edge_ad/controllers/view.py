"""What a controller's adapter knows of the station: kept from its events and snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_ad.link.messages import (
    AlarmChanged,
    Event,
    PartResult,
    RecipeChanged,
    Snapshot,
    StateChanged,
    StationState,
)
from edge_ad.verdict import State

__all__ = ["StationView", "ViewCounts"]


@dataclass(slots=True)
class ViewCounts:
    """Counts of the active recipe in this shift."""

    ok: int = 0
    ng: int = 0
    invalid: int = 0
    refused: int = 0

    @property
    def total(self) -> int:
        """All parts with a result."""
        return self.ok + self.ng + self.invalid


@dataclass(slots=True)
class StationView:
    """``causes``: short names of why the station is in FAULT. ``recipes``: in the order of the station file.

    ``recent_parts``: which this controller had triggered before it connected, for :meth:`Conversation.begin`.

    ``snapshot``: the last one, at most a second old while the station is connected.
    """

    station: str = ""
    is_connected: bool = False
    state: StationState = StationState.STARTING
    cause: str | None = None
    causes: tuple[str, ...] = ()
    recipe: str | None = None
    requested_recipe: str | None = None
    recipe_error: str | None = None
    recipes: tuple[str, ...] = ()
    alarms: dict[str, str] = field(default_factory=dict)
    counts: ViewCounts = field(default_factory=ViewCounts)
    snapshot: Snapshot | None = None
    recent_parts: tuple[str, ...] = ()

    @property
    def takes_triggers(self) -> bool:
        """Whether the station accepts triggers now."""
        return self.is_connected and self.state in {StationState.READY, StationState.BUSY}

    @property
    def is_fault(self) -> bool:
        """Whether the station inspects nothing until a cause is gone."""
        return self.state is StationState.FAULT

    def number_of(self, recipe: str | None) -> int:
        """The number of a recipe, counted from 1; 0 where there is none."""
        return self.recipes.index(recipe) + 1 if recipe in self.recipes else 0

    def lost(self) -> None:
        """The station cannot be heard any more."""
        self.is_connected = False
        self.state, self.cause, self.causes = StationState.STARTING, None, ()

    def hear(self, event: Event) -> None:
        """An event of the station."""
        if isinstance(event, StateChanged):
            self.state, self.cause, self.causes = event.state, event.cause, event.causes
        elif isinstance(event, RecipeChanged):
            self._recipe_changed(event)
        elif isinstance(event, AlarmChanged):
            if event.active:
                self.alarms[event.alarm] = event.text
            else:
                self.alarms.pop(event.alarm, None)
        elif isinstance(event, PartResult) and event.challenge is None:
            self.counts.ok += event.state is State.ACCEPT
            self.counts.ng += event.state is State.REJECT
            self.counts.invalid += event.state is State.INVALID

    def begin(self, snapshot: Snapshot) -> None:
        """The first picture of the station after connecting. Its state comes as an event, as all that follows."""
        self.station = snapshot.station
        self.recipe, self.requested_recipe = snapshot.recipe, snapshot.requested_recipe
        self.recipes = snapshot.recipes or ((snapshot.recipe,) if snapshot.recipe else ())
        self.alarms = dict(snapshot.alarms)
        self.recent_parts = snapshot.recent_parts
        self.take(snapshot)

    def take(self, snapshot: Snapshot) -> None:
        """A later picture. An answer may overtake events, so it only brings what no event tells."""
        self.snapshot = snapshot
        if snapshot.counts is not None:
            parts = snapshot.counts.parts
            self.counts = ViewCounts(
                ok=parts.get(State.ACCEPT.value, 0),
                ng=parts.get(State.REJECT.value, 0),
                invalid=parts.get(State.INVALID.value, 0),
                refused=sum(snapshot.counts.refused.values()),
            )

    def _recipe_changed(self, event: RecipeChanged) -> None:
        self.recipe_error = event.error
        if event.active is not None:
            self.recipe = event.active
        is_done = event.error is not None or event.requested in {None, event.active}
        self.requested_recipe = None if is_done else event.requested
