"""The road of a new bundle on the device: staged, checked, handed to the station, and watched by it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from edge_ad.bundle import Bundle
from edge_ad.errors import BundleError, EdgeAdError, LinkError, LinkRefusedError, LinkTimeoutError, OutputError
from edge_ad.link import Client
from edge_ad.link.messages import UpdateChanged
from edge_ad.update.checking import BundleUse, CheckOrder, check_apart
from edge_ad.update.slots import Slots, Step, UpdateSettings

__all__ = ["DeployOrder", "RecordStep", "deploy"]

_LOOK_S = 60.0  # longer than a station may be silent


class RecordStep(Protocol):
    """Puts a step into the audit trail; raises :class:`OutputError` where it cannot."""

    def __call__(self, slots: Slots, step: str, bundle: str, who: str | None, reason: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class DeployOrder:
    """``named``: the bundle of the station file whose place is taken. ``socket``: of the station's link."""

    bundle: Path
    settings: UpdateSettings
    named: str
    uses: tuple[BundleUse, ...]
    socket: Path
    trust: str | None = None
    who: str | None = None


def deploy(
    order: DeployOrder,
    told: Callable[[UpdateChanged], None] = lambda _: None,
    record: RecordStep | None = None,
    *,
    check: Callable[[CheckOrder], tuple[str, ...]] = check_apart,
    waits: bool = True,
) -> UpdateChanged:
    """Deploys a bundle. ``told``: hears of each step. ``waits``: until the station has kept it; without it, until the
    station has begun to open it.

    Raises:
        BundleError: the bundle is refused, or the station has returned to the one before.
        LinkError: the station does not run, or was lost meanwhile. Then it goes back to the bundle before.
        OutputError: the disk is full; nothing was changed.
    """
    bundle = Bundle.open(order.bundle)
    with Client(order.socket, client="deploy") as station:
        station.subscribe("update")
        slots = Slots(Path(order.settings.folder), order.named)
        with slots.staging() as slot:
            asked = _Road(slots, slot, f"{bundle.manifest.name}@{bundle.manifest.version}", order.who, told, record)
            asked.record("asked", None)
            try:
                asked.stage(bundle)
                asked.check(order, check)
            except KeyboardInterrupt:
                asked.withdraw(bundle)
                raise
            try:
                station.update(slots.key, slot, by=order.who)
            except LinkRefusedError as error:
                asked.give_up(str(error))
                raise
        try:
            return _followed(station, asked) if waits else asked.last
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{asked.last.title} is with the station, which goes on by itself") from None


class _Road:
    def __init__(
        self,
        slots: Slots,
        slot: int,
        title: str,
        who: str | None,
        told: Callable[[UpdateChanged], None],
        record: RecordStep | None,
    ) -> None:
        self.slots, self.slot = slots, slot
        self.told = told
        self.last = UpdateChanged(bundle=slots.key, slot=slot, title=title, step="ASKED")
        self._title, self._who, self._record = title, who, record

    def record(self, step: str, reason: str | None) -> None:
        if self._record is not None:
            self._record(self.slots, step, self._title, self._who, reason)

    def note(self, step: Step, reason: str | None = None, bundle: Bundle | None = None) -> None:
        self.record(step.value, reason)
        self.slots.note(step, self.slot, bundle, who=self._who, reason=reason)
        self.last = UpdateChanged(
            bundle=self.slots.key, slot=self.slot, title=self._title, step=step.value, reason=reason
        )
        self.told(self.last)

    def stage(self, bundle: Bundle) -> None:
        try:
            self.note(Step.STAGED, None, self.slots.stage(bundle, self.slot))
        except BundleError as error:
            self._refuse(error, bundle)
            raise
        except OutputError:
            self.slots.discard(self.slot)
            raise

    def check(self, order: DeployOrder, check: Callable[[CheckOrder], tuple[str, ...]]) -> None:
        where = str(self.slots.path(self.slot))
        asked = CheckOrder(bundle=where, uses=order.uses, trust=order.trust, latency_ms=order.settings.latency_ms)
        try:
            self.note(Step.CHECKED, "; ".join(check(asked)))
        except EdgeAdError as error:
            error = error.saying(str(error).replace(where, str(order.bundle)))
            self._refuse(error)
            raise error from None

    def give_up(self, why: str) -> None:
        """The station does not take it."""
        self.slots.discard(self.slot)
        self.note(Step.RETURNED, why)

    def withdraw(self, bundle: Bundle) -> None:
        """Whoever deploys it has thought better of it before the station was asked."""
        self.slots.discard(self.slot)
        with contextlib.suppress(EdgeAdError):
            is_checked = self.last.step == Step.CHECKED.value
            self.note(Step.RETURNED if is_checked else Step.REFUSED, "interrupted", bundle)

    def _refuse(self, error: EdgeAdError, bundle: Bundle | None = None) -> None:
        self.slots.discard(self.slot)
        with contextlib.suppress(OutputError):  # why it is refused matters more than that the disk is full as well
            self.note(Step.REFUSED, str(error), bundle)


def _followed(station: Client, asked: _Road) -> UpdateChanged:
    """Waits for the station's last word."""
    while True:
        try:
            event = station.next_event(timeout_s=_LOOK_S)
        except LinkTimeoutError:
            continue
        except LinkError as error:
            if asked.slots.state().active == asked.slot:  # it was kept, and the station ended before it could say so
                asked.told(kept := msgspec.structs.replace(asked.last, step=Step.KEPT.value, reason=None))
                return kept
            raise LinkError(
                f"{error}; {asked.last.title} was not kept, and the bundle before it is used at the next start"
            ) from error
        if not isinstance(event, UpdateChanged) or (event.bundle, event.slot) != (asked.slots.key, asked.slot):
            continue
        asked.told(event)
        if event.step == Step.RETURNED.value:
            raise BundleError(f"{event.title} was given back, the bundle before it is used again: {event.reason}")
        if event.step == Step.KEPT.value:
            return event
