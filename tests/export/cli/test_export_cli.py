"""``edge-ad export``: exit code and output, nothing on standard output but the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from support import export_models, tiny
from support.export_models import Tiny

from edge_ad.cli import main
from edge_ad_export.cli.export import export
from edge_ad_export.lowering.recipes import calculates_bf16_here, chosen_recipes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return export_models.write(tmp_path, Tiny(tail="clip", opset=14))


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "normals", export_models.parts(6))


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_writes_a_bundle_and_prints_the_table(tmp_path: Path, model: Path, normals: Path) -> None:
    done = edge_ad("export", model, "--images", normals, "-o", tmp_path / "b", "--variants", "onnx-fp32")

    assert done.exit_code == 0
    header, row, *rest = done.stdout.splitlines()
    assert header.split()[:3] == ["variant", "latency", "size"]
    assert row.startswith("onnx-fp32 ")
    assert row.endswith("default")
    assert rest[0].startswith("as imported ")
    assert rest[2] == f"written: {tmp_path / 'b'}"
    assert "only 6 images" in done.stderr


STOPPED = """
import os, signal
from edge_ad.bundle import BundleWriter
from edge_ad.cli import main
BundleWriter.commit = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
main()
"""


def test_sigterm_ends_an_export_like_ctrl_c(tmp_path: Path, model: Path, normals: Path) -> None:
    """The signal comes when all but the manifest is written."""
    options = ["--images", str(normals), "-o", str(tmp_path / "b"), "--variants", "onnx-fp32"]
    command = [sys.executable, "-c", STOPPED, "export", str(model), *options]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith("edge-ad: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} == {model.name, normals.name}


ANY_LOSS = ["--min-spearman", "-1", "--min-map-correlation", "0.5", "--max-auc-loss", "1"]
ANY_LOSS += ["--max-more-false-rejects", "1", "--max-aupimo-loss", "1"]


@pytest.mark.slow  # the test after this one reads the same from the descriptors of this process
def test_json_alone_is_on_standard_output(tmp_path: Path, model: Path, normals: Path) -> None:
    command = [sys.executable, "-c", "from edge_ad.cli import main; main()", "export", str(model)]
    variants = "onnx-fp32,openvino-int8"
    options = ["--images", str(normals), "-o", str(tmp_path / "b"), "--json", "--variants", variants, *ANY_LOSS]

    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)

    assert [trial["id"] for trial in json.loads(done.stdout)["trials"]] == variants.split(",")
    assert "making openvino-int8 (2 of 2)" in done.stderr


def test_every_variant_is_made_and_told(tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    normals = tiny.write_images(tmp_path / "ten", export_models.parts(10))
    with pytest.raises(SystemExit) as ended:
        main(["export", str(model), "--images", str(normals), "-o", str(tmp_path / "b"), "--json", *ANY_LOSS])

    done = capfd.readouterr()
    assert ended.value.code == 0
    result = json.loads(done.out)
    bf16 = calculates_bf16_here()
    ids = [recipe.id for recipe in chosen_recipes((), bf16=bf16)]
    assert [trial["id"] for trial in result["trials"]] == ids
    assert result["default_variant"] in ids
    assert result["bundle"] == str(tmp_path / "b")
    scoring = "scoring 6 images and 6 copies with a synthetic defect with"
    *steps, judged_by = done.err.splitlines()
    assert judged_by.startswith("the maps are judged by their correlation alone: ")
    assert [line.partition(": about")[0] for line in steps] == [
        "4 images are for the quantizer, 6 others judge; so few leave the rank correlation uncertain, and a variant "
        "that may be below the limit is refused: give 60 or more",
        "frames are resized with area; with antialiased-linear, as Pillow and torchvision resize, the scores of 8 "
        "images differ by up to 11% of their spread, rank correlation 0.9762: say with --kernel which one the training "
        "used",
        f"{scoring} the imported model",
        f"making {ids[0]} (1 of {len(ids)})",
        f"{scoring} {ids[0]}",
        *(f"making {name} ({step} of {len(ids)})" for step, name in enumerate(ids[1:], 2)),
        f"{scoring} {', '.join(ids[1:])}",
        f"timing {', '.join(ids)} in turn",
    ]


def test_options_reach_the_bundle(tmp_path: Path, model: Path, normals: Path) -> None:
    done = edge_ad(
        "export", model, "--images", normals, "-o", tmp_path / "b", "--variants", "onnx-fp32", "--name", "plate",
        "--version-label", "7b", "--roi", "2,4,40,32", "--resize", "center-crop", "--kernel", "linear",
        "--frame-size", "64x48", "--max-images", "5", "--engine-threads", "1",
    )  # fmt: skip

    assert done.exit_code == 0
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    assert (manifest["name"], manifest["version"]) == ("plate", "7b")
    assert manifest["geometry"]["roi"] == {"x": 2, "y": 4, "width": 40, "height": 32}
    assert manifest["geometry"]["frame"] == {"width": 64, "height": 48}
    assert manifest["geometry"]["resize"]["mode"] == "center_crop"
    assert manifest["geometry"]["resize"]["kernel"] == "linear"
    assert (manifest["provenance"]["images"], manifest["provenance"]["engine_threads"]) == (5, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--size", "12"], "expected WIDTHxHEIGHT", id="size"),
        pytest.param(["--roi", "1,2,3"], "expected X,Y,WIDTH,HEIGHT", id="roi-of-three"),
        pytest.param(["--roi", "0,0,0,9"], "expected X,Y,WIDTH,HEIGHT", id="empty-roi"),
        pytest.param(["--mean", "1,x,3"], "expected numbers with commas", id="mean"),
        pytest.param(["--frame-size", "big"], "expected WIDTHxHEIGHT", id="frame-size"),
        pytest.param(["--color", "cmyk"], "'cmyk' is not one of", id="color"),
        pytest.param(["--variants", "onnx-fp64"], "no variant onnx-fp64: choose from onnx-fp32", id="variant"),
        pytest.param(["--variants", "onnx-mixed"], "a mixed variant is made where int8 fails the gate", id="mixed"),
        pytest.param(["--variants", " ,"], "expected ids of variants with commas between them", id="no-variant"),
        pytest.param(["--importer", "keras"], "no importer 'keras': choose one of", id="importer"),
        pytest.param(["--color", "bgr"], "--color does not apply", id="option-of-another-importer"),
        pytest.param(["--max-images", "1"], "1 is not in the range", id="max-images"),
        pytest.param(["--canvas", "64x64"], "add --tiles", id="canvas"),
        pytest.param(["--roi", "0,0,99,9"], "the region of interest ends at", id="roi-outside"),
        pytest.param(["--ignore-mask", "nowhere.png"], "nowhere.png", id="mask"),
        pytest.param(["--name", "a/b"], "--name a/b", id="name"),
    ],
)
def test_wrong_options(tmp_path: Path, model: Path, normals: Path, options: list[str], message: str) -> None:
    done = edge_ad("export", model, "--images", normals, "-o", tmp_path / "out" / "b", *options)

    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(["--min-map-correlation", "0.999999", "--effort", "low", "--variants", "onnx-int8"], 5,
                     "no variant passes the gate", id="gate"),
        pytest.param(["--images", "nowhere"], 2, "nowhere: no such file or folder", id="no-images"),
    ],
)  # fmt: skip
def test_exit_codes(tmp_path: Path, model: Path, normals: Path, options: list[str], code: int, message: str) -> None:
    images = () if "--images" in options else ("--images", normals)
    done = edge_ad("export", model, *images, "-o", tmp_path / "b", *options)

    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "b").exists()


def test_assumptions_are_printed(tmp_path: Path, normals: Path) -> None:
    model = export_models.write(tmp_path, Tiny(input_name="image", score_name="badness"))

    done = edge_ad("export", model, "--images", normals, "-o", tmp_path / "b", "--variants", "onnx-fp32")

    assert done.exit_code == 0
    assert [line for line in done.stderr.splitlines() if line.startswith("assumed: ")] == [
        "assumed: colour order RGB (--color)",
        "assumed: pixels divided by 255 (--scale)",
        "assumed: no mean or standard deviation (--mean, --std)",
        "assumed: higher is more anomalous in badness",
    ]


def test_every_option_has_help() -> None:
    options = [parameter for parameter in export.params if isinstance(parameter, click.Option)]

    assert len(options) > 20
    assert [option.name for option in options if not option.help] == []


def test_loading_the_command_loads_no_tools() -> None:
    code = (
        "import sys, edge_ad_export.cli.export; "
        "heavy = {'onnx', 'onnx_ir', 'onnxscript', 'onnxruntime', 'openvino', 'nncf', 'scipy', 'cv2'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["export", "compare"])
def test_a_report_into_a_missing_folder_is_refused_before_any_work(command: str, tmp_path: Path, model: Path) -> None:
    page = tmp_path / "missing" / "page.html"
    rest: dict[str, list[str | Path]] = {"export": ["-o", tmp_path / "b"], "compare": [tmp_path / "b"]}

    done = edge_ad(command, model, *rest[command], "--images", tmp_path / "no-images", "--report", page)

    assert done.exit_code == 2
    assert done.stderr == f"edge-ad: --report {page}: its folder does not exist: create it first\n"
