"""A running test of whether frames are still exchangeable with the calibration's normals."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.drift.channels import ODDS
from edge_ad.verdict import DriftState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.drift.channels import Channel

__all__ = ["CLEAR", "WATCH", "DriftMonitor", "Memory"]

WATCH = 0.01
"""Evidence from which the state is WATCH; at 1 it is RECALIBRATE."""

CLEAR = 0.005
"""Evidence below which the state is OK again."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All that a monitor knows of the past. ``bets``: the Shiryaev-Roberts sum of each bet."""

    bets: tuple[float, ...]
    state: DriftState = DriftState.OK
    since: int = 0
    frames: int = 0


class DriftMonitor:
    """Shiryaev-Roberts sums over bets, averaged: an e-detector (Shin, Ramdas, Rinaldo 2024).

    Each bet keeps ``R <- (R + 1) * factor``, where the factor's mean is at most 1 while nothing has drifted. Then
    ``R - t`` is a supermartingale, for any mixture of bets too, and by optional stopping the mean time until the
    mixture reaches ``run_length`` is at least ``run_length``. ``evidence`` is the mixture over ``run_length``.

    The state is ``WATCH`` from 0.01 on, ``RECALIBRATE`` from 1 on, and neither ends before the evidence is below 0.005.
    The bets go on all the while. By the same argument the mean time from there to the next false ``RECALIBRATE`` is at
    least 0.995 of ``run_length``, and to the next false ``WATCH`` a two-hundredth of it.

    Args:
        channels: what is watched, in the order of the values given to :meth:`observe`.
        run_length: frames, on average, before a false ``RECALIBRATE``.
    """

    def __init__(self, channels: Sequence[Channel], run_length: int) -> None:
        ends = list(accumulate((channel.bets for channel in channels), initial=0))
        self._channels = tuple(channels)
        self._bets = np.zeros(ends[-1])
        self._parts = [self._bets[begin:end] for begin, end in pairwise(ends)]
        self._sides = [side for channel in channels for side in channel.sides]
        self._starts = list(accumulate((side.bets for side in self._sides[:-1]), initial=0))
        self._alarm = float(run_length) * ends[-1]
        self.state = DriftState.OK
        self.evidence = 0.0
        self.since = 0
        self.frames = 0

    def observe(self, values: Sequence[float]) -> DriftState:
        """Takes one frame, a value per channel; gives the state that follows."""
        bets = self._bets
        bets += 1
        for channel, part, value in zip(self._channels, self._parts, values, strict=True):
            np.multiply(part, channel.factors(value), out=part)
        # One bet alone can raise the alarm; more would only delay the return to OK.
        np.minimum(bets, self._alarm, out=bets)
        self.frames += 1
        self.evidence = float(bets.sum()) / self._alarm
        state = self._next_state()
        if state is not self.state:
            self.state, self.since = state, self.frames
        return state

    @property
    def causes(self) -> tuple[str, ...]:
        """What has departed, with at least a tenth of the evidence of the plainest, which is first. None while OK."""
        if self.state is DriftState.OK:
            return ()
        sums = np.add.reduceat(self._bets, self._starts).tolist()
        enough = 0.1 * max(sums)
        found = [(total, side.name) for total, side in zip(sums, self._sides, strict=True) if total >= enough]
        return tuple(name for _, name in sorted(found, key=lambda pair: -pair[0]))

    @property
    def sides(self) -> tuple[str, ...]:
        """What can be a cause."""
        return tuple(side.name for side in self._sides)

    def delay(self, cause: str) -> int:
        """Within how many frames it is RECALIBRATE if each of them lies beyond all edges of that side.

        No luck is involved, whatever came before; the other bets can only hasten it.
        """
        side = next(side for side in self._sides if side.name == cause)
        factors = [edge.factor(odds, beyond=True) for edge in side.edges for odds in ODDS]
        sums = np.zeros(len(factors))
        for frame in range(1, int(self._alarm)):
            sums = (sums + 1) * factors
            if sums.sum() >= self._alarm:
                return frame
        return int(self._alarm)

    @property
    def memory(self) -> Memory:
        """To go on from after a restart."""
        return Memory(bets=tuple(self._bets.tolist()), state=self.state, since=self.since, frames=self.frames)

    def resume(self, memory: Memory) -> None:
        """Goes on as if nothing had happened. Raises ``ValueError`` for a memory of other bets."""
        if len(memory.bets) != self._bets.size:
            raise ValueError(f"expected {self._bets.size} bets, found {len(memory.bets)}")
        self._bets[:] = memory.bets
        self.evidence = float(self._bets.sum()) / self._alarm
        self.state, self.since, self.frames = memory.state, memory.since, memory.frames

    def _next_state(self) -> DriftState:
        if self.evidence >= 1:
            return DriftState.RECALIBRATE
        if self.evidence < CLEAR:
            return DriftState.OK
        if self.evidence >= WATCH and self.state is DriftState.OK:
            return DriftState.WATCH
        return self.state
