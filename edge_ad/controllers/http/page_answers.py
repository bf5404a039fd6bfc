"""What the page is told beside results and pictures: the station as people want to see it."""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from edge_ad.controllers.http.answers import StationAnswer, station_answer
from edge_ad.controllers.http.desk import Desk
from edge_ad.controllers.security import Who
from edge_ad.errors import EdgeAdError
from edge_ad.link.messages import Snapshot
from edge_ad.page import Rate, observed_rate
from edge_ad.page.findings import FindingCounts, Findings
from edge_ad.page.previews import find_previews

__all__ = ["PageState", "page_state", "shift_begin", "zone_name"]

logger = logging.getLogger(__name__)


class FalseRejects(msgspec.Struct, frozen=True, kw_only=True):
    """Of this shift and recipe. ``found``: what people found. ``unseen``: rejected parts that nobody has looked at.

    ``known``: parts found good, of all that may have been good. ``worst``: the same if those unseen were good as well.
    """

    found: FindingCounts
    unseen: int
    known: Rate
    worst: Rate


class PageState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page shows beside results and pictures. ``zone``: of the station, an IANA name where it is known.

    ``may_log_in``: whether tokens are asked for. ``previews``: inspections with a picture.
    """

    station: StationAnswer
    now: float
    zone: str | None
    offset_min: int
    who: str
    role: str
    may_log_in: bool
    false_rejects: FalseRejects
    drift_causes: tuple[str, ...]
    previews: tuple[str, ...]
    has_previews: bool
    has_evidence: bool


def page_state(desk: Desk, who: Who) -> PageState:
    """The state of this moment, for somebody."""
    view, settings = desk.gateway.view, desk.settings
    offset = datetime.now().astimezone().utcoffset()
    return PageState(
        station=station_answer(view),
        now=time.time(),
        zone=zone_name(),
        offset_min=0 if offset is None else round(offset.total_seconds() / 60),
        who=who.name,
        role="viewer" if who.role is None else who.role.value,
        may_log_in=settings.tokens is not None,
        false_rejects=_false_rejects(desk, view.snapshot),
        drift_causes=desk.recent.drift_causes,
        previews=() if settings.preview is None else find_previews(Path(settings.preview)),
        has_previews=settings.preview is not None,
        has_evidence=settings.evidence is not None,
    )


def _false_rejects(desk: Desk, snapshot: Snapshot | None) -> FalseRejects:
    counts = None if snapshot is None else snapshot.counts
    accepted, rejected, found = desk.gateway.view.counts.ok, desk.gateway.view.counts.ng, FindingCounts()
    if counts is not None and desk.settings.evidence is not None:
        try:
            found = Findings(Path(desk.settings.evidence)).counts(shift_begin(counts.since), counts.recipe)
        except EdgeAdError as error:
            logger.debug("no findings: %s", error)
    unseen = max(0, rejected - found.bad - found.good)
    of = accepted + found.good + unseen
    return FalseRejects(
        found=found,
        unseen=unseen,
        known=observed_rate(min(found.good, of), of),
        worst=observed_rate(min(found.good + unseen, of), of),
    )


def shift_begin(since: str) -> float:
    """The moment of a local time such as ``2026-11-27T06:00``, in seconds since the epoch."""
    return datetime.fromisoformat(since).astimezone().timestamp()


@lru_cache(1)
def zone_name() -> str | None:
    """The IANA name of this machine's time zone; ``None`` where it cannot be told."""
    given = os.environ.get("TZ", "").removeprefix(":")
    path = Path("/usr/share/zoneinfo") / given if given else Path("/etc/localtime")
    name = str(path.resolve()).partition("/zoneinfo/")[2] if path.is_file() else ""
    return name or None
