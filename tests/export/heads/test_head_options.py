"""Which head a model gets, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from support import export_heads, tiny

from edge_ad.cli import main
from edge_ad.errors import InputError, ModelError
from edge_ad_export import ImportedModel, ImportOptions, ModelFile, import_model
from edge_ad_export.heads.reconstruction import ReconstructionHead
from edge_ad_export.model.head_options import HeadOptions, MapScore


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_heads.write_model(tmp_path_factory.mktemp("heads") / "model.onnx")


def load(path: Path, importing: ImportOptions | None = None, **options: Any) -> ImportedModel:
    given = importing or ImportOptions()
    head = HeadOptions(**options) if options else None
    return import_model(
        ModelFile(path), ImportOptions(score_output=given.score_output, map_output=given.map_output, head=head)
    )


@pytest.mark.parametrize(
    ("outputs", "family"),
    [
        pytest.param(("recon",), "reconstruction", id="an output like the picture"),
        pytest.param(("recon", "fine"), "reconstruction", id="beside a latent"),
        pytest.param(("distance_map",), "onnx", id="a plane is a map, and needs no head"),
        pytest.param(("recon", "odds"), "onnx", id="a score beside a reconstruction is the model's own"),
    ],
)
def test_outputs_that_tell(tmp_path: Path, outputs: tuple[str, ...], family: str) -> None:
    assert load(export_heads.write_model(tmp_path / "model.onnx", outputs=outputs)).family == family


def test_blur_alone_asks_for_the_head_of_a_map(tmp_path: Path) -> None:
    path = export_heads.write_model(tmp_path / "model.onnx", outputs=("distance_map",))
    assert load(path, blur=3.0).family == "map"


def test_a_class_alone_asks_for_the_head_of_a_score(model: Path) -> None:
    found = load(model, ImportOptions(score_output="logits"), anomalous_class=1)
    assert (found.family, found.outputs_read, found.roles) == ("score", ("logits",), ("score",))


def test_an_activation_is_taken_off_and_told(model: Path) -> None:
    found = load(model, ImportOptions(score_output="odds"), normal_class=0)
    assert found.outputs_read == ("logit",)
    assert any("before its Sigmoid" in line for line in found.assumptions)


def test_the_range_of_the_picture_reaches_ssim(tmp_path: Path) -> None:
    path = export_heads.write_model(tmp_path / "model.onnx", outputs=("recon",))
    importing = ImportOptions(std=(0.5, 0.25, 1.0), head=HeadOptions(family="reconstruction", error="ssim"))
    head = import_model(ModelFile(path), importing).head
    assert isinstance(head, ReconstructionHead)
    assert head.ssim is not None
    assert head.ssim.spans == (2.0, 4.0, 1.0)


LOGITS = ImportOptions(score_output="logits")
PAIR = {"feature_output": ("fine",), "predicted_output": ("fine_student",)}


@pytest.mark.parametrize(
    ("importing", "options", "error", "message"),
    [
        pytest.param(None, {"family": "gan"}, InputError, "no family 'gan': choose from score", id="unknown family"),
        pytest.param(
            None, {"family": "map", "neighbours": 3}, InputError, "--neighbours: does not apply", id="foreign option"
        ),
        pytest.param(
            LOGITS,
            {"family": "flow", "feature_output": ("distance_map",)},
            InputError,
            "--score-output: does not",
            id="score",
        ),
        pytest.param(None, {"neighbours": 3}, InputError, "which head it is for cannot be told", id="no family"),
        pytest.param(LOGITS, {"family": "score"}, InputError, "has 4 numbers per image: say which", id="no class"),
        pytest.param(
            LOGITS, {"anomalous_class": 4}, InputError, "--anomalous-class 4: logits has 4 numbers", id="no such class"
        ),
        pytest.param(
            LOGITS, {"anomalous_class": 0, "normal_class": 1}, InputError, "exclude each other", id="two classes"
        ),
        pytest.param(
            None,
            {"family": "one-class", "feature_output": ("fine",)},
            InputError,
            "--family one-class takes what it",
            id="nothing learnt",
        ),
        pytest.param(
            None, {"family": "reconstruction"}, ModelError, "has 9 outputs: name the one .* --predicted", id="which one"
        ),
        pytest.param(
            None,
            {"family": "one-class", "feature_output": ("none",), "fit": "f"},
            ModelError,
            "the model has no value none; inputs: image",
            id="no such output",
        ),
        pytest.param(
            None,
            {"family": "one-class", "feature_output": ("fine",), "fit": "f", "head_data": Path("a.npz")},
            InputError,
            "found both, say one",
            id="learnt twice",
        ),
        pytest.param(
            None,
            {"family": "gaussian", "feature_output": ("fine",), "fit_shared": True, "head_data": Path("a.npz")},
            InputError,
            "--fit-shared belongs to --fit",
            id="fit option without fit",
        ),
        pytest.param(
            None,
            {"family": "gaussian", "feature_output": ("fine", "fine"), "fit": "f"},
            InputError,
            "fine is named twice",
            id="named twice",
        ),
        pytest.param(
            None,
            {"family": "student-teacher", "feature_output": ("fine",)},
            InputError,
            "found 1 .* and 0",
            id="no pair",
        ),
        pytest.param(
            None,
            {"family": "student-teacher", **PAIR, "predicted_output": ("coarse_student",)},
            ModelError,
            r"hold \(8, 16, 16\) and \(12, 8, 8\)",
            id="unlike pair",
        ),
        pytest.param(
            None,
            {"family": "reconstruction", **PAIR, "error": "ssim"},
            InputError,
            "--error ssim compares pictures",
            id="ssim of features",
        ),
        pytest.param(
            None,
            {"family": "reconstruction", "predicted_output": ("fine",)},
            ModelError,
            r"they hold \(8, 16, 16\) and \(3, 32, 32\)",
            id="reconstruction of another size",
        ),
        pytest.param(
            ImportOptions(map_output="distance_map"),
            {"family": "map", "map_score": MapScore("top", 999)},
            InputError,
            "--map-score top:999: the map has 256 cells",
            id="more than all cells",
        ),
        pytest.param(
            ImportOptions(map_output="fine"), {"family": "map"}, InputError, "--combine", id="features as map"
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Path, importing: ImportOptions | None, options: dict[str, Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        load(model, importing, **options)
    assert "\n" not in str(caught.value)


BANK = np.ones((5, 8))


@pytest.mark.parametrize(
    ("family", "arrays", "message"),
    [
        pytest.param("memory-bank", {}, "holds nothing: expected bank", id="empty"),
        pytest.param("memory-bank", {"bank": BANK[:, 1:]}, r"shape \[5, 7\]: expected \[vectors", id="other features"),
        pytest.param("memory-bank", {"bank": BANK * np.nan}, "bank of .* not finite numbers", id="not finite"),
        pytest.param("one-class", {"centre": BANK}, r"centre of .* expected \[channels\]", id="centre of two axes"),
        pytest.param("gaussian", {"mean": BANK[0]}, "holds mean: expected mean and cov", id="no covariance"),
        pytest.param(
            "gaussian", {"mean": np.ones(7), "covariance": np.eye(8)}, r"expected \[8\], \[8, 256\]", id="mean"
        ),
        pytest.param("gaussian", {"mean": BANK[0], "covariance": np.eye(7)}, r"expected \[8, 8\] or", id="covariance"),
        pytest.param("gaussian", {"mean": BANK[0], "covariance": -np.eye(8)}, "not positive definite", id="indefinite"),
        pytest.param(
            "gaussian",
            {"mean": BANK[0], "covariance": np.eye(8), "channels": np.arange(1, 9)},
            "run from 1 to 8: the features have 8",
            id="no such channel",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(
    model: Path, tmp_path: Path, family: str, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
    with pytest.raises(InputError, match=message):
        load(model, family=family, feature_output=("fine",), head_data=tmp_path / "data.npz")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 not quite", id="damaged archive"),
        pytest.param(b"\x93NUMPY\x01\x00", id="truncated array"),
    ],
)
def test_an_unreadable_file_is_refused(model: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is no readable \.npz file"):
        load(model, family="one-class", feature_output=("fine",), head_data=path)


def test_one_array_for_an_archive_is_refused(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "centre.npy", np.ones(8))
    with pytest.raises(InputError, match=r"is no readable \.npz file"):
        load(model, family="one-class", feature_output=("fine",), head_data=tmp_path / "centre.npy")


def test_a_file_that_is_not_there_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(model, family="one-class", feature_output=("fine",), head_data=tmp_path / "data.npz")


def test_the_command_line_refuses_in_one_line(model: Path, tmp_path: Path) -> None:
    images = tiny.write_images(tmp_path / "images", tiny.frames(4))
    arguments = ["export", str(model), "--images", str(images), "-o", str(tmp_path / "out"), "--map-score", "middle"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "expected max, top:K with a number of cells or quantile:Q" in result.output
    assert not (tmp_path / "out").exists()
