"""What `edge-ad run` prints, and lines on a full disk: none of it costs a verdict or leaves half a line."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from support import tiny
from support.station_files import a_verdict, station_file
from support.tiny_calibration import calibrate

from edge_ad.errors import OutputError
from edge_ad.station.part_outputs import CsvOutput, JsonLinesOutput, PartOutput, PrintedParts, QueuedOutput
from edge_ad.station.parts import InspectedPart, PartFrame
from edge_ad.station.running import run_station
from edge_ad.verdict import State

WAIT_S = 60.0


def a_part(state: State) -> InspectedPart:
    frame = PartFrame(inspection="top", camera="top", verdict=a_verdict(state))
    return InspectedPart(
        trigger=1,
        part_id="1",
        recipe="r",
        state=state,
        reason=None,
        triggered_at=0.5,
        latency_ms=12.3456,
        frames=(frame,),
    )


class _ScarceFile(io.FileIO):
    """A file on a disk that takes some bytes at a time, and from ``room`` bytes on none."""

    room = 1_000_000

    def write(self, line: Any) -> int:
        if self.tell() >= self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(line)[: min(7, self.room - self.tell())])


@pytest.mark.parametrize("kind", [JsonLinesOutput, CsvOutput])
def test_of_a_line_that_the_disk_has_no_room_for_nothing_remains(
    kind: Callable[[Path], PartOutput], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results"
    monkeypatch.setattr(Path, "open", lambda self, mode, buffering=-1: _ScarceFile(self, mode))
    output = kind(path)
    output.write(a_part(State.ACCEPT))
    whole = path.read_bytes()
    assert whole.endswith(b"\n")
    monkeypatch.setattr(_ScarceFile, "room", len(whole) + 20)
    with pytest.raises(OutputError, match="the disk is full"):
        output.write(a_part(State.REJECT))
    assert path.read_bytes() == whole


# --- standard output


class _Stuck(io.RawIOBase):
    """A stream that nobody reads: a write waits until ``go_on`` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.text = b""

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        assert self.go_on.wait(WAIT_S)
        self.text += bytes(line)
        return len(line)


def test_a_station_whose_standard_output_nobody_reads_goes_on(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    images = tiny.write_images(tmp_path / "images", tiny.frames(3))
    tables = {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
    }
    stuck = _Stuck()
    told: list[InspectedPart] = []

    def tell(what: object) -> None:
        told.extend([what] if isinstance(what, InspectedPart) else [])
        if len(told) == 3:  # all of them have their result before the first one is printed
            stuck.go_on.set()

    printed = QueuedOutput(
        "standard output", PrintedParts(cast(BinaryIO, stuck), lambda part: part.part_id.encode()), 1
    )
    loop = run_station(station_file(**tables), tell, also=(printed,))
    assert sum(loop.core.counters.parts.values()) == 3
    assert len(stuck.text.splitlines()) + printed.dropped == 3
    assert printed.dropped >= 1


def test_a_reader_that_has_gone_is_an_output_that_fails() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as stream:  # noqa: PTH123
        output = PrintedParts(stream, lambda part: part.part_id.encode())
        with pytest.raises(OutputError, match="whoever reads it has gone"):
            output.write(a_part(State.ACCEPT))
