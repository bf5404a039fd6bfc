"""The command line: exit codes, output, and one line for every error."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import tiny
from support.changed_bundle import change
from support.tiny_calibration import calibrate

from edge_ad.bundle import Manifest
from edge_ad.bundle.seal import sealed_json
from edge_ad.cli import main
from edge_ad.engines import openvino
from edge_ad.errors import EngineError
from edge_ad.verdict import Verdict

DARK = np.full(tiny.FRAME, 20, np.uint8)


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two calm frames and one with a spot, in this order."""
    return tiny.write_images(tmp_path / "images", [DARK, DARK + 3, tiny.spotted(DARK, 32, 24)])


COMMANDS = [
    "score",
    "verify",
    "info",
    "bench",
    "pack",
    "unpack",
    "init",
    "run",
    "replay",
    "doctor",
    "support",
    "backup",
    "restore",
    "calibrate",
    "demo",
    "export",
]


def test_all_commands_are_listed() -> None:
    shown = edge_ad("--help")
    assert shown.exit_code == 0
    assert {name for name in COMMANDS if f"\n  {name} " not in shown.output} == set()
    assert "Exit codes" in shown.output
    assert "..." not in shown.output.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    shown = edge_ad(command, "--help")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 5


def test_version() -> None:
    assert edge_ad("--version").output.startswith("edge-ad, version ")


def test_an_uncalibrated_bundle_prints_scores_only(tiny_bundle: Path, images: Path) -> None:
    done = edge_ad("score", tiny_bundle, images)
    assert done.exit_code == 0
    assert done.stdout.count("score") == 3
    assert "not calibrated" in done.stderr
    assert not {"ACCEPT", "REJECT", "INVALID"} & set(done.output.split())
    record = json.loads(edge_ad("score", tiny_bundle, images, "--json").stdout.splitlines()[0])
    assert record["score"] > 0
    assert not {"state", "reason", "threshold", "p_value", "regions"} & set(record)


def test_a_calibrated_bundle_gives_verdicts_with_regions(tiny_bundle: Path, images: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    done = edge_ad("score", tiny_bundle, images, "--json")
    assert done.exit_code == 0
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["state"] for r in records] == ["ACCEPT", "ACCEPT", "REJECT"]
    assert [r["frame_id"] for r in records] == [0, 1, 2]
    assert [len(r["regions"]) for r in records] == [0, 0, 1]
    assert next(iter(records[0])) == "source"
    assert set(records[0]) == {"source", *Verdict.__struct_fields__}
    text = edge_ad("score", tiny_bundle, images)
    assert [line.split()[0] for line in text.stdout.splitlines()] == ["ACCEPT", "ACCEPT", "REJECT"]
    assert "3 frames: 2 ACCEPT, 1 REJECT, 0 INVALID" in text.stderr


def test_a_damaged_image_is_invalid_and_the_stream_goes_on(tiny_bundle: Path, images: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    (images / "0001.png").write_bytes((images / "0001.png").read_bytes()[:60])
    done = edge_ad("score", tiny_bundle, images, "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [(r["state"], r["reason"]) for r in records] == [
        ("ACCEPT", None),
        ("INVALID", "unreadable"),
        ("REJECT", None),
    ]
    assert "0001.png" in records[1]["detail"]


def test_csv_and_pictures(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    done = edge_ad("score", tiny_bundle, images, "--csv", tmp_path / "out.csv", "--annotate", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["ACCEPT", "ACCEPT", "REJECT"]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 3
    shown = [cv2.imread(str(path)) for path in pictures]
    assert all(picture is not None and picture.std() > 1 for picture in shown)


def test_a_video_becomes_an_annotated_video(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(5):
        writer.write(tiny.spotted(DARK, 32, 24) if index == 3 else DARK)
    writer.release()
    done = edge_ad("score", tiny_bundle, tmp_path / "line.avi", "--json", "--annotate", tmp_path / "out.mp4")
    assert done.exit_code == 0, done.output
    states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
    assert states == ["ACCEPT", "ACCEPT", "ACCEPT", "REJECT", "ACCEPT"]
    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    video.release()


ERRORS = [
    pytest.param(["score", "{bundle}"], 2, "SOURCES", id="no-source"),
    pytest.param(["score", "{bundle}", "/nowhere"], 2, "/nowhere: no such file", id="source-absent"),
    pytest.param(["score", "{bundle}", "{empty}"], 2, "no image in this folder", id="empty-folder"),
    pytest.param(["score", "/nowhere", "{images}"], 2, "no bundle at /nowhere", id="bundle-absent"),
    pytest.param(["score", "{empty}", "{images}"], 3, "is no bundle", id="no-bundle"),
    pytest.param(["score", "{bundle}", "{images}", "--variant", "x"], 2, "choose one of onnx-fp32", id="variant"),
    pytest.param(
        ["score", "{bundle}", "{images}", "--device", "XPU"],
        2,
        "ONNX Runtime, which runs this variant",
        id="device",
    ),
    pytest.param(["score", "{bundle}", "{images}", "--device", "tpu=1"], 2, "openvino=NAME", id="device-engine"),
    pytest.param(["verify", "{bundle}", "--device", "XPU"], 2, "--device openvino=XPU asks for it there", id="engines"),
    pytest.param(["score", "{bundle}", "{images}", "--station", "7"], 2, "not calibrated", id="station"),
    pytest.param(["score", "{bundle}", "{images}", "--csv", "/proc/x"], 4, "/proc/x", id="unwritable"),
    pytest.param(["score", "{bundle}", "{images}", "--threads", "0"], 2, "--threads", id="threads"),
    pytest.param(["bench", "{bundle}", "--frame-size", "10by10"], 2, "1920x1080", id="frame-size"),
    pytest.param(["info", "/nowhere"], 2, "no bundle", id="info"),
    pytest.param(["pack", "{bundle}", "-o", "{empty}"], 2, "exists already", id="pack"),
    pytest.param(["nonsense"], 2, "no such command", id="command"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), ERRORS)
def test_bad_input_is_one_line_and_the_right_code(
    tiny_bundle: Path, images: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [a.format(bundle=tiny_bundle, images=images, empty=empty) for a in arguments]
    done = edge_ad(*filled)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_a_changed_byte_fails_verify_and_names_the_file(tiny_bundle: Path) -> None:
    intact = edge_ad("verify", tiny_bundle)
    assert intact.exit_code == 0, intact.output
    assert "2 golden frames replayed" in intact.stdout
    path = tiny_bundle / "variants" / "openvino-fp32" / "model.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    broken = edge_ad("verify", tiny_bundle)
    assert broken.exit_code == 3
    assert "variants/openvino-fp32/model.bin" in broken.stderr


def test_verify_speaks_json(tiny_bundle: Path) -> None:
    record = json.loads(edge_ad("verify", tiny_bundle, "--json").stdout)
    assert [v["id"] for v in record["variants"]] == ["onnx-fp32", "openvino-fp32"]
    assert all(len(v["replays"]) == 2 for v in record["variants"])


@pytest.fixture
def without_default_engine(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose default variant is for OpenVINO, on a device without it."""
    path = tiny_bundle / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(sealed_json(msgspec.structs.replace(manifest, default_variant="openvino-fp32")))
    monkeypatch.setitem(sys.modules, "openvino", None)
    return tiny_bundle


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        pytest.param([], "2 golden frames replayed, all equal", id="text"),
        pytest.param(["--json"], '"problem":"openvino-fp32 is the variant', id="json"),
    ],
)
def test_verify_fails_where_the_variant_to_score_with_cannot_run(
    without_default_engine: Path, options: list[str], shown: str
) -> None:
    done = edge_ad("verify", without_default_engine, *options)
    assert done.exit_code == 3
    assert shown in done.stdout
    assert "pip install 'edge-ad[openvino]', or score and verify with --variant onnx-fp32" in done.stderr
    assert edge_ad("verify", without_default_engine, "--variant", "onnx-fp32", *options).exit_code == 0
    assert edge_ad("verify", without_default_engine, "--variant", "openvino-fp32", *options).exit_code == 2


def test_where_another_calibrated_variant_scores_the_device_is_in_order_and_says_so(
    without_default_engine: Path, images: Path
) -> None:
    calibrate(without_default_engine, 0.4, variant="openvino-fp32")
    assert edge_ad("verify", without_default_engine).exit_code == 3
    calibrate(without_default_engine, 0.4, variant="onnx-fp32")
    verified = edge_ad("verify", without_default_engine)
    assert verified.exit_code == 0, verified.output
    choice = "onnx-fp32 scores: it is the fastest calibrated variant whose golden frames agree here"
    assert f"  {choice}\n" in verified.stdout
    scored = edge_ad("score", without_default_engine, images)
    assert "warning: openvino-fp32 is not used: " in scored.stderr
    assert f"edge-ad: {choice}\n" in scored.stderr


def test_verify_skips_another_variant_that_this_device_cannot_run(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EngineError("this CPU does not calculate in bfloat16")

    monkeypatch.setattr(openvino, "check_precision", refuse)
    done = edge_ad("verify", tiny_bundle)
    assert done.exit_code == 0, done.output
    assert "openvino-fp32: skipped: this CPU does not calculate in bfloat16" in done.stdout
    assert edge_ad("verify", tiny_bundle, "--variant", "openvino-fp32").exit_code == 4


def test_verify_takes_a_device_for_each_engine(tiny_bundle: Path) -> None:
    done = edge_ad("verify", tiny_bundle, "--device", "openvino=cpu,onnxruntime=CPU")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("2 golden frames replayed") == 2


def test_info_tells_what_is_in_it(tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    text = edge_ad("info", tiny_bundle).stdout
    assert "onnx-fp32 (default)" in text
    assert "threshold 0.4" in text
    assert "not calibrated" in text
    record = json.loads(edge_ad("info", tiny_bundle, "--json").stdout)
    assert record["manifest"]["name"] == "tiny"
    assert record["calibrations"]["onnx-fp32"]["default"]["image"]["threshold"] == 0.4


def test_info_says_what_export_left_out(tiny_bundle: Path) -> None:
    trials = ({"id": "onnx-int8", "fidelity": None, "rejected": "rank correlation 0.9 is below 0.99"},)
    text = edge_ad("info", change(tiny_bundle, trials=trials)).stdout
    assert "not written\n  onnx-int8: rank correlation 0.9 is below 0.99\n" in text
    assert "None" not in text


def test_bench_reports_both_sides(tiny_bundle: Path) -> None:
    done = edge_ad("bench", tiny_bundle, "--runs", 20, "--frame-size", "640x480", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["frame"] == "640x480"
    assert record["verdict"]["p50"] > record["bare"]["p50"] > 0
    assert edge_ad("bench", tiny_bundle, "--runs", 10).exit_code == 0


def test_a_bundle_travels_as_one_file(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    assert edge_ad("pack", tiny_bundle, "-o", tmp_path / "t.zip").exit_code == 0
    assert edge_ad("verify", tmp_path / "t.zip").exit_code == 0
    assert edge_ad("unpack", tmp_path / "t.zip", "-o", tmp_path / "t").exit_code == 0
    lines = [edge_ad("score", path, images).stdout for path in (tiny_bundle, tmp_path / "t.zip", tmp_path / "t")]
    assert lines[0] == lines[1] == lines[2]


def shell(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-c", "from edge_ad.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **env})


def test_a_traceback_only_when_asked_for() -> None:
    assert "Traceback" not in shell("info", "/nowhere").stderr
    assert "Traceback" in shell("info", "/nowhere", EDGE_AD_DEBUG="1").stderr


def test_a_reader_that_left_is_no_failure(tiny_bundle: Path, images: Path) -> None:
    run = "from edge_ad.cli import main; main()"
    command = f"set -o pipefail; '{sys.executable}' -c '{run}' score '{tiny_bundle}' '{images}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)  # noqa: S607
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.shared
def test_a_video_that_crashes_the_decoder_does_not_take_the_scorer_down(tiny_bundle: Path, shared: Path) -> None:
    done = shell("score", tiny_bundle, shared / "data" / "video" / "crash.avi", "--json")
    assert done.returncode == 4
    assert "crash.avi" in done.stderr
    assert "Traceback" not in done.stderr
