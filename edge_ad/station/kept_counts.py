"""Counts per recipe and shift that survive a restart, and the thread that writes them to the disk."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.station.counting import StationCounters

if TYPE_CHECKING:
    from edge_ad.link.messages import PresentCounts
    from edge_ad.station.parts import InspectedPart

__all__ = ["CounterSettings", "CountsFile", "KeptCounts", "LatestWriter", "ShiftCounts", "read_counts", "shift_of"]

TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
_SHIFTS_KEPT = 100
_CLOSE_WAIT_S = 5.0


class CounterSettings(Record, frozen=True, kw_only=True):
    """``[counters]``: counts per recipe and shift are kept in ``file``, which is written every ``every_s`` seconds at
    most, and when the station stops. ``shift_starts``: times of day, local time.
    """

    file: str
    every_s: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 5.0
    shift_starts: Annotated[tuple[TimeOfDay, ...], msgspec.Meta(min_length=1)] = ("00:00",)


class ShiftCounts(msgspec.Struct, kw_only=True):
    """One shift, called by the local time of its start, and its counts by recipe.

    ``since``: local time of a reset in this shift, from which on these counts are; what was counted before stands in
    the entry before this one.
    """

    shift: str
    since: str | None = None
    recipes: dict[str, StationCounters] = {}


class CountsFile(msgspec.Struct, kw_only=True):
    """The file of the counts. ``total``: by recipe, since it was begun. ``shifts``: the last ones, oldest first."""

    format: int = 1
    station: str
    total: dict[str, StationCounters] = {}
    shifts: list[ShiftCounts] = []


def shift_of(at: float, starts: tuple[str, ...], zone: tzinfo | None = None) -> str:
    """The start of the shift of this moment, such as ``2026-11-27T06:00``. ``zone``: the machine's where not given."""
    now = datetime.fromtimestamp(at, zone)
    times = sorted(starts)
    place = bisect_right(times, now.strftime("%H:%M")) - 1
    day = now if place >= 0 else now - timedelta(days=1)  # before the first start of a day it is yesterday's last shift
    return f"{day:%Y-%m-%d}T{times[place]}"


def read_counts(path: Path, station: str) -> tuple[CountsFile, str | None]:
    """The counts of a file; new ones where there is none. A damaged file is set aside, and the second value says so.

    Raises:
        InputError: the file belongs to another station, or cannot be read.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=CountsFile)
    except FileNotFoundError:
        return CountsFile(station=station), None
    except OSError as error:
        raise InputError(f"counters.file {path}: it cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        damage = f"{path} is damaged and is now called {aside.name}; counts begin at 0: {error}"
        return CountsFile(station=station), damage
    if found.station != station:
        raise InputError(f"counters.file {path} counts for station {found.station!r}: give {station!r} one of its own")
    return found, None


class KeptCounts:
    """Counts every part in its recipe and shift; :meth:`follow` takes over what the station counts beside parts."""

    def __init__(self, counts: CountsFile, starts: tuple[str, ...] = ("00:00",), *, zone: tzinfo | None = None) -> None:
        self.counts = counts
        self.has_changed = False
        self._starts = starts
        self._zone = zone
        self._seen = StationCounters()
        self._minute, self._name = -1, ""
        self._began = "", 0.0

    def shift(self, at: float) -> ShiftCounts:
        """The counts of the shift of this moment."""
        minute = int(at // 60)  # shifts begin with a minute: their name is looked up once in each
        if minute != self._minute:
            self._minute, self._name = minute, shift_of(at, self._starts, self._zone)
        name = self._name
        for one in reversed(self.counts.shifts):
            if one.shift == name:
                return one
        fresh = ShiftCounts(shift=name)
        self.counts.shifts = [*self.counts.shifts, fresh][-_SHIFTS_KEPT:]
        return fresh

    def shift_began(self, at: float) -> float:
        """When the shift of this moment began, in seconds since the epoch."""
        name = self.shift(at).shift
        if name != self._began[0]:
            self._began = name, datetime.fromisoformat(name).replace(tzinfo=self._zone).astimezone().timestamp()
        return self._began[1]

    def present(self, recipe: str, at: float) -> PresentCounts:
        """What was counted with a recipe in the shift of this moment, since the last reset in it."""
        shift = self.shift(at)
        counts = shift.recipes.get(recipe) or StationCounters()
        return counts.as_present(recipe, shift.since or shift.shift)

    def reset(self, at: float) -> None:
        """Closes the present count, as at the end of a shift. Where nothing was counted, it only begins later."""
        shift = self.shift(at)
        since = f"{datetime.fromtimestamp(at, self._zone):%Y-%m-%dT%H:%M:%S}"
        self.has_changed = True
        if not shift.recipes:
            shift.since = since
            return
        fresh = ShiftCounts(shift=shift.shift, since=since)
        self.counts.shifts = [*self.counts.shifts, fresh][-_SHIFTS_KEPT:]

    def count(self, part: InspectedPart) -> None:
        """Counts a result in the shift in which it was triggered."""
        self.has_changed = True
        for one in self._both(part.recipe, part.triggered_at):
            one.count(part)

    def follow(self, now: StationCounters, recipe: str, at: float) -> None:
        """What the station has counted beside parts since the last call."""
        seen, self._seen = self._seen, now.copy()
        refused = {name: count - seen.refused.get(name, 0) for name, count in now.refused.items()}
        plain = {name: getattr(now, name) - getattr(seen, name) for name in _PLAIN}
        if not any(refused.values()) and not any(plain.values()):
            return
        self.has_changed = True
        for one in self._both(recipe, at):
            for name, count in refused.items():
                one.refused[name] = one.refused.get(name, 0) + count
            for name, count in plain.items():
                setattr(one, name, getattr(one, name) + count)

    def encoded(self) -> bytes:
        """The content of the file; it counts as written from now on."""
        self.has_changed = False
        return msgspec.json.format(msgspec.json.encode(self.counts), indent=1)

    def _both(self, recipe: str, at: float) -> tuple[StationCounters, StationCounters]:
        return _of(self.counts.total, recipe), _of(self.shift(at).recipes, recipe)


def _of(counts: dict[str, StationCounters], recipe: str) -> StationCounters:
    found = counts.get(recipe)
    if found is None:
        found = counts[recipe] = StationCounters()
    return found


_PLAIN = ("lost_frames", "unasked_frames", "faults", "scorer_restarts")


class LatestWriter:
    """Writes the newest of what it is given in a thread of its own. ``error``: why the last one was not written."""

    def __init__(self, name: str, write: Callable[[bytes], None]) -> None:
        self.name = name
        self.error: str | None = None
        self._write = write
        self._newest: bytes | None = None
        self._closes = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        """``ok``, or what is wrong, in one line."""
        return "ok" if self.error is None else f"failing: {self.error}"

    def put(self, data: bytes) -> None:
        """Takes the place of what has not been written yet."""
        with self._changed:
            self._newest = data
            self._changed.notify()

    def close(self) -> None:
        """Writes what is left, for some seconds at most."""
        with self._changed:
            self._closes = True
            self._changed.notify()
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closes)
                data, self._newest = self._newest, None
            if data is None:
                return
            try:
                self._write(data)
            except (EdgeAdError, OSError) as error:
                self.error = str(error)
            else:
                self.error = None
