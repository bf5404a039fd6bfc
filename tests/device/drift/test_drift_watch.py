"""The watch beside a real detector: darker images, restarts, the command line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import drifting, tiny

from edge_ad.cli import main
from edge_ad.detector import Detector
from edge_ad.drift import DriftSettings, DriftWatch, frame_statistics
from edge_ad.errors import InputError
from edge_ad.outputs import Sink
from edge_ad.sources import Frame
from edge_ad.stream import Tally, score_frames
from edge_ad.verdict import Drift, DriftState, Verdict

SWITCH = 5_000


class Record(Sink):
    """Keeps what the stream says about drift."""

    needs_map = False

    def __init__(self) -> None:
        self.drifts: list[Drift] = []

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: object) -> None:
        assert verdict.drift is not None
        self.drifts.append(verdict.drift)

    def close(self) -> None: ...


def photographs(seed: int, lights: Iterable[float]) -> Iterator[Frame]:
    random = np.random.default_rng(seed)
    for index, light in enumerate(lights):
        yield Frame(drifting.photograph(random, light=light), f"line#{index}", index, float(index))


def watch(bundle: Path, frames: Iterable[Frame], state: Path | None = None) -> list[Drift]:
    record = Record()
    with Detector.open(bundle) as detector:
        watched = DriftWatch(detector, state_file=state)
        score_frames(detector, frames, [record], Tally(), watched)
        watched.close()
    return record.drifts


def test_images_that_turn_ten_percent_darker_are_noticed_within_the_stated_delay(tiny_bundle: Path) -> None:
    drifting.calibrate(tiny_bundle)
    drifts = watch(tiny_bundle, photographs(2, [1.0] * SWITCH + [0.9] * 50))
    with Detector.open(tiny_bundle) as detector:
        delay = DriftWatch(detector).monitor.delay("brightness lower")
    assert {drift.state for drift in drifts[:SWITCH]} == {DriftState.OK}
    alarm = next(index for index, drift in enumerate(drifts) if drift.state is DriftState.RECALIBRATE)
    # The delay is for frames that all lie beyond the calibration's darkest ones; one in ten here does not.
    assert alarm - SWITCH < delay + 5 < 20
    assert drifts[alarm].since == drifts[alarm].frames == alarm + 1
    assert drifts[-1].state is DriftState.RECALIBRATE
    assert set(drifts[-1].causes) == {"brightness lower", "score lower"}


def test_ten_percent_darker_is_darker_and_not_less_sharp() -> None:
    random = np.random.default_rng(4)
    image = drifting.photograph(random)
    before, after = frame_statistics(image), frame_statistics((image * 0.9).astype(np.uint8))
    assert after.brightness == pytest.approx(0.9 * before.brightness, rel=0.02)
    assert after.contrast == pytest.approx(before.contrast, rel=0.02)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.02)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(np.zeros((4, 4, 1)), (0.0, 0.0, 0.0), id="black"),
        pytest.param(np.full((4, 4, 3), 100), (100.0, 0.0, 0.0), id="flat"),
        pytest.param(np.full((4, 1, 3), 7), (7.0, 0.0, 0.0), id="one-column"),
        pytest.param(np.tile([[0], [200]], (4, 2))[..., None], (100.0, 1.0, 0.0), id="rows-are-smooth"),
        pytest.param(np.tile([0, 200], (4, 2))[..., None], (100.0, 1.0, 3**0.5), id="columns-alternate"),
    ],
)
def test_statistics_of_a_frame(image: np.ndarray, expected: tuple[float, float, float]) -> None:
    found = frame_statistics(image.astype(np.uint8))
    assert (found.brightness, found.contrast, found.sharpness) == pytest.approx(expected)


def test_of_a_large_canvas_few_pixels_are_read_and_say_the_same() -> None:
    random = np.random.default_rng(5)
    large = random.integers(0, 200, (1_024, 1_024, 3)).astype(np.uint8)
    small = large[:64, :64]
    assert frame_statistics(large).brightness == pytest.approx(frame_statistics(small).brightness, rel=0.03)
    assert frame_statistics(large).sharpness == pytest.approx(frame_statistics(small).sharpness, rel=0.03)


def test_a_restart_goes_on_where_it_stopped(tiny_bundle: Path, tmp_path: Path) -> None:
    drifting.calibrate(tiny_bundle)
    frames = list(photographs(3, [1.0] * 40 + [0.97] * 40))
    whole = watch(tiny_bundle, frames)
    state = tmp_path / "drift.json"
    assert watch(tiny_bundle, frames[:50], state) + watch(tiny_bundle, frames[50:], state) == whole
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_new_calibration_or_setting_begins_a_new_watch(tiny_bundle: Path, tmp_path: Path) -> None:
    drifting.calibrate(tiny_bundle)
    state = tmp_path / "drift.json"
    watch(tiny_bundle, photographs(3, [0.8] * 30), state)
    with Detector.open(tiny_bundle) as detector:
        with closing(DriftWatch(detector, state_file=state)) as same:
            assert same.drift().state is DriftState.RECALIBRATE
        with closing(DriftWatch(detector, DriftSettings(defect_rate=0.02), state)) as other:
            assert (other.drift().state, other.drift().frames) == (DriftState.OK, 0)
    drifting.calibrate(tiny_bundle, seed=9)
    assert watch(tiny_bundle, photographs(3, [1.0]), state)[0].frames == 1


def test_two_watches_do_not_share_a_state_file(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    drifting.calibrate(tiny_bundle, normals=60)
    state = tmp_path / "drift.json"
    arguments = ("score", tiny_bundle, images, "--drift-state", state)
    with Detector.open(tiny_bundle) as detector, closing(DriftWatch(detector, state_file=state)):
        refused = edge_ad(*arguments)
    assert refused.exit_code == 2, refused.output
    assert f"drift.json: another watch keeps its state in this file (process {os.getpid()})" in refused.stderr
    assert refused.stdout == ""
    assert edge_ad(*arguments).exit_code == 0


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(lambda data: b"", "is no state of a drift watch", id="empty"),
        pytest.param(lambda data: b"\xff\xfe", "is no state of a drift watch", id="no-text"),
        pytest.param(lambda data: data.replace(b'"frames": 30', b'"frames": 31'), "is damaged", id="edited"),
        pytest.param(lambda data: data[:-40], "is no state of a drift watch", id="cut-off"),
    ],
)
def test_a_damaged_state_is_refused(tiny_bundle: Path, tmp_path: Path, damage: object, complaint: str) -> None:
    assert callable(damage)
    drifting.calibrate(tiny_bundle, normals=60)
    state = tmp_path / "drift.json"
    watch(tiny_bundle, photographs(3, [1.0] * 30), state)
    state.write_bytes(damage(state.read_bytes()))
    with Detector.open(tiny_bundle) as detector, pytest.raises(InputError, match=f"{complaint}.*delete it"):
        DriftWatch(detector, state_file=state)


def test_a_frame_without_a_score_is_not_observed_but_says_the_state(tiny_bundle: Path) -> None:
    drifting.calibrate(tiny_bundle, normals=60)
    lost = Frame(None, "lost", 2, 2.0)
    *_, before, after = watch(tiny_bundle, [*photographs(3, [1.0, 1.0]), lost])
    assert (after.frames, after.evidence, after.statistics) == (before.frames, before.evidence, None)


# The command line.


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twenty darkened photographs; the sixth file is no image."""
    random = np.random.default_rng(8)
    folder = tiny.write_images(tmp_path / "images", [drifting.photograph(random, light=0.7) for _ in range(20)])
    (folder / "0005.png").write_bytes(b"no image")
    return folder


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_record_says_the_state(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    drifting.calibrate(tiny_bundle)
    table = tmp_path / "out.csv"
    done = edge_ad("score", tiny_bundle, images, "--json", "--csv", table)
    assert done.exit_code == 0, done.output
    drifts = [json.loads(line)["drift"] for line in done.stdout.splitlines()]
    assert [drift["state"] for drift in drifts] == ["OK"] * 4 + ["WATCH"] * 3 + ["RECALIBRATE"] * 13
    assert [drift["frames"] for drift in drifts][4:7] == [5, 5, 6]
    assert drifts[5]["statistics"] is None
    assert drifts[-1]["statistics"]["brightness"] < 70
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["drift"] for row in rows] == [drift["state"] for drift in drifts]
    assert rows[-1]["drift_causes"] == ", ".join(drifts[-1]["causes"]) == "score lower, brightness lower"
    assert rows[5]["brightness"] == ""


def test_a_calibration_says_how_its_normals_looked(tiny_bundle: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    normals = tiny.write_images(tmp_path / "normals", [drifting.photograph(random) for _ in range(60)])
    made = edge_ad("calibrate", tiny_bundle, "--normal", normals, "--fpr", "0.05", "--no-cache")
    assert made.exit_code == 0, made.output
    done = edge_ad("score", tiny_bundle, normals / "0000.png", "--json")
    brightness = json.loads(done.stdout)["drift"]["statistics"]["brightness"]
    with Detector.open(tiny_bundle) as detector:
        assert detector.calibration is not None
        reference = detector.calibration.frame_reference
    assert reference is not None
    assert len(reference.brightness) == 60
    assert brightness in reference.brightness


def test_text_has_a_column_and_a_last_line(tiny_bundle: Path, images: Path) -> None:
    drifting.calibrate(tiny_bundle)
    done = edge_ad("score", tiny_bundle, images)
    assert "drift OK" in done.stdout.splitlines()[0]
    assert "drift RECALIBRATE" in done.stdout.splitlines()[-1]
    assert (
        "drift RECALIBRATE since frame 7: score lower, brightness lower (19 frames watched, 0 rejected)" in done.stderr
    )


def test_it_can_be_left_out(tiny_bundle: Path, images: Path) -> None:
    drifting.calibrate(tiny_bundle, normals=60)
    done = edge_ad("score", tiny_bundle, images, "--no-drift")
    assert "drift" not in done.output
    record = json.loads(edge_ad("score", tiny_bundle, images, "--no-drift", "--json").stdout.splitlines()[0])
    assert record["drift"] is None


def test_without_calibration_nothing_is_watched(tiny_bundle: Path, images: Path) -> None:
    done = edge_ad("score", tiny_bundle, images, "--json")
    assert done.exit_code == 0
    assert "drift" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--drift-run-length", "10"], 2, "expected 10000 or more", id="run-length"),
        pytest.param(["--defect-rate", "3"], 2, "such as 0.01, found 3", id="defect-rate"),
        pytest.param(["--no-drift", "--drift-state", "x.json"], 2, "leave one of them out", id="state-without-drift"),
        pytest.param(["--drift-state", "/proc/x/y"], 2, "its folder does not exist", id="state-nowhere"),
        pytest.param(["--drift-state", "/proc/x"], 4, "cannot be written", id="state-unwritable"),
        pytest.param(["--keep", "/proc/x"], 4, "cannot be written", id="keep-unwritable"),
        pytest.param(["--keep", "{folder}", "--keep-max", "0"], 2, "at least one frame", id="keep-nothing"),
    ],
)
def test_bad_options_are_one_line(
    tiny_bundle: Path, images: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    drifting.calibrate(tiny_bundle, normals=60)
    done = edge_ad("score", tiny_bundle, images, *(word.format(folder=tmp_path / "kept") for word in arguments))
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize("option", ["--keep", "--drift-state"])
def test_what_needs_a_calibration_says_so(tiny_bundle: Path, images: Path, tmp_path: Path, option: str) -> None:
    done = edge_ad("score", tiny_bundle, images, option, tmp_path / "there")
    assert done.exit_code == 2
    assert "run edge-ad calibrate" in done.stderr
    assert done.stdout == ""
