"""``edge-ad calibrate`` with everything that a quality engineer may ask of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import Calibration
from edge_ad.cli import main
from edge_ad.detector import Detector
from edge_ad.drift.kept import write_kept
from edge_ad.sources import read_image
from edge_ad.verdict import State
from edge_ad_calibration.cli.calibrate import calibrate

pytestmark = pytest.mark.usefixtures("undrawn")

RECORD = "variants/onnx-fp32/calibration.json"


@pytest.fixture
def normals(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", frames)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def answer(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def recorded(bundle: Path, station: str = "default") -> Calibration:
    opened = Bundle.open(bundle)
    record = opened.calibration(opened.variant())
    assert record is not None
    return record.stations[station]


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


def test_every_option_stands_in_the_docs() -> None:
    docs = (DOCS_FOLDER / "calibration.md").read_text()
    said = set(re.findall(r"--[a-z-]+", docs))
    options = {name for option in calibrate.params for name in option.opts if name.startswith("--")}
    assert options <= said
    assert all(getattr(option, "help", None) for option in calibrate.params if option.name != "bundle")


def test_parts_are_counted_and_their_guarantee_is_said(tiny_bundle: Path, normals: Path) -> None:
    result = run(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--part-by", r"^(\d{3})", "--confidence", 0.4)
    assert "a confidence of 0.4 promises nothing" in result.stderr
    result = run(tiny_bundle, "--normal", normals, "--fpr", 0.3, "--part-by", r"^(\d{3})", "--confidence", 0.8)
    assert result.exit_code == 0, result.output
    assert "normals          6 parts, 60 images" in result.stdout
    assert "of normal parts are rejected, with 80 % confidence, as long as parts to come are" in result.stdout
    made = recorded(tiny_bundle)
    assert (made.observation, made.frames, made.image.n, made.part_by) == ("part", 60, 6, r"^(\d{3})")
    assert len(made.scores) == 6


def test_too_few_parts_are_refused_before_any_image_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for index in range(100):
        (folder / f"p{index % 7}_{index}.png").touch()
    said = refused(tiny_bundle, "--normal", folder, "--fpr", 0.1, "--part-by", r"p(\d)_")
    assert "7 normal parts were given" in said
    assert "needs at least 29" in said


def test_a_target_is_turned_into_a_rate(tiny_bundle: Path, normals: Path) -> None:
    made = answer(tiny_bundle, "--normal", normals, "--target", "6 false rejects per min at 1 part/s")
    assert made["alpha"] == 0.1
    said = refused(tiny_bundle, "--normal", normals, "--target", "few")
    assert "the target 'few' is not understood" in said
    said = refused(tiny_bundle, "--normal", normals, "--target", "6 false rejects per min at 1 part/s", "--fpr", 0.1)
    assert "--fpr and --target exclude each other" in said


@pytest.mark.parametrize(
    ("arguments", "method", "warned"),
    [
        pytest.param(["--rank", 1], "order-statistic", "", id="rank"),
        pytest.param(["--method", "mad", "--k", 4], "mad", "for a first look and promise nothing", id="mad"),
        pytest.param(
            ["--method", "fixed", "--threshold", 0.5, "--pixel-threshold", 0.5],
            "fixed",
            "chosen by a person",
            id="fixed",
        ),
    ],
)
def test_methods_are_recorded_and_decide(
    tiny_bundle: Path, normals: Path, arguments: list[object], method: str, warned: str
) -> None:
    result = run(tiny_bundle, "--normal", normals, "--fpr", 0.1, *arguments)
    assert result.exit_code == 0, result.output
    assert warned in result.stderr
    made = recorded(tiny_bundle)
    assert made.method == method
    with Detector.open(tiny_bundle) as detector:
        frame = tiny.frames(1)[0]
        assert detector.score(frame).state is State.ACCEPT
        spot = detector.score(tiny.spotted(frame, 10, 10, 20))
    assert (spot.state, spot.threshold) == (State.REJECT, made.image.threshold)
    assert spot.regions != ()


def test_a_fitted_tail_needs_more_than_these(tiny_bundle: Path, normals: Path) -> None:
    said = refused(tiny_bundle, "--normal", normals, "--fpr", 0.001, "--method", "gpd")
    assert "60 normals were given; a fitted tail needs 400" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--method", "fixed"], "--method fixed needs --threshold", id="fixed without"),
        pytest.param(["--method", "mad"], "--method mad needs --k", id="mad without"),
        pytest.param(["--threshold", 1], "--threshold does not belong to --method order-statistic", id="stray"),
        pytest.param(["--method", "gpd", "--rank", 2], "--rank does not belong to --method gpd", id="rank of a tail"),
        pytest.param(["--rank", 0], "the rank must be 1", id="rank 0"),
        pytest.param(["--rank", 4], r"needs at least 76 for rank 4: .* or ask for --rank 2", id="rank too high"),
        pytest.param(["--min-area", -1], "must be 0 pixels or more", id="negative area"),
        pytest.param(["--min-area", 99999], "a region of 99,999 px is larger than all", id="too large an area"),
        pytest.param(["--every", 0], "found 0", id="every 0"),
        pytest.param(["--gap", 2], "images have no frame rate", id="gap of images"),
        pytest.param(["--every", 4], "15 normals were given", id="too few are left"),
        pytest.param(["--part-by", "x"], "has 0 groups", id="no group"),
        pytest.param(["--part-by", "x(y)"], "finds no part in 60 of 60 names", id="no part"),
        pytest.param(["--exclude-leaks"], "name them with --train", id="leaks of nothing"),
        pytest.param(["--train", "absent"], "absent: no such file or folder", id="no training images"),
        pytest.param(["--same-part", 2], "expected more than 0 and at most 1, found 2", id="correlation above 1"),
        pytest.param(["--exclude", "a.png"], "--exclude needs a --reason", id="no reason"),
        pytest.param(["--exclude", "a.png", "--reason", " "], "needs a reason", id="blank reason"),
        pytest.param(["--exclude", "a.png", "--reason", "x", "--reason", "y"], "found 2 for 1", id="many reasons"),
        pytest.param(["--exclude", "a.png", "--reason", "x"], "not among the normals: a.png", id="unknown image"),
        pytest.param(["--reason", "x"], "found 1 for 0", id="a reason for nothing"),
        pytest.param(["--pool"], "name the file with --groups", id="pool of nothing"),
        pytest.param(["--groups", "absent.csv"], "absent.csv: cannot be read", id="no groups"),
        pytest.param(["--update", "absent"], "there are no confirmed frames", id="nothing confirmed"),
        pytest.param(["--report", "absent/x.html"], "its folder does not exist", id="no place for the report"),
        pytest.param(["--sheet", "absent/x.jpg"], "its folder does not exist", id="no place for the sheet"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tiny_bundle: Path, normals: Path, arguments: list[object], expected: str
) -> None:
    said = refused(tiny_bundle, "--normal", normals, "--fpr", 0.1, *arguments)
    assert re.search(expected, said)
    assert not (tiny_bundle / RECORD).exists()


def test_regions_below_the_area_do_not_count(tiny_bundle: Path, normals: Path) -> None:
    small = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1)
    large = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--min-area", 500, "--no-frame-limits", "all")
    assert large["pixel"]["threshold"] < small["pixel"]["threshold"]
    assert large["image"] == small["image"]
    assert "show a region of 500 px or more" in large["pixel_guarantee"]
    with Detector.open(tiny_bundle) as detector:
        frame = np.zeros(tiny.FRAME, np.uint8)
        assert detector.score(tiny.spotted(frame, 2, 2, 8)).regions == ()
        (region,) = detector.score(tiny.spotted(frame, 0, 0, 40)).regions
    assert region.area_px >= 500


def test_exclusions_are_recorded_and_weighed(tiny_bundle: Path, normals: Path) -> None:
    before = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1)
    sheet = normals.parent / "sheet.jpg"
    shown = run(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--sheet", sheet)
    assert shown.exit_code == 0, shown.output
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape[0] > 1_000  # twelve pictures in three rows
    worst = max(normals.iterdir(), key=lambda path: float(read_image(path).mean()))
    made = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--exclude", worst, "--reason", "scratched")
    (exclusion,) = recorded(tiny_bundle).exclusions
    assert (exclusion.image, exclusion.reason, exclusion.by) == (str(worst), "scratched", "person")
    assert made["image"]["n"] == 59
    assert made["image"]["threshold"] < before["image"]["threshold"]
    assert "1 image was taken out by a person; had these been good parts after all" in made["statements"][-1]


def test_training_images_among_the_normals_are_told_and_taken_out(
    tiny_bundle: Path, tmp_path: Path, frames: list[NDArray[np.uint8]]
) -> None:
    random = np.random.default_rng(0)
    textures = [cv2.resize(random.integers(0, 200, (6, 8), np.uint8), (64, 48)) for _ in range(80)]
    training = tiny.write_images(tmp_path / "training", [np.asarray(one, np.uint8) for one in textures[:20]])
    planted = [(0.8 * one + 5).astype(np.uint8) for one in textures[:6]]
    held_out = tiny.write_images(tmp_path / "held", [*planted, *(np.asarray(one, np.uint8) for one in textures[20:])])
    asked = [tiny_bundle, "--normal", held_out, "--fpr", 0.1, "--train", training]
    found = answer(*asked)
    assert [Path(leak["image"]).name for leak in found["leaks"]] == [f"{k:04d}.png" for k in range(6)]
    assert "6 of 66 normals look like training images" in " ".join(found["warnings"])
    assert found["image"]["n"] == 66
    rest = answer(*asked, "--exclude-leaks")
    assert rest["image"]["n"] == 60
    assert {one["by"] for one in rest["exclusions"]} == {"leak-check"}
    assert "they are left out" in " ".join(rest["warnings"])


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Sixty dim images of line1, sixty brighter ones of line2, and the table that says so."""
    tiny.write_images(tmp_path / "one", tiny.frames(60))
    tiny.write_images(tmp_path / "two", [frame + 60 for frame in tiny.frames(60, seed=1)])
    table = tmp_path / "stations.csv"
    rows = [f"{folder}/{k:04d}.png,{name}" for folder, name in (("one", "line1"), ("two", "line2")) for k in range(60)]
    table.write_text("\n".join(["path,station", *rows]) + "\n")
    return table


def test_one_run_calibrates_every_station(tiny_bundle: Path, groups: Path, tmp_path: Path) -> None:
    report = tmp_path / "page.html"
    made = answer(tiny_bundle, "--groups", groups, "--fpr", 0.1, "--report", report, "--sheet", tmp_path / "s.jpg")
    assert [one["station"] for one in made] == ["line1", "line2"]
    assert made[0]["image"]["threshold"] < made[1]["image"]["threshold"]
    assert recorded(tiny_bundle, "line2").image.threshold == made[1]["image"]["threshold"]
    for station in ("line1", "line2"):
        assert (tiny_bundle / f"variants/onnx-fp32/calibration-{station}.png").is_file()
        assert (tmp_path / f"s-{station}.jpg").is_file()
        assert f"Group {station}: what is promised" in report.read_text()


def test_a_station_with_too_few_spoils_the_run_and_is_named(tiny_bundle: Path, groups: Path) -> None:
    lines = groups.read_text().splitlines()
    groups.write_text("\n".join(lines[:80]) + "\n")
    said = refused(tiny_bundle, "--groups", groups, "--fpr", 0.1)
    assert "group line2: 19 normals were given" in said
    assert not (tiny_bundle / RECORD).exists()


def test_pooled_groups_that_differ_are_told(tiny_bundle: Path, groups: Path) -> None:
    made = answer(tiny_bundle, "--groups", groups, "--pool", "--fpr", 0.1)
    assert (made["station"], made["image"]["n"]) == ("default", 120)
    assert made["difference"]["p_value"] <= 0.01
    assert {group["name"]: group["above"] for group in made["difference"]["groups"]}["line1"] == 0
    assert "the pooled guarantee holds for all of them together, not for each; 'line2'" in made["warnings"][-1]


def test_a_part_that_several_groups_show_counts_in_each_with_its_own_score(tiny_bundle: Path, groups: Path) -> None:
    asked = ("--groups", groups, "--pool", "--fpr", 0.1, "--no-frame-limits", "all")
    alone = answer(tiny_bundle, *asked)["difference"]["groups"]
    made = answer(tiny_bundle, *asked, "--part-by", r"(\d+)\.png")
    assert (made["observation"], made["image"]["n"]) == ("part", 60)
    figures = [[(one["name"], one["n"], one["median"]) for one in of] for of in (alone, made["difference"]["groups"])]
    assert figures[0] == figures[1]


def test_one_group_cannot_be_pooled(tiny_bundle: Path, groups: Path) -> None:
    groups.write_text("\n".join(groups.read_text().splitlines()[:61]) + "\n")
    assert "stations.csv has 1 group: to pool them" in refused(tiny_bundle, "--groups", groups, "--pool", "--fpr", 0.1)


@pytest.mark.parametrize(
    ("header", "station", "expected"),
    [
        pytest.param("path,line", "a", "has no column 'station'", id="no station column"),
        pytest.param("path,station", "line 2", "'line 2' cannot name a group", id="bad name"),
        pytest.param("path,station", "", "gives no station for 60 of 60", id="no name"),
    ],
)
def test_groups_that_say_no_station_are_refused(
    tiny_bundle: Path, normals: Path, header: str, station: str, expected: str
) -> None:
    table = normals.parent / "stations.csv"
    rows = [f"normals/{path.name},{station}" for path in normals.iterdir()]
    table.write_text("\n".join([header, *rows]) + "\n")
    assert expected in refused(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--groups", table)


def test_confirmed_frames_are_told_and_do_not_count(tiny_bundle: Path, normals: Path, tmp_path: Path) -> None:
    first = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1)
    kept = tmp_path / "kept"
    (kept / "confirmed").mkdir(parents=True)
    bundle = Bundle.open(tiny_bundle)
    bright = np.full(tiny.FRAME, 130, np.uint8)
    with Detector.open(tiny_bundle) as detector:
        verdict = detector.score(bright)
    identity = bundle.artefact_sha256(bundle.variant())
    write_kept(kept / "confirmed", bright, verdict, source="cam#1", artefact_sha256=identity)
    second = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--update", kept)
    assert second["image"] == first["image"]
    assert "1 confirmed borderline frames are not counted" in second["warnings"][0]
    assert "1 of them would be rejected" in second["warnings"][0]
    write_kept(kept / "confirmed", bright, verdict, source="cam#2", artefact_sha256="0" * 64)
    said = refused(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--update", kept)
    assert "was kept with another model" in said


def test_a_video_is_taken_frame_by_frame_and_thinned(tiny_bundle: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (64, 48))
    for frame in tiny.frames(90):
        writer.write(frame)
    writer.release()
    assert answer(tiny_bundle, "--normal", clip, "--fpr", 0.1)["image"]["n"] == 90
    made = answer(tiny_bundle, "--normal", clip, "--fpr", 0.1, "--gap", 0.2)
    assert (made["image"]["n"], made["frames"]) == (45, 45)
    sheet = tmp_path / "sheet.jpg"
    assert answer(tiny_bundle, "--normal", clip, "--fpr", 0.1, "--every", 3, "--sheet", sheet)["image"]["n"] == 30
    assert sheet.is_file()


def test_neighbouring_frames_that_score_alike_are_told(tiny_bundle: Path, tmp_path: Path) -> None:
    slow = [np.full(tiny.FRAME, 60 + int(40 * np.sin(k / 15)), np.uint8) for k in range(200)]
    for index, frame in enumerate(slow):
        frame[0, index % 64] += 1 + index % 3  # no two are copies
    folder = tiny.write_images(tmp_path / "belt", slow)
    made = answer(tiny_bundle, "--normal", folder, "--fpr", 0.1)
    assert f"neighbouring frames of {folder} score alike" in made["warnings"][0]
    assert "--every" in made["warnings"][0]
    assert (made["guarantee_shown"], made["confidence_reached"]) == (False, None)
    assert made["statements"][0].startswith("Not shown: at most 10 % of normal frames are rejected")
    assert [question for question in made["not_checked"] if "--train" in question or "--part-by" in question]


def test_no_page_and_no_line_promises_what_is_not_shown(tiny_bundle: Path, tmp_path: Path) -> None:
    slow = [np.full(tiny.FRAME, 60 + int(40 * np.sin(k / 15)), np.uint8) for k in range(200)]
    for index, frame in enumerate(slow):
        frame[0, index % 64] += 1 + index % 3  # no two are copies
    folder = tiny.write_images(tmp_path / "belt", slow)
    result = run(tiny_bundle, "--normal", folder, "--fpr", 0.1, "--report", tmp_path / "page.html")
    assert "NO guarantee     Not shown: at most 10 %" in result.stdout
    assert "Confidence reached" not in result.stdout
    page = (tmp_path / "page.html").read_text()
    assert "not shown" in page
    assert [word for word in (">guaranteed", "(this one)", "Nothing was found") if word in page] == []


def test_the_record_names_engine_images_and_words(tiny_bundle: Path, normals: Path) -> None:
    made = answer(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--threads", 1)
    found = recorded(tiny_bundle)
    assert found.engine is not None
    assert (found.engine.name, found.engine.threads) == ("onnxruntime", 1)
    assert found.statements == tuple(made["statements"])
    assert found.frame_reference is not None
    assert len(found.frame_reference.brightness) == 60


def test_the_report_says_what_is_promised_and_shows_the_highest(
    tiny_bundle: Path, normals: Path, tmp_path: Path
) -> None:
    report = tmp_path / "page.html"
    taken_out = ["--exclude", normals / "0003.png", "--reason", "<b>a spot & more</b>"]
    result = run(tiny_bundle, "--normal", normals, "--fpr", 0.1, "--report", report, *taken_out)
    assert result.exit_code == 0, result.output
    assert str(report) in result.stdout
    page = report.read_text().replace("\u00a0", " ")  # which keeps a number and its sign together
    assert "At most 10 % of normal frames are rejected, with 95 % confidence" in page
    assert "&lt;b&gt;a spot &amp; more&lt;/b&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 12
    assert page.count("<svg") == 2  # the score is the largest map value
    assert "the charts of these would be the same" in page
    for heading in (
        "What may speak against it",
        "What more normals would allow",
        "Left out",
        "The record",
        "Signatures",
    ):
        assert heading in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
