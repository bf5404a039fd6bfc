"""A running test of whether frames are still exchangeable with the calibration's normals."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.drift.watched_values import ODDS_RATIOS
from edge_ad.verdict import DriftState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.drift.watched_values import WatchedValue

__all__ = ["CLEAR", "WATCH", "DriftMonitor", "Memory"]

WATCH = 0.01
"""Evidence from which the state is WATCH; at 1 it is RECALIBRATE."""

CLEAR = 0.005
"""Evidence below which the state is OK again."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All that a monitor knows of the past. ``sums``: the Shiryaev-Roberts sum of each e-value; the state
    file calls it ``bets``."""

    sums: tuple[float, ...] = msgspec.field(name="bets")
    state: DriftState = DriftState.OK
    since: int = 0
    frames: int = 0


class DriftMonitor:
    """A test martingale for drift: Shiryaev-Roberts sums of e-values, averaged (Shin, Ramdas, Rinaldo 2024).

    Each e-value ``e`` of a frame updates its sum, ``R <- (R + 1) * e``, and has a mean of at most 1 while nothing has
    drifted. Then ``R - t`` is a supermartingale, also for any average of the sums, and by optional stopping the mean
    time until the average reaches ``run_length`` is at least ``run_length``. ``evidence`` is the average divided by
    ``run_length``.

    The state is ``WATCH`` from 0.01 on, ``RECALIBRATE`` from 1 on, and neither ends before the evidence is below 0.005.
    The sums go on all the while. By the same argument the mean time from there to the next false ``RECALIBRATE`` is at
    least 0.995 of ``run_length``, and to the next false ``WATCH`` a two-hundredth of it.

    Args:
        watched: what is watched, in the order of the values given to :meth:`observe`.
        run_length: frames, on average, before a false ``RECALIBRATE``.
    """

    def __init__(self, watched: Sequence[WatchedValue], run_length: int) -> None:
        ends = list(accumulate((one.size for one in watched), initial=0))
        self._watched = tuple(watched)
        self._sums = np.zeros(ends[-1])
        self._parts = [self._sums[begin:end] for begin, end in pairwise(ends)]
        self._tails = [tail for one in watched for tail in one.tails]
        self._starts = list(accumulate((tail.size for tail in self._tails[:-1]), initial=0))
        self._alarm = float(run_length) * ends[-1]
        self.state = DriftState.OK
        self.evidence = 0.0
        self.since = 0
        self.frames = 0

    def observe(self, values: Sequence[float]) -> DriftState:
        """Takes one frame, a value for each that is watched; gives the state that follows."""
        sums = self._sums
        sums += 1
        for watched, part, value in zip(self._watched, self._parts, values, strict=True):
            np.multiply(part, watched.e_values(value), out=part)
        # One sum alone can raise the alarm; more would only delay the return to OK.
        np.minimum(sums, self._alarm, out=sums)
        self.frames += 1
        self.evidence = float(sums.sum()) / self._alarm
        state = self._next_state()
        if state is not self.state:
            self.state, self.since = state, self.frames
        return state

    @property
    def causes(self) -> tuple[str, ...]:
        """What has departed, with at least a tenth of the evidence of the plainest, which is first. None while OK."""
        if self.state is DriftState.OK:
            return ()
        sums = np.add.reduceat(self._sums, self._starts).tolist()
        enough = 0.1 * max(sums)
        found = [(total, tail.name) for total, tail in zip(sums, self._tails, strict=True) if total >= enough]
        return tuple(name for _, name in sorted(found, key=lambda pair: -pair[0]))

    @property
    def possible_causes(self) -> tuple[str, ...]:
        """All names that :attr:`causes` can hold."""
        return tuple(tail.name for tail in self._tails)

    def delay(self, cause: str) -> int:
        """Within how many frames the state is RECALIBRATE if each of them lies beyond all cutoffs of that tail.

        This holds whatever came before: the other sums can only hasten it.
        """
        tail = next(tail for tail in self._tails if tail.name == cause)
        e_values = [cutoff.e_value(ratio, beyond=True) for cutoff in tail.cutoffs for ratio in ODDS_RATIOS]
        sums = np.zeros(len(e_values))
        for frame in range(1, int(self._alarm)):
            sums = (sums + 1) * e_values
            if sums.sum() >= self._alarm:
                return frame
        return int(self._alarm)

    @property
    def memory(self) -> Memory:
        """To go on from after a restart."""
        return Memory(sums=tuple(self._sums.tolist()), state=self.state, since=self.since, frames=self.frames)

    def resume(self, memory: Memory) -> None:
        """Goes on from there as if there had been no restart. Raises ``ValueError`` for a memory of another size."""
        if len(memory.sums) != self._sums.size:
            raise ValueError(f"expected {self._sums.size} sums, found {len(memory.sums)}")
        self._sums[:] = memory.sums
        self.evidence = float(self._sums.sum()) / self._alarm
        self.state, self.since, self.frames = memory.state, memory.since, memory.frames

    def _next_state(self) -> DriftState:
        if self.evidence >= 1:
            return DriftState.RECALIBRATE
        if self.evidence < CLEAR:
            return DriftState.OK
        if self.evidence >= WATCH and self.state is DriftState.OK:
            return DriftState.WATCH
        return self.state
