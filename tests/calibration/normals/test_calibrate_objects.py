"""Objects as observations: what is promised is what the runtime rejects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny
from support.calibrating import normals_of

from edge_ad import Box, Bundle, Detector, State
from edge_ad.bundle.records import Calibration, Geometry, Resize
from edge_ad.cli import main
from edge_ad.drift.watched_values import DriftSettings, watched_values
from edge_ad.scoring.objects import crop
from edge_ad.sources.frame_name import FrameName
from edge_ad.sources.object_table import read_objects
from edge_ad_calibration.normals.measured import read_frame
from edge_ad_calibration.normals.parts import group_parts, parse_part_by
from edge_ad_calibration.stations import _one_each

pytestmark = pytest.mark.usefixtures("undrawn")

FRAMES, EACH = 20, 3
BOXES = (Box(0, 0, 40, 30), Box(50, 20, 32, 32), Box(30, 60, 60, 24))


@pytest.fixture(scope="module")
def _master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    geometry = Geometry(resize=Resize(width=32, height=32, mode="letterbox"), level="object")
    return tiny.write_bundle(tmp_path_factory.mktemp("objects") / "objects", geometry)


@pytest.fixture
def bundle(_master: Path, tmp_path: Path) -> Path:
    """Uncalibrated, a copy for each test."""
    return Path(shutil.copytree(_master, tmp_path / "objects"))


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    """Trays of 100x90 pixels; the three objects of each differ from one another and from tray to tray."""
    random = np.random.default_rng(11)
    found = tiny.frames(FRAMES, shape=(90, 100, 3), seed=2)
    for picture in found:
        for box in BOXES:
            crop(picture, box)[:] = random.integers(0, int(random.integers(40, 120)), (box.height, box.width, 3))
    return found


@pytest.fixture
def normals(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", pictures)


def table(folder: Path, *rows: str) -> Path:
    file = folder / "objects.csv"
    file.write_text("\n".join(["path,x,y,width,height", *rows]) + "\n")
    return file


def rows_for(names: list[str]) -> list[str]:
    return [f"{name},{box.x},{box.y},{box.width},{box.height}" for name in names for box in BOXES]


@pytest.fixture
def objects(normals: Path) -> Path:
    return table(normals, *rows_for([f"{index:04d}.png" for index in range(FRAMES)]))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def recorded(bundle: Path) -> Calibration:
    opened = Bundle.open(bundle)
    record = opened.calibration(opened.variant())
    assert record is not None
    return record.stations["default"]


def at_run_time(bundle: Path, pictures: list[NDArray[np.uint8]]) -> list[tuple[float, list[float], int]]:
    """Of each tray its score, those of its objects, and how many of these are rejected."""
    with Detector.open(bundle) as detector:
        verdicts = [detector.score(picture, objects=BOXES) for picture in pictures]
    return [
        (v.score or -1, [one.score for one in v.objects], sum(one.state is State.REJECT for one in v.objects))
        for v in verdicts
    ]


def test_every_object_is_one_observation(
    bundle: Path, normals: Path, objects: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    done = run(bundle, "--normal", normals, "--objects", objects, "--fpr", 0.1, "--confidence", 0.8)
    assert done.exit_code == 0, done.output
    assert f"normals          {FRAMES * EACH} objects" in done.stdout
    assert "At most 10 % of normal objects are rejected, with 80 % confidence" in done.stdout
    assert "as long as objects to come are exchangeable with these 60" in done.stdout
    assert "a frame is rejected when any of its objects is, which happens more often" in done.stdout
    made = recorded(bundle)
    assert (made.observation, made.frames, made.image.n, made.part_by) == ("object", 60, 60, None)
    seen = at_run_time(bundle, pictures)
    assert list(made.scores) == sorted(score for _, scores, _ in seen for score in scores)
    assert sum(rejected for _, _, rejected in seen) == sum(score > made.image.threshold for score in made.scores) > 0


def test_the_promise_may_be_about_frames(
    bundle: Path, normals: Path, objects: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    asked = ("--objects", objects, "--part-by", "frame", "--fpr", 0.2, "--confidence", 0.8)
    done = run(bundle, "--normal", normals, *asked)
    assert done.exit_code == 0, done.output
    assert "normals          20 frames, 60 objects" in done.stdout
    assert "At most 20 % of normal frames are rejected" in done.stdout
    assert "any of its objects" not in done.stdout
    made = recorded(bundle)
    assert (made.observation, made.frames, made.image.n, made.part_by) == ("frame", 60, 20, "frame")
    seen = at_run_time(bundle, pictures)
    assert list(made.scores) == sorted(score for score, _, _ in seen)
    assert sum(rejected > 0 for _, _, rejected in seen) == sum(score > made.image.threshold for score in made.scores)


def test_the_largest_of_some_objects_says_nothing_about_low_scores(bundle: Path, normals: Path, objects: Path) -> None:
    asked = ("--normal", normals, "--objects", objects, "--fpr", 0.2, "--confidence", 0.8)
    names = []
    for more in ((), ("--part-by", "frame")):
        assert run(bundle, *asked, *more).exit_code == 0
        names.append({tail.name for tail in watched_values(recorded(bundle), DriftSettings())[0].tails})
    assert names[0] - names[1] == {"score lower"}


def test_crops_are_the_same_objects(
    bundle: Path, normals: Path, objects: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    crops = tiny.write_images(tmp_path / "crops", [crop(picture, box) for picture in pictures for box in BOXES])
    asked = ("--fpr", 0.1, "--confidence", 0.8)
    assert run(bundle, "--normal", normals, "--objects", objects, *asked).exit_code == 0
    boxed = recorded(bundle)
    done = run(bundle, "--normal", crops, *asked)
    assert "normals          60 objects" in done.stdout
    cropped = recorded(bundle)
    assert (cropped.scores, cropped.image, cropped.pixel) == (boxed.scores, boxed.image, boxed.pixel)
    assert cropped.images_sha256 == boxed.images_sha256
    assert cropped.frame_reference == boxed.frame_reference


def test_sheet_page_and_exclusion_name_objects(bundle: Path, normals: Path, objects: Path, tmp_path: Path) -> None:
    name = str(FrameName(str(normals / "0007.png"), box=BOXES[1]))
    asked = ("--fpr", 0.1, "--confidence", 0.8, "--sheet", tmp_path / "s.jpg", "--report", tmp_path / "r.html")
    done = run(
        bundle, "--normal", normals, "--objects", objects, *asked, "--exclude", name, "--reason", "broken", "--json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [one["image"] for one in result["exclusions"]] == [name]
    assert (result["frames"], result["pictures"]) == (59, "object")
    sheet = cv2.imread(str(tmp_path / "s.jpg"))
    assert sheet is not None
    assert sheet.std() > 1
    page = (tmp_path / "r.html").read_text()
    assert "normal objects" in page
    assert "#xywh=" in page


def test_frames_of_videos_have_objects_too(bundle: Path, tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (100, 90))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    file = table(tmp_path, *rows_for([f"line.avi#{index}" for index in range(1, FRAMES)]))
    done = run(bundle, "--normal", tmp_path / "line.avi", "--objects", file, "--fpr", 0.1, "--confidence", 0.8)
    assert done.exit_code == 0, done.output
    assert recorded(bundle).image.n == 57


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param(["--train", "."], "--train compares whole images", id="train"),
        pytest.param(["--update", "."], "--update scores whole frames", id="update"),
        pytest.param(["--cluster", "local"], "leave out --cluster", id="cluster"),
        pytest.param(["--fpr", "0.001"], "60 normal objects were given", id="too-few"),
    ],
)
def test_what_does_not_go_with_objects_is_told(
    bundle: Path, normals: Path, objects: Path, more: list[str], said: str
) -> None:
    done = run(bundle, "--normal", normals, "--objects", objects, *more)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
    assert not list(bundle.rglob("calibration.json"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        pytest.param("0000.png,0,0,9,9", "names no object in 19 of 20 images", id="images-without"),
        pytest.param("nine.png,0,0,9,9", "there is no file 'nine.png'", id="unknown"),
        pytest.param("0000.png,0,0,9,9.5", "expected whole pixels as height", id="fraction"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(bundle: Path, normals: Path, row: str, said: str) -> None:
    done = run(bundle, "--normal", normals, "--objects", table(normals, row), "--fpr", 0.1)
    assert (done.exit_code, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.output


def test_a_box_outside_its_frame_is_no_normal(bundle: Path, normals: Path) -> None:
    rows = [*rows_for([f"{index:04d}.png" for index in range(FRAMES)]), "0003.png,90,0,20,20"]
    done = run(bundle, "--normal", normals, "--objects", table(normals, *rows), "--fpr", 0.1, "--confidence", 0.8)
    assert done.exit_code == 2
    assert "0003.png: object 4 of 4, 20x20 at (90, 0): expected 1x1 pixels or more, inside the frame" in done.stderr


def test_a_bundle_of_frames_takes_none(tiny_bundle: Path, normals: Path, objects: Path) -> None:
    done = run(tiny_bundle, "--normal", normals, "--objects", objects)
    assert (done.exit_code, "leave out --objects" in done.stderr) == (2, True)


def test_crops_are_evaluated(bundle: Path, normals: Path, objects: Path, tmp_path: Path) -> None:
    asked = ("--normal", normals, "--objects", objects, "--fpr", 0.2, "--confidence", 0.8)
    assert run(bundle, *asked, "--part-by", "frame").exit_code == 0
    tiny.write_images(tmp_path / "data/test/good", tiny.frames(5, shape=(30, 40, 3)))
    spots = [tiny.spotted(frame, 5, 6, 20) for frame in tiny.frames(5, shape=(60, 44, 3), seed=4)]
    tiny.write_images(tmp_path / "data/test/spot", spots)
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["evaluate", *map(str, (bundle, "--data", tmp_path / "data", "--report", page))])
    assert done.exit_code == 0, done.output
    assert "the calibration counts frames, but these data count single images" in done.stdout
    assert "of normal frames rejected" in done.stdout
    assert page.read_text().count("<img") >= 5


def test_an_object_is_read_again_by_its_name(normals: Path, pictures: list[NDArray[np.uint8]]) -> None:
    name = str(FrameName(str(normals / "0004.png"), box=BOXES[2]))
    np.testing.assert_array_equal(read_frame(name), crop(pictures[4], BOXES[2]))


def test_objects_of_a_frame_are_looked_at_in_turn() -> None:
    names = [str(FrameName(f"{frame}.png", box=box)) for frame in "abc" for box in BOXES]
    observations = group_parts(normals_of(np.arange(9.0), names=names), parse_part_by("frame"), "object")
    assert (observations.kind, observations.pictures, observations.names) == (
        "frame",
        "object",
        ("a.png", "b.png", "c.png"),
    )
    assert observations.scores.tolist() == [2, 5, 8]
    assert _one_each(observations) == [0, 4, 8]


def test_rows_keep_their_order(normals: Path, objects: Path) -> None:
    assert read_objects(objects).boxes(str(normals / "0000.png")) == list(BOXES)
