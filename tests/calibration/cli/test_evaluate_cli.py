"""``edge-ad evaluate`` as a user runs it: figures, files, exit codes and messages."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from support import tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad.bundle import Bundle, write_calibrations
from edge_ad.cli import main
from edge_ad_calibration.calibrate import CalibrationRequest, calibrate_bundle
from edge_ad_calibration.cli.evaluate import evaluate
from edge_ad_calibration.evaluation.evaluate import _about_localisation
from edge_ad_metrics.pixels import PixelAreas


@pytest.fixture
def data(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    """Twenty normals, ten frames with a spot and its mask, four with a faint one and no mask."""
    root = tmp_path / "data"
    tiny.write_images(root / "test/good", frames[:20])
    tiny.write_images(root / "test/spot", [tiny.spotted(frame, 4 * i, 3 * i) for i, frame in enumerate(frames[20:30])])
    (root / "ground_truth/spot").mkdir(parents=True)
    for index in range(10):
        mask = tiny.spotted(np.zeros(tiny.FRAME[:2], np.uint8), 4 * index, 3 * index)
        assert cv2.imwrite(str(root / f"ground_truth/spot/{index:04d}_mask.png"), mask)
    tiny.write_images(root / "test/faint", [tiny.spotted(frame, 20, 20, 3) for frame in frames[30:34]])
    return root


@pytest.fixture(scope="module")
def _calibrated_master(_tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    bundle = Path(shutil.copytree(_tiny_master, folder / "tiny"))
    normals = tiny.write_images(folder / "normals", tiny.frames(60)[34:])
    calibrate_bundle(Bundle.open(bundle), [normals], CalibrationRequest(alpha=0.2, confidence=0.9))
    return bundle


@pytest.fixture
def calibrated(_calibrated_master: Path, tmp_path: Path) -> Path:
    """A copy for each test."""
    return Path(shutil.copytree(_calibrated_master, tmp_path / "calibrated"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_it_says_the_figures_the_threshold_and_what_was_left_out(calibrated: Path, data: Path) -> None:
    result = run(calibrated, "--data", data)
    assert result.exit_code == 0, result.output
    assert "(mvtec): 20 normal and 14 anomalous images" in result.stdout
    for name in ("ROC-AUC", "average precision", "pixel ROC-AUC", "AUPRO", "recall (TPR)", "false rejects (FPR)"):
        assert re.search(rf"^  {re.escape(name)} +[01]\.\d{{4}}", result.stdout, re.MULTILINE)
    assert "promised               at most 20 % of normal frames rejected, with 90 % confidence" in result.stdout
    assert "threshold with the best F1 on these labels: rejected above" in result.stdout
    assert re.search(r"^  5 % +\d+ of 14 \(.* %\); [01] of 20 normals rejected$", result.stdout, re.MULTILINE)
    (few,) = re.findall(r"^  0\.1 % to 2 % +\d+ of 14 .*", result.stdout, re.MULTILINE)
    assert few.endswith("0 of 20 normals rejected, too few to tell this rate from 0")
    assert "note: 4 anomalous images have no mask" in result.stdout
    assert "note: no AUPIMO: the normal images have too few pixels" in result.stdout
    assert result.stderr == ""


def test_json_and_csv_agree_with_scikit_learn(calibrated: Path, data: Path, tmp_path: Path) -> None:
    result = run(calibrated, "--data", data, "--json", "--csv", tmp_path / "rows.csv")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    rows = read_rows(tmp_path / "rows.csv")
    labels, scores = [int(row["label"]) for row in rows], [float(row["score"]) for row in rows]
    assert answer["roc_auc"]["value"] == roc_auc_score(labels, scores)
    assert answer["average_precision"]["value"] == average_precision_score(labels, scores)
    threshold = answer["calibrated"]["threshold"]
    assert [row["rejected"] for row in rows] == [str(int(score > threshold)) for score in scores]
    assert [one["type"] for one in answer["types"]] == ["faint", "spot"]
    assert answer["pixel"]["images"] == 30
    assert answer["pixel"]["regions"] == 10
    # the map has 4 x 4 cells: it finds the spot, but not its outline
    assert 0.8 < answer["pixel"]["roc_auc"] < 1


REPEATED = "that the calibration was made from: its threshold was chosen on them"


@pytest.mark.parametrize(
    ("of_calibration", "said"),
    [
        pytest.param(20, "note: the normal images are those that the calibration was made from", id="all"),
        pytest.param(7, "note: 7 of 20 normal images are among those that the calibration was made from", id="some"),
    ],
)
def test_normals_of_the_calibration_are_known_again(
    calibrated: Path, data: Path, tmp_path: Path, of_calibration: int, said: str
) -> None:
    for index, frame in enumerate(tiny.frames(60)[34 : 34 + of_calibration]):  # under other names, in another format
        (data / f"test/good/{index:04d}.png").unlink()
        assert cv2.imwrite(str(data / f"test/good/again{index}.bmp"), frame)
    page = tmp_path / "page.html"
    told = run(calibrated, "--data", data, "--report", page)
    assert told.exit_code == 0, told.output
    assert said in told.stdout
    assert REPEATED in page.read_text()
    answer = json.loads(run(calibrated, "--data", data, "--json").stdout)
    assert answer["normals_of_calibration"] == of_calibration
    assert sum(REPEATED in note for note in answer["notes"]) == 1


def test_other_normals_than_those_of_the_calibration_get_no_note(calibrated: Path, data: Path) -> None:
    answer = json.loads(run(calibrated, "--data", data, "--json").stdout)
    assert answer["normals_of_calibration"] == 0
    assert not [note for note in answer["notes"] if REPEATED in note]


@pytest.mark.parametrize(("first", "found"), [(34, 26), (33, None)], ids=["the same", "others"])
def test_an_older_calibration_knows_only_whether_all_are_the_same(
    calibrated: Path, data: Path, first: int, found: int | None
) -> None:
    bundle = Bundle.open(calibrated)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    write_calibrations(
        bundle, bundle.variant(), {"default": msgspec.structs.replace(record.stations["default"], images=())}
    )
    shutil.rmtree(data / "test/good")
    tiny.write_images(data / "test/good", tiny.frames(60)[first:])
    answer = json.loads(run(calibrated, "--data", data, "--json").stdout)
    assert answer["normals_of_calibration"] == found


@pytest.mark.parametrize(("figures", "notes"), [([0.0, 4e-5], 1), ([0.0, 2e-4], 0)], ids=["reads 0", "does not"])
def test_an_aupimo_of_zero_is_explained(figures: list[float], notes: int) -> None:
    areas = PixelAreas(images=2, regions=2, roc_auc=0.9, aupro=0.8, aupimo=np.array(figures))
    said = _about_localisation(areas)
    assert [note[:29] for note in said] == ["AUPIMO is 0 because some norm"] * notes


def test_a_page_with_charts_and_pictures(calibrated: Path, data: Path, tmp_path: Path) -> None:
    result = run(calibrated, "--data", data, "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 6  # histogram, ROC, precision-recall, two confusion matrices, types
    assert page.count("data:image/jpeg") == 12
    assert "The anomalies with the lowest scores" in page
    assert "How many anomalies are caught at which false-reject rate" in page
    assert re.search(r"\d+ of 14</dd><dd>\d+ pass", page)
    assert re.search(r'class="subtitle">\d{4}-\d\d-\d\d', page)
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_an_uncalibrated_bundle_has_no_threshold(tiny_bundle: Path, data: Path, tmp_path: Path) -> None:
    result = run(tiny_bundle, "--data", data, "--csv", tmp_path / "rows.csv", "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "note: onnx-fp32 is not calibrated, so there is no threshold to measure" in result.stdout
    assert "calibrated: rejected above" not in result.stdout
    assert {row["rejected"] for row in read_rows(tmp_path / "rows.csv")} == {""}


def test_without_pixels_nothing_is_said_of_them(calibrated: Path, data: Path) -> None:
    result = run(calibrated, "--data", data, "--no-pixels")
    assert result.exit_code == 0, result.output
    assert "AUPRO" not in result.stdout.partition("type")[0]
    assert "note" not in result.stdout


def test_frames_of_one_part_are_one_observation(calibrated: Path, data: Path, tmp_path: Path) -> None:
    rows = ["path,label,type,part"]
    rows += [f"{path},0,,g{index // 2}" for index, path in enumerate(sorted((data / "test/good").iterdir()))]
    rows += [f"{path},1,spot,b{index // 5}" for index, path in enumerate(sorted((data / "test/spot").iterdir()))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    result = run(calibrated, "--data", tmp_path / "labels.csv", "--json", "--csv", tmp_path / "rows.csv")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["observation"], answer["normal"], answer["anomalous"]) == ("part", 10, 2)
    scored = read_rows(tmp_path / "rows.csv")
    highest: dict[str, float] = {}
    for row in scored:
        highest[row["part"]] = max(float(row["score"]), highest.get(row["part"], 0.0))
    found = roc_auc_score([part.startswith("b") for part in highest], list(highest.values()))
    assert answer["roc_auc"]["value"] == found
    assert len(scored) == 30


def test_clips(calibrated: Path, tmp_path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Ten normal frames, five with a spot of which the first is too faint to be seen, five normal ones."""
    root = tmp_path / "clips"
    spots = [tiny.spotted(frame, 20, 20, 1 if index == 0 else 20) for index, frame in enumerate(frames[10:15])]
    tiny.write_images(root / "a", [*frames[:10], *spots, *frames[15:20]])
    tiny.write_images(root / "b", frames[20:30])
    (root / "labels").mkdir()
    (root / "labels/a.csv").write_text("first,last\n10,14\n")
    (root / "labels/b.txt").write_text("0\n" * 10)
    report = tmp_path / "page.html"
    result = run(calibrated, "--data", root, "--json", "--report", report)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["layout"], answer["observation"], answer["normal"], answer["anomalous"]) == ("video", "frame", 25, 5)
    assert (answer["video"]["clips"], answer["video"]["clips_with_both"]) == (2, 1)
    assert answer["video"]["roc_auc_micro"] == answer["roc_auc"]["value"]
    assert answer["video"]["delay"] == {
        "events": 1,
        "detected": 1,
        "median_frames": 1.0,
        "longest_frames": 1,
        "median_s": None,
    }
    assert 1 < report.read_text().count("data:image/jpeg") < 12  # frames that look alike are shown once


def shrink_mask(data: Path) -> None:
    assert cv2.imwrite(str(data / "ground_truth/spot/0000_mask.png"), np.zeros((5, 5), np.uint8))


def break_images(data: Path) -> None:
    for index in range(5):
        (data / f"test/good/{index:04d}.png").write_bytes(b"no image")


def drop_mask(data: Path) -> None:
    (data / "ground_truth/spot/0003_mask.png").unlink()


def drop_normals(data: Path) -> None:
    for path in (data / "test/good").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "arguments", "expected"),
    [
        pytest.param(
            shrink_mask, [], r"1 of 34 images .*0000_mask.png: expected the image's size 64x48", id="mask size"
        ),
        pytest.param(break_images, [], r"5 of 34 images cannot be evaluated: .*0000.png.* and 2 more", id="unreadable"),
        pytest.param(drop_mask, [], r"no mask for .*0003.png", id="mask missing"),
        pytest.param(drop_normals, [], r"good: no image in this folder", id="no normals"),
        pytest.param(None, ["--layout", "csv"], "expected a data set in the csv layout", id="another layout"),
        pytest.param(None, ["--layout", "coco"], "'coco' is not one of", id="unknown layout"),
        pytest.param(None, ["--variant", "onnx-int4"], "choose one of onnx-fp32, openvino-fp32", id="no such variant"),
        pytest.param(None, ["--csv", "absent/rows.csv"], "its folder does not exist", id="nowhere to write"),
        pytest.param(None, ["--data", "absent"], "absent: no such file or folder", id="no such data"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(calibrated, data, spoil, arguments, expected) -> None:  # type: ignore[no-untyped-def]
    if spoil:
        spoil(data)
    result = run(calibrated, *(() if "--data" in arguments else ("--data", data)), *arguments)
    assert result.exit_code == 2
    assert re.search(expected, result.stderr)
    assert "Traceback" not in result.output


def full_disk(*_: object) -> int:
    """In the place of ``os.pwrite``, which writes the maps."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_for_maps_that_cannot_be_made_is_exit_code_4(tiny_bundle: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file is in the way")
    result = run(tiny_bundle, "--data", data, "--cache", tmp_path / "place/cache")
    assert result.exit_code == 4
    assert re.fullmatch(
        r"edge-ad: --cache: .*place is a file, not a folder; --no-cache does without .*\n", result.stderr
    )


def test_a_disk_that_is_too_full_for_maps_is_exit_code_4(
    tiny_bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", full_disk)
    result = run(tiny_bundle, "--data", data, "--cache", tmp_path)
    assert result.exit_code == 4
    assert re.fullmatch(r"edge-ad: .*\.bin: cannot be written: the disk is full: free some .*\n", result.stderr)


@pytest.mark.parametrize(
    ("variant", "code", "expected"),
    [
        pytest.param("onnx-fp32", 3, "no calibration for the group 'north': calibrated are default", id="calibrated"),
        pytest.param("openvino-fp32", 2, "is not calibrated, so there is no group 'north'", id="uncalibrated"),
    ],
)
def test_a_station_that_is_not_there(calibrated: Path, data: Path, variant: str, code: int, expected: str) -> None:
    result = run(calibrated, "--data", data, "--variant", variant, "--station", "north")
    assert result.exit_code == code
    assert expected in result.stderr


def test_the_command_loads_no_heavy_library_until_it_runs() -> None:
    code = (
        "import sys, edge_ad_calibration.cli.evaluate;"
        "print(sorted({'scipy', 'sklearn', 'matplotlib', 'jinja2', 'cv2', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("library", ["scipy", "sklearn", "jinja2", "matplotlib"])
def test_a_missing_library_names_the_extra(calibrated: Path, data: Path, tmp_path: Path, library: str) -> None:
    arguments = ["edge-ad", "evaluate", str(calibrated), "--data", str(data), "--report", str(tmp_path / "page.html")]
    code = (
        f"import sys; sys.modules['{library}'] = None; sys.argv = {arguments!r}; from edge_ad.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"edge-ad: {library} is not installed: run pip install 'edge-ad[calibration]'\n"


def test_every_option_stands_in_the_docs() -> None:
    text = (DOCS_FOLDER / "evaluation.md").read_text(encoding="utf-8")
    options = [name for parameter in evaluate.params for name in parameter.opts if name.startswith("--")]
    shared_with_others = {"--variant", "--device", "--threads", "--cache-dir"}
    assert [name for name in options if name not in text and name not in shared_with_others] == []


@pytest.mark.shared
@pytest.mark.slow
def test_real_cookies(shared: Path, tmp_path: Path) -> None:
    """A PatchCore bundle on the cookies: what the peer gave for its own scores, and AUPRO as it computes it."""
    bundle = tmp_path / "cookies"
    made = CliRunner().invoke(
        main,
        [
            "export",
            str(shared / "models/cookies/patchcore.onnx"),
            "--images",
            str(shared / "data/cookies/train/good"),
            "-o",
            str(bundle),
            "--variants",
            "onnx-fp32",
        ],
    )
    assert made.exit_code == 0, made.output
    result = run(bundle, "--data", shared / "data/cookies", "--json", "--csv", tmp_path / "rows.csv")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    rows = read_rows(tmp_path / "rows.csv")
    labels, scores = [int(row["label"]) for row in rows], [float(row["score"]) for row in rows]
    assert answer["roc_auc"]["value"] == roc_auc_score(labels, scores)
    assert answer["average_precision"]["value"] == average_precision_score(labels, scores)
    assert answer["roc_auc"]["value"] > 0.97
    assert answer["pixel"]["aupro"] == pytest.approx(0.89, abs=0.02)
    assert answer["pixel"]["aupimo"]["value"] == pytest.approx(0.34, abs=0.03)
