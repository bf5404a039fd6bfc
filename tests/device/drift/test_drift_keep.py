"""The ring of borderline frames: which are kept, how many, and what lies beside each."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from support import drifting, tiny

from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.drift import KeepLimits, KeepSink
from edge_ad.drift.keep import Borderline
from edge_ad.drift.kept import KeptFrame, read_kept
from edge_ad.errors import InputError
from edge_ad.sources import Frame

# Scores 1 ... 300, threshold 294: p-values of 8/301 at the threshold and 24/301 at 278; half as far again is 365.75.
CALIBRATION = drifting.calibration([float(k) for k in range(1, 301)])
SHA256 = "b" * 64
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def sink(folder: Path, frames: int = 5, *, megabytes: float = 1.0, gap_s: float = 0.0) -> KeepSink:
    return KeepSink(folder, CALIBRATION, SHA256, KeepLimits(frames=frames, megabytes=megabytes, gap_s=gap_s))


def offer(keeper: KeepSink, second: float, *, score: float = 290.0) -> None:
    judged = drifting.verdict(score, CALIBRATION, frame_id=int(second), captured_at=second)
    keeper.write(Frame(IMAGE, f"line#{int(second)}", int(second), second), judged, None)


def kept(folder: Path) -> list[int]:
    """The frames that lie there; every one has both files."""
    names = sorted(path.name for path in (folder / "pending").iterdir())
    pictures = [name for name in names if name.endswith(".png")]
    assert names == sorted(pictures + [name.replace(".png", ".json") for name in pictures])
    return [int(Path(name).stem.rpartition("-")[2]) for name in pictures]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param(150.0, False, id="ordinary"),
        pytest.param(277.0, False, id="not-yet"),
        pytest.param(278.0, True, id="accepted-with-a-small-p-value"),
        pytest.param(294.0, True, id="accepted-at-the-threshold"),
        pytest.param(294.5, True, id="just-rejected"),
        pytest.param(365.75, True, id="rejected-half-as-far-again"),
        pytest.param(366.0, False, id="plainly-defective"),
        pytest.param(None, False, id="no-score"),
    ],
)
def test_what_is_borderline(score: float | None, expected: bool) -> None:
    assert (drifting.verdict(score, CALIBRATION) in Borderline(CALIBRATION)) is expected


def test_a_kept_frame_is_the_cameras_and_says_what_was_said(tmp_path: Path) -> None:
    keeper = sink(tmp_path)
    offer(keeper, 1_700_000_000.25, score=295.0)
    keeper.close()
    (sidecar,) = (tmp_path / "pending").glob("*.json")
    assert sidecar.name.startswith("20231114T221320.250000Z-")
    record = read_kept(sidecar)
    assert record.verdict.score == 295.0
    assert (record.artefact_sha256, record.source) == (SHA256, "line#1700000000")
    np.testing.assert_array_equal(cv2.imread(str(sidecar.with_suffix(".png"))), IMAGE)


def test_the_oldest_goes(tmp_path: Path) -> None:
    keeper = sink(tmp_path, 3)
    for second in range(10):
        offer(keeper, float(second))
    assert kept(tmp_path) == [7, 8, 9]


def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    keeper = sink(tmp_path, 100, megabytes=0.01)
    for second in range(10):
        offer(keeper, float(second))
    size = sum(path.stat().st_size for path in (tmp_path / "pending").iterdir())
    assert 5_000 < size <= 10_000
    assert kept(tmp_path)[-1] == 9


def test_a_later_run_counts_what_lies_there(tmp_path: Path) -> None:
    for run in range(3):
        keeper = sink(tmp_path, 4)
        for second in range(3):
            offer(keeper, float(3 * run + second))
    assert kept(tmp_path) == [5, 6, 7, 8]
    sink(tmp_path, 2)
    assert kept(tmp_path) == [7, 8]


def test_what_was_confirmed_or_is_not_ours_is_never_touched(tmp_path: Path) -> None:
    keeper = sink(tmp_path, 2)
    offer(keeper, 0.0)
    (tmp_path / "pending" / "mine.png").write_bytes(b"holiday")
    for path in (tmp_path / "pending").glob("1970*"):
        shutil.move(path, tmp_path / "confirmed")
    for second in range(1, 6):
        offer(keeper, float(second))
    sink(tmp_path, 1)
    assert len(list((tmp_path / "confirmed").iterdir())) == 2
    (tmp_path / "pending" / "mine.png").unlink()
    assert kept(tmp_path) == [5]


def test_what_a_power_cut_left_is_tidied_away(tmp_path: Path) -> None:
    keeper = sink(tmp_path)
    for second in range(3):
        offer(keeper, float(second))
    next((tmp_path / "pending").glob("*-00000001.json")).unlink()
    (tmp_path / "pending" / ".0123456789abcdef.part.png").write_bytes(b"half")
    sink(tmp_path)
    assert kept(tmp_path) == [0, 2]


def test_a_drifting_line_does_not_wear_the_disk_out(tmp_path: Path) -> None:
    keeper = sink(tmp_path, 100, gap_s=1.0)
    for tenth in range(50):
        offer(keeper, tenth / 10)
    assert kept(tmp_path) == [0, 1, 2, 3, 4]
    offer(keeper, 0.5)  # the clock was set back
    assert len(kept(tmp_path)) == 6


@given(
    seconds=st.lists(st.integers(0, 10**9), unique=True, min_size=1, max_size=12).map(sorted), most=st.integers(1, 5)
)
@settings(deadline=None, max_examples=25)  # every frame reaches the disk
def test_the_newest_are_kept_whatever_their_times(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], most: int
) -> None:
    folder = tmp_path_factory.mktemp("ring")
    keeper = sink(folder, most)
    for second in seconds:
        offer(keeper, float(second))
    assert kept(folder) == seconds[-most:]


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        pytest.param({"frames": 0}, "found 0 frames", id="no-frames"),
        pytest.param({"megabytes": 0}, "0 MB", id="no-room"),
        pytest.param({"gap_s": -1}, "-1 s", id="negative-gap"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        KeepLimits(**limits)


def test_a_sidecar_vouches_for_its_picture(tmp_path: Path) -> None:
    offer(sink(tmp_path), 1.0)
    (sidecar,) = (tmp_path / "pending").glob("*.json")
    picture = sidecar.with_suffix(".png")
    assert cv2.imwrite(str(picture), IMAGE[::-1])
    with pytest.raises(InputError, match="is not the picture that was kept"):
        read_kept(sidecar)
    picture.unlink()
    with pytest.raises(InputError, match=r"cannot be read.*move both files"):
        read_kept(sidecar)
    sidecar.write_bytes(b"{}")
    with pytest.raises(InputError, match="is no record of a kept frame"):
        read_kept(sidecar)


def test_the_command_line_keeps_frames(tiny_bundle: Path, tmp_path: Path) -> None:
    made = drifting.calibrate(tiny_bundle)
    random = np.random.default_rng(9)
    frames = [drifting.photograph(random, light=light) for light in (1.0, 1.07, 1.07, 2.0)]
    images = tiny.write_images(tmp_path / "images", frames)
    done = CliRunner().invoke(
        main,
        [
            "score",
            str(tiny_bundle),
            str(images),
            "--keep",
            str(tmp_path / "kept"),
            "--keep-gap",
            "0",
            "--keep-max",
            "9",
        ],
    )
    assert done.exit_code == 0, done.output
    records = [read_kept(path) for path in sorted((tmp_path / "kept" / "pending").glob("*.json"))]
    assert [Path(record.source).name for record in records] == ["0001.png", "0002.png"]
    opened = Bundle.open(tiny_bundle)
    assert {record.artefact_sha256 for record in records} == {opened.artefact_sha256(opened.variant(None))}
    assert all(record.verdict in Borderline(made) for record in records)
    assert msgspec.json.decode(msgspec.json.encode(records[0]), type=KeptFrame) == records[0]
