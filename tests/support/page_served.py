"""The page before a fake station: kept rejects, a preview, and parts whose verdicts a test chooses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_ad.link import Client, Judgement
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore
from edge_ad.station.preview_writer import PreviewHead
from edge_ad.verdict import Box, Drift, DriftState, Point, Reason, Region, State, Verdict
from support.http_served import Served, http_served

__all__ = ["PICTURE", "PageServed", "keep_rejects", "page_served", "page_verdict", "write_preview"]

PICTURE: NDArray[np.uint8] = np.random.default_rng(0).integers(60, 140, (120, 160, 3)).astype(np.uint8)
REGION = Region(box=Box(x=40, y=30, width=20, height=10), area_px=200, peak=Point(x=50, y=35), peak_score=2.0)


def page_verdict(state: State, number: int = 0, at: float | None = None) -> Verdict:
    """A verdict of this state, with a region where it rejects and drift that is watched."""
    invalid = state is State.INVALID
    return Verdict(
        state=state,
        score=None if invalid else 1.75 if state is State.REJECT else 0.5,
        threshold=1.0,
        reason=Reason.OUT_OF_RANGE if invalid else None,
        regions=(REGION,) if state is State.REJECT else (),
        frame_id=number,
        captured_at=time.time() if at is None else at,
        bundle="tiny@1",
        variant="onnx-fp32",
        drift=Drift(state=DriftState.WATCH, evidence=0.2, causes=("brightness lower",), since=5, frames=99, rejects=3),
    )


def keep_rejects(folder: Path, part_ids: list[str], at: float) -> None:
    """Evidence of these rejected parts, a minute apart, the last at ``at``."""
    with EvidenceStore(folder / "top", 10_000_000) as store:
        for number, part_id in enumerate(part_ids):
            verdict = page_verdict(State.REJECT, number, at - 60 * (len(part_ids) - 1 - number))
            record = EvidenceRecord(
                why="reject", station="line1", inspection="top", camera="top", recipe="a", part_id=part_id, frame="",
                frame_sha256="0" * 64, map=None, artefact_sha256="a" * 64, verdict=verdict,
            )  # fmt: skip
            store.add(record, PICTURE, None)


def write_preview(folder: Path, part_id: str, state: State = State.REJECT) -> None:
    """A preview as a scorer writes it."""
    jpeg = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    png = cv2.imencode(".png", np.full((30, 40, 4), 120, np.uint8))[1].tobytes()
    head = PreviewHead(
        inspection="top",
        part_id=part_id,
        height=120,
        width=160,
        picture=len(jpeg),
        map=len(png),
        verdict=page_verdict(state),
    )
    folder.mkdir(exist_ok=True)
    (folder / "top.preview").write_bytes(msgspec.json.encode(head) + b"\n" + jpeg + png)


class PageServed:
    """What a test of the page needs. ``next``: how the next part is judged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.evidence = folder / "evidence"
        self.preview = folder / "preview"
        self.next = State.ACCEPT
        self.served: Served
        self.link: Client

    @property
    def url(self) -> str:
        return self.served.url

    def part(self, part_id: str, state: State = State.ACCEPT) -> None:
        """One part through the station."""
        self.next = state
        self.link.result(self.link.trigger(part_id), timeout_s=60)

    def counted(self, state: str) -> int:
        """How many parts of this state the page's last snapshot counts."""
        snapshot = self.served.gateway.view.snapshot
        counts = None if snapshot is None else snapshot.counts
        return 0 if counts is None else counts.parts[state]

    def judgement(self) -> Judgement:
        """For the fake station."""
        reason = "out_of_range" if self.next is State.INVALID else None
        return Judgement(self.next, reason=reason, verdicts=(page_verdict(self.next),))


@contextmanager
def page_served(folder: Path, **given: Any) -> Iterator[PageServed]:
    """Serves until the end of the block; ``given``: entries of the controller's table."""
    one = PageServed(folder)
    one.evidence.mkdir()
    keep_rejects(one.evidence, ["R-1", "R-2", "R-3"], time.time())
    write_preview(one.preview, "P-0")
    tables = {"evidence": str(one.evidence), "preview": str(one.preview), **given}
    with http_served(folder, judge=lambda _: one.judgement(), **tables) as served, Client(folder / "s.sock") as link:
        one.served, one.link = served, link
        yield one
