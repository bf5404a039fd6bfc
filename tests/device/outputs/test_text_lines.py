"""JSON lines and CSV: what stands in them, and that a line is whole or not there."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import msgspec
import pytest

from edge_ad.errors import FrameError, OutputError
from edge_ad.outputs import CsvSink, JsonLinesSink
from edge_ad.sources import Frame
from edge_ad.verdict import Box, Latency, Point, Reason, Region, State, Verdict

REGIONS = (
    Region(box=Box(x=1, y=2, width=3, height=4), area_px=9, peak=Point(x=2, y=3), peak_score=5.5),
    Region(box=Box(x=10, y=20, width=30, height=40), area_px=900, peak=Point(x=12, y=23), peak_score=7.25),
)
REJECT = Verdict(
    state=State.REJECT,
    score=7.25,
    p_value=0.05,
    threshold=4.0,
    pixel_threshold=5.0,
    regions=REGIONS,
    frame_id=3,
    part_id="A-17",
    captured_at=1700000000.25,
    latency_ms=Latency(geometry=1.0, engine=8.0, decision=0.5, total=9.5),
    bundle="cookies@1",
    variant="onnx-int8",
    station="line 3",
)
UNREADABLE = Verdict(
    state=State.INVALID,
    reason=Reason.UNREADABLE,
    detail='b.png: found "x", expected an image',
    captured_at=1.0,
    bundle="cookies@1",
    variant="onnx-int8",
)
UNCALIBRATED = Verdict(
    state=State.INVALID, reason=Reason.UNCALIBRATED, score=1.5, captured_at=1.0, bundle="cookies@1", variant="v"
)
GOOD_FRAME = Frame(None, "parts/a.png", 3, 1700000000.25)
BAD_FRAME = Frame(None, "parts/b.png", 4, 1.0, FrameError(Reason.UNREADABLE, "damaged"))


def json_lines(*pairs: tuple[Frame, Verdict], verdicts: bool) -> list[dict[str, object]]:
    stream = io.BytesIO()
    sink = JsonLinesSink(stream, verdicts=verdicts)
    for frame, verdict in pairs:
        sink.write(frame, verdict, None)
    sink.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def csv_rows(*pairs: tuple[Frame, Verdict], verdicts: bool) -> list[dict[str, str]]:
    stream = io.BytesIO()
    sink = CsvSink(stream, verdicts=verdicts)
    for frame, verdict in pairs:
        sink.write(frame, verdict, None)
    sink.close()
    return list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))


def test_a_json_line_is_the_source_and_the_whole_verdict() -> None:
    (line,) = json_lines((GOOD_FRAME, REJECT), verdicts=True)
    assert list(line) == ["source", *Verdict.__struct_fields__]
    assert line.pop("source") == "parts/a.png"
    assert msgspec.convert(line, Verdict) == REJECT


def test_a_json_line_of_an_uncalibrated_bundle_has_a_score_and_no_verdict() -> None:
    scored, unreadable = json_lines((GOOD_FRAME, UNCALIBRATED), (BAD_FRAME, UNREADABLE), verdicts=False)
    assert set(scored) == {
        *("source", "detail", "score", "frame_id", "part_id", "captured_at", "latency_ms"),
        *("bundle", "variant", "station", "covers", "objects"),
    }
    assert (scored["score"], scored["detail"]) == (1.5, None)
    assert (unreadable["score"], unreadable["detail"]) == (None, UNREADABLE.detail)


def test_a_csv_row_is_flat_and_shows_the_worst_region() -> None:
    reject, unreadable = csv_rows((GOOD_FRAME, REJECT), (BAD_FRAME, UNREADABLE), verdicts=True)
    expected = {"source": "parts/a.png", "state": "REJECT", "score": "7.25", "regions": "2", "station": "line 3"}
    expected |= {"worst_x": "10", "worst_height": "40", "worst_area_px": "900", "worst_peak_y": "23"}
    expected |= {"worst_peak": "7.25", "engine_ms": "8.0", "captured_at": "1700000000.25", "reason": ""}
    assert {name: reject[name] for name in expected} == expected
    expected = {"state": "INVALID", "reason": "unreadable", "detail": UNREADABLE.detail or "", "score": ""}
    expected |= {"regions": "0", "worst_x": "", "threshold": ""}
    assert {name: unreadable[name] for name in expected} == expected


def test_csv_of_an_uncalibrated_bundle_has_no_column_for_verdicts() -> None:
    (row,) = csv_rows((GOOD_FRAME, UNCALIBRATED), verdicts=False)
    assert list(row) == [
        *("source", "frame_id", "part_id", "captured_at", "detail", "score"),
        *("geometry_ms", "engine_ms", "decision_ms", "total_ms", "bundle", "variant", "station"),
    ]
    assert row["score"] == "1.5"


def test_a_file_name_that_is_not_utf_8_is_written_as_far_as_it_can() -> None:
    frame = Frame(None, "parts/\udcff.png", 0, 1.0)
    verdict = msgspec.structs.replace(UNREADABLE, detail="parts/\udcff.png: damaged")
    assert json_lines((frame, verdict), verdicts=True)[0]["source"] == "parts/\ufffd.png"
    assert csv_rows((frame, verdict), verdicts=True)[0]["detail"] == "parts/\ufffd.png: damaged"


@pytest.mark.parametrize("sink", [JsonLinesSink, CsvSink])
def test_a_file_is_replaced_by_the_first_line_and_not_before(
    tmp_path: Path, sink: type[JsonLinesSink] | type[CsvSink]
) -> None:
    path = tmp_path / "results"
    path.write_text("old")
    opened = sink(path, verdicts=True)
    assert path.read_text() == "old"
    opened.write(GOOD_FRAME, REJECT, None)
    assert "parts/a.png" in path.read_text()  # at once, for whoever follows the file
    opened.close()
    opened.close()
    assert path.read_text().endswith("\n")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "absent" / "out.jsonl", verdicts=True)
    with pytest.raises(OutputError, match=r"absent/out.jsonl: cannot be written: its folder does not exist"):
        sink.write(GOOD_FRAME, REJECT, None)


PRELUDE = """
import resource, sys
from pathlib import Path
from edge_ad.errors import OutputError
from edge_ad.outputs import JsonLinesSink
from edge_ad.sources import Frame
from edge_ad.verdict import State, Verdict
frame = Frame(None, "a.png", 0, 1.0)
verdict = Verdict(state=State.ACCEPT, score=1.0, captured_at=1.0, bundle="b", variant="v")
def write(target):
    sink = JsonLinesSink(target, verdicts=True)
    for _ in range(100_000):
        sink.write(frame, verdict, None)
"""


def run(script: str, *arguments: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-B", "-c", PRELUDE + script, *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    script = """
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write(Path(sys.argv[1]))
except OutputError as error:
    sys.exit(str(error))
"""
    path = tmp_path / "out.jsonl"
    process = run(script, str(path))
    _, complaint = process.communicate(timeout=600)
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"out.jsonl: cannot be written: the file would be larger" in complaint
    assert len(lines) > 5
    assert {json.loads(line)["source"] for line in lines} == {"a.png"}
    assert lines[-1].endswith(b"\n")


def test_standard_output_on_a_full_disk_is_one_error() -> None:
    script = """
try:
    write(sys.stdout.buffer)
except OutputError as error:
    sys.exit(str(error))
"""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        process = run(script, stdout=full)
        _, complaint = process.communicate(timeout=600)
    assert complaint.splitlines() == [
        b"standard output: cannot be written: the disk is full: free some space and run again"
    ]
    assert process.returncode == 1


def test_a_reader_that_leaves_is_no_failure() -> None:
    script = """
try:
    write(sys.stdout.buffer)
except BrokenPipeError:
    sys.exit(0)
"""
    process = run(script)
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=600) == 0
    process.stderr.close()
    assert json.loads(first)["source"] == "a.png"
