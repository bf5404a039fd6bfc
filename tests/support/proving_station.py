"""A real station with its scorer, proofs and page, to which a test hands parts in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_ad.link import Client, LinkServer
from edge_ad.link.messages import ChallengeFacts, PartResult, StationState
from edge_ad.station.loop import StationLoop
from edge_ad.station.proofs import Proof, read_proofs
from edge_ad.station.proving import StationProofs
from support import tiny
from support.http_served import gateway_served
from support.station_files import station_file
from support.station_trial import eventually

__all__ = ["PARTS", "ProvingStation", "proving_station"]

PARTS = {"good_parts": ["G-1"], "bad_parts": ["B-1 scratch", "B-2 dent"]}


@dataclass
class ProvingStation:
    """``url``: of its page. ``loop``: of the station, which :meth:`restart` starts again."""

    folder: Path
    tables: dict[str, Any]
    url: str = ""
    number: int = 0
    loop: StationLoop = field(init=False)

    def part(self, is_bad: bool = False, part_id: str | None = None) -> PartResult:
        """Hands a part in that was never seen before."""
        self.number += 1
        frame = tiny.frames(1, seed=self.number)[0]
        pixels = tiny.spotted(frame, 20, 20) if is_bad else frame
        with Client(self.folder / "s.sock") as link:
            return link.result(link.hand_in(pixels, part_id), timeout_s=60)

    def facts(self) -> ChallengeFacts:
        """What the link says of the proof."""
        with Client(self.folder / "s.sock") as link:
            found = link.snapshot().challenge
        assert found is not None
        return found

    def proofs(self) -> tuple[Proof, ...]:
        """What is in the file."""
        return read_proofs(self.folder / "proof.jsonl")

    def start(self) -> None:
        """Starts the station, and waits until it is ready and has replayed its set."""
        file = station_file(**self.tables)
        self._proofs = StationProofs(file)
        self._link = LinkServer(self.folder / "s.sock", station="trial")
        self.loop = StationLoop(file, link=self._link, proofs=self._proofs)
        self._thread = threading.Thread(target=self.loop.run)
        self._thread.start()
        eventually(lambda: self.loop.core.condition.state is StationState.READY)
        eventually(lambda: self.facts().replay is not None and not self.facts().is_replaying)

    def stop(self) -> None:
        """As SIGTERM does."""
        self.loop.stop()
        self._thread.join(60)
        self._link.close()
        self._proofs.close()

    def restart(self) -> None:
        """Stops it, whatever goes on, and starts it again."""
        self.stop()
        self.start()


@contextmanager
def proving_station(
    folder: Path, bundle: Path, parts: dict[str, Any] | None = None, **challenge: Any
) -> Iterator[ProvingStation]:
    """Runs until the end of the block. ``challenge``: more entries of its challenge set."""
    good = tiny.write_images(folder / "good", tiny.frames(2, seed=900))
    bad = tiny.write_images(folder / "bad", [tiny.spotted(one, 20, 20) for one in tiny.frames(2, seed=901)])
    given = {"good": str(good), "bad": str(bad), **(PARTS if parts is None else parts), **challenge}
    tables = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": "link"}},
        "link": {},
        "counters": {"file": str(folder / "counts.json")},
        "proof": {"file": str(folder / "proof.jsonl")},
        "evidence": {"folder": str(folder / "evidence")},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle), "challenge": given}},
    }
    one = ProvingStation(folder, tables)
    one.start()
    try:
        shown = {"proof": str(folder / "proof.jsonl"), "evidence": str(folder / "evidence")}
        with gateway_served(folder, folder / "s.sock", None, **shown) as (port, _):
            one.url = f"http://127.0.0.1:{port}"
            yield one
    finally:
        one.stop()
