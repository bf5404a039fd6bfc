"""``edge-ad compare``, and labelled images: exit code and output, pages, and the same figures as the export's."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import export_models, tiny
from support.export_models import Tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad.cli import main
from edge_ad_export.cli.compare import compare
from edge_ad_export.cli.variant_options import GATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a bundle of it with two variants, normals, and labelled images in the layout of MVTec."""
    folder = tmp_path_factory.mktemp("compare")
    export_models.write(folder, Tiny(tail="clip"))
    normals = tiny.write_images(folder / "normals", export_models.parts(9))
    tiny.write_images(folder / "labelled/test/good", export_models.parts(4, seed=1))
    spotted = [tiny.spotted(part, 20 + 5 * index, 10) for index, part in enumerate(export_models.parts(3, seed=2))]
    tiny.write_images(folder / "labelled/test/spot", spotted)
    for index in range(3):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:22, 20 + 5 * index : 32 + 5 * index] = 255
        (folder / "labelled/ground_truth/spot").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"labelled/ground_truth/spot/{index:04d}_mask.png"), mask)
    done = edge_ad(
        "export", folder / "model.onnx", "--images", normals, "-o", folder / "b",
        "--variants", "onnx-fp32,openvino-fp32", "--labelled", folder / "labelled", "--engine-threads", "1",
        "--report", folder / "report.html",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return folder


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("b:onnx-fp32", "b:openvino-fp32", id="two-variants"),
        pytest.param("model.onnx", "b", id="the-model-and-a-bundle"),
        pytest.param("b", "model.onnx", id="a-bundle-and-the-model"),
    ],
)
def test_the_same_model_twice_agrees(folder: Path, first: str, second: str) -> None:
    done = edge_ad(
        "compare", folder / first, folder / second, "--images", folder / "normals", "--engine-threads", "1",
        "--labelled", folder / "labelled", "--json",
    )  # fmt: skip

    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    fidelity = found["fidelity"]
    assert fidelity["spearman"] == pytest.approx(1, abs=1e-3)
    assert fidelity["score_max_rel"] < 1e-3
    assert fidelity["map_correlation_min"] > 0.9999
    assert (fidelity["images"], fidelity["defects"]) == (9, 9)
    assert fidelity["labelled"]["roc_auc_lost"] == 0
    assert fidelity["labelled"]["pixel_roc_auc"] > 0.5
    # nine frames of 64x48 have too few pixels for it
    assert [marked["aupimo"] for marked in (fidelity, fidelity["labelled"])] == [None, None]
    assert min(found["first_latency_ms"], found["first_size_bytes"], fidelity["size_bytes"]) > 0


def test_text_and_page(folder: Path, tmp_path: Path) -> None:
    done = edge_ad(
        "compare", f"{folder}/b:onnx-fp32", f"{folder}/b:openvino-fp32", "--images", folder / "normals",
        "--report", tmp_path / "page.html",
    )  # fmt: skip

    assert done.exit_code == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "b:openvino-fp32 compared with b:onnx-fp32, on 9 normal images and 9 synthetic defects"
    assert [line.split("  ")[1] for line in lines] == [
        "rank correlation", "map correlation", "score error", "ROC-AUC", "AUPIMO", "false rejects", "latency",
        "size",
    ]  # fmt: skip
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg") == 3 * 4


def test_the_page_of_an_export(folder: Path) -> None:
    page = (folder / "report.html").read_text()

    assert page.count("<svg") == 2 + 2
    names = ("onnx-fp32", "openvino-fp32", "On the labelled images", "AUPIMO change")
    for part in (*names, "the normal image with the highest score", "cut-paste", "scratch", "outlined in cyan"):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_labels_reach_the_bundle(folder: Path) -> None:
    manifest = json.loads((folder / "b/manifest.json").read_bytes())

    labelled = manifest["variants"][0]["fidelity"]["labelled"]
    assert labelled["images"] == 7
    assert 0 <= labelled["roc_auc"] <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["model.onnx", "model.onnx"], "neither of the two is a bundle", id="two-files"),
        pytest.param(["b", "nowhere"], "nowhere", id="nothing-there"),
        pytest.param(["b", "b:onnx-int8"], "no variant 'onnx-int8'", id="no-such-variant"),
        pytest.param(
            ["b", "b", "--labelled", "normals"],
            "expected a labelled data set",
            id="no-labels",
        ),
        pytest.param(["b", "b", "--labelled", "nowhere"], "nowhere: no such file or folder", id="no-labelled-folder"),
    ],
)
def test_wrong_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(folder)

    done = edge_ad("compare", *arguments, "--images", "normals")

    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


NAMES = [*(name for param in compare.params for name in param.opts), *(name for row in GATE.rows for name in row.names)]


@pytest.mark.parametrize("option", [name for name in NAMES if name.startswith("--")])
def test_every_option_stands_in_the_docs(option: str) -> None:
    assert f"`{option}" in (DOCS_FOLDER / "export.md").read_text()
