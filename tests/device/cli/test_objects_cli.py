"""``edge-ad score --objects``: where the objects are, from a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support import tiny
from support.tiny_calibration import calibrate

from edge_ad import Box, Verdict
from edge_ad.bundle.records import Geometry, Resize
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad.sources.object_table import read_objects

HEADER = "path,x,y,width,height"
DARK = np.full((48, 64, 3), 20, np.uint8)


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def _master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    geometry = Geometry(resize=Resize(width=32, height=32), level="object")
    return tiny.write_bundle(tmp_path_factory.mktemp("objects") / "objects", geometry)


@pytest.fixture
def bundle(_master: Path, tmp_path: Path) -> Path:
    """Uncalibrated, a copy for each test."""
    import shutil

    return Path(shutil.copytree(_master, tmp_path / "objects"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three frames; a spot at (40, 24) in the last."""
    return tiny.write_images(tmp_path / "images", [DARK, DARK + 3, tiny.spotted(DARK, 40, 24)])


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "objects.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


@pytest.fixture
def objects(images: Path) -> Path:
    """None in the first frame; in the last, one that is sound and one that is not."""
    return table(images, "0001.png,0,0,32,48", "0002.png,0,0,30,48", "0002.png,32,16,32,32")


def test_every_frame_is_judged_by_its_objects(bundle: Path, images: Path, objects: Path) -> None:
    calibrate(bundle, 0.4)
    done = edge_ad("score", bundle, images, "--objects", objects, "--json")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["state"], r["reason"]) for r in records] == [
        ("INVALID", "no_objects"),
        ("ACCEPT", None),
        ("REJECT", None),
    ]
    assert set(records[2]) == {"source", *Verdict.__struct_fields__}
    assert [one["state"] for one in records[2]["objects"]] == ["ACCEPT", "REJECT"]
    assert records[2]["objects"][1]["box"] == {"x": 32, "y": 16, "width": 32, "height": 32}
    assert set(records[2]["objects"][0]) == {"box", "state", "score", "p_value"}
    assert records[2]["drift"]["frames"] == 3
    text = edge_ad("score", bundle, images, "--objects", objects).stdout.splitlines()
    assert "0 of 1 object rejected" in text[1]
    assert "1 of 2 objects rejected" in text[2]


def test_an_uncalibrated_bundle_prints_scores_of_objects_only(bundle: Path, images: Path, objects: Path) -> None:
    done = edge_ad("score", bundle, images, "--objects", objects, "--json")
    record = json.loads(done.stdout.splitlines()[2])
    assert [set(one) for one in record["objects"]] == [{"box", "score"}] * 2
    assert "2 objects" in edge_ad("score", bundle, images, "--objects", objects).stdout


def test_csv_names_the_highest_scoring_object(bundle: Path, images: Path, objects: Path, tmp_path: Path) -> None:
    calibrate(bundle, 0.4)
    out, pictures = tmp_path / "out.csv", tmp_path / "pictures"
    done = edge_ad("score", bundle, images, "--objects", objects, "--csv", out, "--annotate", pictures)
    assert done.exit_code == 0, done.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["objects"], row["objects_rejected"], row["object_x"]) for row in rows] == [
        ("0", "0", ""),
        ("1", "0", "0"),
        ("2", "1", "32"),
    ]
    assert len(list(pictures.iterdir())) == 3


def test_frames_without_objects_have_no_columns_for_them(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    assert edge_ad("score", tiny_bundle, images, "--csv", tmp_path / "out.csv").exit_code == 0
    assert "object" not in (tmp_path / "out.csv").read_text().splitlines()[0]


def test_frames_of_a_video_are_named_by_their_number(bundle: Path, tmp_path: Path) -> None:
    calibrate(bundle, 0.4)
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(3):
        writer.write(tiny.spotted(DARK, 32, 24) if index == 2 else DARK)
    writer.release()
    file = table(tmp_path, "line.avi#1,0,0,32,48", "line.avi#2,28,20,20,20")
    done = edge_ad("score", bundle, tmp_path / "line.avi", "--objects", file, "--json")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["state"] for r in records] == ["INVALID", "ACCEPT", "REJECT"]


def test_paths_may_be_as_the_source_names_them(
    bundle: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").mkdir()
    file = table(tmp_path / "lists", *(f"images/{index:04d}.png,0,0,9,9" for index in range(3)))
    done = edge_ad("score", bundle, "images", "--objects", file, "--json")
    assert [len(json.loads(line)["objects"]) for line in done.stdout.splitlines()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        pytest.param(
            "path,x,y,w,h", "0000.png,1,1,1,1", "expected a header line with path, x, y, width, height", id="h"
        ),
        pytest.param(HEADER, "nine.png,1,1,1,1", "line 2: there is no file 'nine.png'", id="unknown-path"),
        pytest.param(HEADER, ",1,1,1,1", "line 2: there is no file ''", id="no-path"),
        pytest.param(
            HEADER, "0000.png,1,1,1.5,1", "line 2: expected whole pixels as width, found '1.5'", id="fraction"
        ),
        pytest.param(HEADER, "0000.png,1,1,1", "line 2: expected whole pixels as height, found None", id="short"),
        pytest.param(HEADER, "0000.png,a,1,1,1", "as x, found 'a'", id="letters"),
        pytest.param("", "", "expected a header line", id="empty"),
    ],
)
def test_a_wrong_file_is_one_line(bundle: Path, images: Path, header: str, row: str, said: str) -> None:
    done = edge_ad("score", bundle, images, "--objects", table(images, row, header=header))
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([], "has a header but no rows", id="no-rows"),
        pytest.param(["clip.avi,0,0,1,1"], "expected a frame of the video, such as clip.avi#12", id="whole-video"),
    ],
)
def test_what_names_no_frame_is_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    (tmp_path / "clip.avi").touch()
    with pytest.raises(InputError, match=said):
        read_objects(table(tmp_path, *rows))


def test_a_file_that_is_not_there_is_one_line(bundle: Path, images: Path) -> None:
    done = edge_ad("score", bundle, images, "--objects", images / "none.csv")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "cannot be read" in done.stderr


def test_bundle_and_option_must_fit(bundle: Path, tiny_bundle: Path, images: Path, objects: Path) -> None:
    without = edge_ad("score", bundle, images)
    assert (without.exit_code, "say where they are with --objects" in without.stderr) == (2, True)
    needless = edge_ad("score", tiny_bundle, images, "--objects", objects)
    assert (needless.exit_code, "leave out --objects" in needless.stderr) == (2, True)


def test_other_commands_take_a_bundle_of_objects(bundle: Path) -> None:
    assert "objects of any size" in edge_ad("info", bundle).stdout
    assert edge_ad("verify", bundle).exit_code == 0
    done = edge_ad("bench", bundle, "--runs", "10", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["verdict"]["p50"] > 0


@given(st.lists(st.tuples(st.integers(), st.integers(), st.integers(), st.integers()), min_size=1, max_size=9))
def test_any_whole_numbers_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[int, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("table")
    (folder / "a.png").touch()
    file = table(folder, *("a.png," + ",".join(map(str, value)) for value in values))
    assert read_objects(file).boxes(str(folder / "a.png")) == [Box(*value) for value in values]


@given(st.text(max_size=60))
def test_garbage_is_refused_in_one_way(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("garbage") / "objects.csv"
    file.write_text(f"{HEADER}\n{text}", encoding="utf-8", errors="replace")
    with pytest.raises(InputError):
        read_objects(file)
