"""The whole way: a model with a head becomes a bundle whose scores are the NumPy head's."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support import export_heads, tiny
from support.export_models import parts

from edge_ad import Detector
from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.errors import ModelError
from edge_ad.sources import list_images, read_image
from edge_ad_export import ExportRequest, Gate, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.fidelity.gate import PARITY
from edge_ad_export.model.head import HeadInputs
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.preparation.learn_head import hold_out, learn_head
from edge_ad_export.preparation.prepare import ReferenceProbes, prepare
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.images import select_images

FLOAT = ("onnx-fp32", "openvino-fp32")
LENIENT = Gate(min_spearman=0.9, min_map_correlation=0.9, max_aupimo_lost=0.5)


def request(folder: Path, head: HeadOptions, *, opset: int = 17, **importing: Any) -> ExportRequest:
    images = tiny.write_images(folder / "normals", parts(8))
    model = export_heads.write_model(folder / "model.onnx", opset=opset)
    options = ImportOptions(head=head, **importing)
    return ExportRequest(model, images, folder / "bundle", options, gate=LENIENT, variants=FLOAT, threads=1)


def heads(fit: Path) -> dict[str, HeadOptions]:
    features: dict[str, Any] = {"feature_output": ("fine", "coarse"), "fit": fit}
    students = ("fine_student", "coarse_student")
    pairs: dict[str, Any] = {"feature_output": ("fine", "coarse"), "predicted_output": students}
    return {
        "score": HeadOptions(family="score", anomalous_class=1),
        "map": HeadOptions(family="map", blur=2.0),
        "reconstruction": HeadOptions(family="reconstruction", predicted_output=("recon",)),
        "student-teacher": HeadOptions(family="student-teacher", **pairs),
        "flow": HeadOptions(family="flow", feature_output=("fine", "coarse")),
        "gaussian": HeadOptions(family="gaussian", **features),
        "memory-bank": HeadOptions(family="memory-bank", fit_bank=100, **features),
        "one-class": HeadOptions(family="one-class", **features),
    }


OUTPUTS: dict[str, dict[str, Any]] = {"score": {"score_output": "logits"}, "map": {"map_output": "distance_map"}}


@pytest.mark.parametrize(
    "family", ["score", "map", "reconstruction", "student-teacher", "flow", "gaussian", "memory-bank", "one-class"]
)
def test_a_bundle_of_every_family_scores_as_the_model_and_its_head(tmp_path: Path, family: str) -> None:
    fit = tiny.write_images(tmp_path / "learn", parts(10, seed=9))
    asked = request(tmp_path, heads(fit)[family], **OUTPUTS.get(family, {}))
    manifest = export_bundle(asked).bundle.manifest
    assert manifest.family == family
    assert {variant.id for variant in manifest.variants} == set(FLOAT)
    assert all(variant.fidelity.score_max_rel < 1e-3 for variant in manifest.variants)


def test_the_frame_that_a_head_compares_with_is_the_models_own_input(tmp_path: Path) -> None:
    """A score by hand, through none of the exporter's code but the reading of the file."""
    head = HeadOptions(family="reconstruction", predicted_output=("recon",), blur=0.0)
    asked = request(tmp_path, head, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    export_bundle(asked)
    image = read_image(list_images(asked.images)[3])
    with Detector.open(asked.target, "onnx-fp32") as detector:
        found = detector.score_with_map(image)
        seen = np.array(detector.scorer.engine.input[0])
    picture = (seen[..., ::-1] / 255 - (0.4, 0.5, 0.6)) / (0.2, 0.3, 0.4)
    model = export_heads.write_model(tmp_path / "again.onnx")
    engine = ReferenceEngine(import_model(ModelFile(model), ImportOptions(score_output="recon")))
    feed = picture.transpose(2, 0, 1)[None].astype(np.float32)
    recon = engine._session.run(feed)[0]
    assert found.verdict.score == pytest.approx(((feed - recon) ** 2).mean(axis=1).max(), rel=1e-4)


def test_patches_that_lie_in_the_bank_do_not_cost_the_cheaper_form(tmp_path: Path) -> None:
    """Their distance is zero in NumPy, and the root of a rounding error in both forms of the graph."""
    images = tmp_path / "normals"
    head = HeadOptions(family="memory-bank", feature_output=("fine", "coarse"), fit=images, fit_bank=1700)
    asked = request(tmp_path, head, scale=1.0)
    imported = learn_head(import_model(ModelFile(asked.model), asked.importing), asked)
    said: list[str] = []
    found = prepare(asked, imported, select_images(asked.images, 8), said.append)
    assert found.lowered.plain is not None
    assert ReferenceProbes(found).errors(found.lowered.plain).map > PARITY
    assert found.lowered.cheaper
    assert said == []


def test_an_old_operator_set_will_do(tmp_path: Path) -> None:
    asked = request(tmp_path, heads(tmp_path)["student-teacher"], opset=11)
    assert export_bundle(asked).bundle.manifest.variants[0].fidelity.score_max_rel < 1e-3


def test_what_was_learnt_comes_from_a_file_too(tmp_path: Path) -> None:
    bank = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    np.savez(tmp_path / "bank.npz", bank=bank)
    head = HeadOptions(family="memory-bank", feature_output=("coarse",), head_data=tmp_path / "bank.npz", neighbours=1)
    asked = request(tmp_path, head)
    manifest = export_bundle(asked).bundle.manifest
    imported = import_model(ModelFile(asked.model), asked.importing)
    assert imported.head is not None
    coarse = export_heads.values(["coarse"])
    patches = coarse[0][0].reshape(12, -1).T
    expected = np.linalg.norm(patches[:, None] - bank[None], axis=2).min(axis=1).max()
    assert imported.head.reference(HeadInputs(coarse, coarse[0])).score == pytest.approx(expected, rel=1e-5)
    assert manifest.variants[0].map is not None


def test_images_that_a_head_has_learnt_from_are_not_measured_with(tmp_path: Path) -> None:
    """Under other names too. Where no others are left, they are measured with and blamed."""
    learn = tiny.write_images(tmp_path / "learn", parts(6, seed=4))
    head = HeadOptions(family="memory-bank", feature_output=("fine",), fit=learn)
    asked = request(tmp_path, head)
    images = Path(asked.images)
    for path in list_images(learn)[:3]:
        shutil.copy(path, images / f"again-{path.name}")
    before = len(list_images(images))
    said: list[str] = []
    manifest = export_bundle(asked, said.append).bundle.manifest
    assert f"3 of the {before} images of --images are images of --fit too: they are left out" in " ".join(said)
    assert "--max-images" not in " ".join(line for line in said if "are used" in line)
    assert manifest.provenance["images"] == before - 3

    held_out = hold_out(select_images(learn, 100), asked)
    assert len(held_out.images) == 6
    assert held_out.blame == (
        "6 of the 6 images of --images are images of --fit too, and scores of what a head has learnt are close to "
        "zero: give other normal images with --images"
    )
    whole = replace(head, fit_bank=100_000)
    both = replace(asked, images=learn, importing=ImportOptions(head=whole), target=tmp_path / "again")
    with pytest.raises(
        ModelError, match=r"6 of the 6 images of --images are images of --fit too, .* scores all 6 images"
    ):
        export_bundle(both)
    assert hold_out(select_images(images, 100), replace(asked, importing=ImportOptions())).note is None


def test_the_command_learns_and_warns(tmp_path: Path) -> None:
    model = export_heads.write_model(tmp_path / "model.onnx")
    images = tiny.write_images(tmp_path / "normals", parts(6))
    learn = tiny.write_images(tmp_path / "learn", parts(9, seed=4))
    target = tmp_path / "bundle"
    arguments = ["export", str(model), "--images", str(images), "-o", str(target), "--variants", "onnx-fp32", "--json"]
    arguments += ["--family", "one-class", "--feature-output", "fine", "--fit", str(learn), "--min-spearman", "0.5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "the images of --fit are not used again to calibrate" in result.stderr
    assert json.loads(result.stdout)["default_variant"] == "onnx-fp32"
    assert Bundle.open(target).manifest.family == "one-class"


@pytest.mark.shared
def test_the_shared_autoencoder_needs_no_option(shared: Path, tmp_path: Path) -> None:
    images = shared / "data/magnetic_tile/test/good/exp1_num_1*.jpg"
    asked = ExportRequest(
        shared / "models/magnetic_tile/autoencoder.onnx",
        str(images),
        tmp_path / "bundle",
        variants=FLOAT,
        max_images=12,
    )
    manifest = export_bundle(asked).bundle.manifest
    assert manifest.family == "reconstruction"
    assert all(variant.fidelity.score_max_rel < 1e-3 for variant in manifest.variants)


@pytest.mark.slow
@pytest.mark.shared
def test_defects_of_real_parts_score_higher(shared: Path, tmp_path: Path) -> None:
    """MobileNetV2's features and a Gaussian learnt in seconds tell most broken cookies from good ones."""
    data = shared / "data/cookies"
    learnt = tiny.write_images(
        tmp_path / "learnt", [read_image(path) for path in list_images(data / "train/good")[::2]]
    )
    head = HeadOptions(family="gaussian", feature_output=("feat_s16",), fit=learnt, fit_shared=True)
    backbone = shared / "models/backbones/mobilenet_v2_1.0_224_dequant_float.onnx"
    importing = ImportOptions(scale=127.5, mean=(1.0,), head=head)
    asked = ExportRequest(
        backbone, data / "test/good", tmp_path / "bundle", importing, variants=("onnx-fp32",), max_images=8
    )
    export_bundle(asked)
    with Detector.open(tmp_path / "bundle") as detector:
        scores = {
            kind: [detector.scorer.measure(read_image(path)).score for path in list_images(data / "test" / kind)[::2]]
            for kind in ("good", "anomaly")
        }
    above = np.mean(np.array(scores["anomaly"])[:, None] > np.array(scores["good"]))
    assert above > 0.8
