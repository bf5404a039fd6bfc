"""Evidence: what is kept, how much of it, and what a power cut or a damaged file does to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from support import tiny
from support.station_files import station_file
from support.tiny_calibration import calibrate

from edge_ad import Detector
from edge_ad.cli import main
from edge_ad.errors import InputError, OutputError
from edge_ad.station import run_station
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore, find_evidence
from edge_ad.station.replay import replay_evidence
from edge_ad.verdict import State, Verdict

FRAME = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
MAP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
PLENTY = 10_000_000


def a_record(number: int) -> EvidenceRecord:
    return EvidenceRecord(
        why="reject",
        station="trial",
        inspection="top",
        camera="top",
        recipe="default",
        part_id=f"P{number}",
        frame="",
        frame_sha256="0" * 64,
        map=None,
        artefact_sha256="a" * 64,
        verdict=Verdict(
            state=State.REJECT, score=0.5, frame_id=number, captured_at=1e9 + number, bundle="b@1", variant="v"
        ),
    )


def names(folder: Path) -> set[str]:
    return {path.suffix for path in folder.iterdir()}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != "index.sqlite")


def parts(folder: Path) -> list[str]:
    return [record.part_id for record, _ in find_evidence(folder)]


def test_what_was_kept_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path, PLENTY) as store:
        kept = store.add(a_record(1), FRAME, MAP)
    ((record, place),) = find_evidence(tmp_path)
    assert record == kept
    np.testing.assert_array_equal(cv2.imread(str(place / record.frame)), FRAME)
    np.testing.assert_array_equal(np.load(place / str(record.map)), MAP)


def test_the_oldest_go_first_and_the_limit_is_never_exceeded(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path, PLENTY) as store:
        store.add(a_record(0), FRAME, MAP)
        one = store.size_bytes
    limit = 3 * one + 50
    with EvidenceStore(tmp_path, limit) as store:
        for number in range(1, 8):
            store.add(a_record(number), FRAME, MAP)
            assert store.size_bytes == size(tmp_path) <= limit
    assert parts(tmp_path) == ["P5", "P6", "P7"]


def test_a_frame_that_is_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path, 100) as store:
        assert store.add(a_record(1), FRAME, MAP) is None
    assert names(tmp_path) == {".sqlite"}


def test_a_power_cut_leaves_whole_frames_only(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path, PLENTY) as store:
        for number in range(3):
            store.add(a_record(number), FRAME, MAP)
    records = sorted(tmp_path.glob("*.json"))
    records[0].unlink()  # as if the record had not been written yet
    (tmp_path / ".0123456789abcdef.part.png").touch()
    with EvidenceStore(tmp_path, PLENTY) as store:
        assert store.size_bytes == size(tmp_path)
    assert parts(tmp_path) == ["P1", "P2"]
    assert len(list(tmp_path.iterdir())) == 2 * 3 + 1


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path, PLENTY) as store:
        store.add(a_record(1), FRAME, MAP)
        total = store.size_bytes
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 100)
    with EvidenceStore(tmp_path, PLENTY) as store:
        assert store.size_bytes == total
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        assert index.execute("SELECT part_id, state, score FROM evidence").fetchall() == [("P1", "REJECT", 0.5)]
    index.close()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.png").touch()
    with EvidenceStore(tmp_path, PLENTY) as store:
        store.add(a_record(1), FRAME, None)
    assert (tmp_path / "notes.png").exists()


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EvidenceStore(tmp_path, PLENTY) as store:
        monkeypatch.setattr("edge_ad.station.evidence.atomic_write", full_disk)
        with pytest.raises(OutputError, match="the disk is full"):
            store.add(a_record(1), FRAME, MAP)


def full_disk(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_a_station_keeps_evidence_and_replay_says_what_would_change(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    pictures = tiny.frames(6)
    pictures[3] = tiny.spotted(pictures[3], 20, 20)
    images = tiny.write_images(tmp_path / "images", pictures)
    file = station_file(
        station={"name": "trial", "deadline_ms": 60_000},
        camera={"top": {"source": str(images), "pace": "fast"}},
        inspect={"top": {"camera": "top", "bundle": str(tiny_bundle)}},
        evidence={"folder": str(tmp_path / "kept"), "every": 2, "borderline": False},
    )
    run_station(file)
    records = [record for record, _ in find_evidence(tmp_path / "kept")]
    assert sorted(record.why for record in records) == ["reject", "sample", "sample"]
    with Detector.open(tiny_bundle) as detector:
        same = list(replay_evidence(tmp_path / "kept", detector))
        assert [one.now.score for one in same] == [one.record.verdict.score for one in same]
        assert not [one for one in same if one.is_changed]
        lenient = list(replay_evidence(tmp_path / "kept", detector, threshold=1.0))
    assert [one.record.part_id for one in lenient if one.is_changed] == [
        one.part_id for one in records if one.why == "reject"
    ]
    without = CliRunner().invoke(main, ["replay", str(tmp_path / "kept")])
    assert without.exit_code == 2
    assert "give with --bundle the bundle to score with: these frames were judged by tiny@" in without.output
    given = ["--bundle", str(tiny_bundle), "--threshold", "1"]
    told = CliRunner().invoke(main, ["replay", str(tmp_path / "kept"), *given]).output
    assert "3 frames, 1 verdict would change" in told


@pytest.mark.parametrize("fault", ["no-record", "other-picture", "no-picture", "damaged-record"])
def test_evidence_that_cannot_be_believed_is_named(tiny_bundle: Path, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    if fault != "no-record":
        with EvidenceStore(folder, PLENTY) as store:
            store.add(a_record(1), FRAME, None)
    for path in folder.glob("*.png"):
        MEND[fault](path)
    calibrate(tiny_bundle, 0.5)
    with Detector.open(tiny_bundle) as detector, pytest.raises(InputError) as caught:
        list(replay_evidence(folder, detector))
    assert EXPECTED[fault] in str(caught.value)


MEND = {
    "other-picture": lambda path: path.write_bytes(b"other"),
    "no-picture": lambda path: path.unlink(),
    "damaged-record": lambda path: path.with_suffix(".json").write_bytes(msgspec.json.encode({"format": 1})),
}
EXPECTED = {
    "no-record": "found no record in it",
    "other-picture": "is not the picture that was kept",
    "no-picture": "cannot be read: No such file",
    "damaged-record": "is no record of evidence",
}
