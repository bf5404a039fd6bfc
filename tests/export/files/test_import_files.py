"""Files of every kind: told apart by content, converted in a process of their own, refused in one line."""

from __future__ import annotations

import pickle
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support import export_models
from support.export_imports import graph, run_exported, write_ir, write_onnx
from support.paths import TESTS

from edge_ad.errors import InputError, MissingExtraError, ModelError, OutputError
from edge_ad.sources import read_image
from edge_ad_export import ImportOptions, ModelFile, Size, import_model
from edge_ad_export.files.formats import Format, find_source
from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.files.torch_file import TorchOptions
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.reference.sessions import open_session

FRAMEWORKS = TESTS / "data" / "frameworks"


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"0")
    return path


def saved_model(folder: Path) -> Path:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    return folder / "saved"


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(export_models.write, "onnx", id="onnx"),
        pytest.param(written("model.bin", b"\x1c\0\0\0TFL3\0\0"), "tflite", id="tflite-by-content"),
        pytest.param(written("model", b'<?xml version="1.0"?><net/>'), "openvino", id="ir-by-content"),
        pytest.param(written("model.pb", b"\x0a\x05"), "tensorflow", id="frozen-graph"),
        pytest.param(written("model.pdmodel", b"\x0a\x05"), "paddle", id="paddle"),
        pytest.param(saved_model, "tensorflow", id="saved-model"),
        pytest.param(lambda f: archive(f / "a.pt", "m/code/x.py", "m/data.pkl"), "torchscript", id="torchscript"),
        pytest.param(lambda f: archive(f / "a.pt", "m/data.pkl", "m/byteorder"), "torch-pickle", id="pickle"),
        pytest.param(lambda f: archive(f / "a.bin", "m/archive_format"), "torch-exported", id="pt2"),
        pytest.param(written("old.pth", pickle.dumps({}, protocol=2)), "torch-pickle", id="pickle-without-archive"),
        pytest.param(lambda f: Path("package.module:factory"), "torch-factory", id="factory"),
    ],
)
def test_format_is_told(tmp_path: Path, make: Callable[[Path], Path], expected: Format) -> None:
    assert find_source(make(tmp_path)).format == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda f: f / "gone.onnx", r"gone\.onnx does not exist: expected an ONNX file", id="missing"),
        pytest.param(lambda f: f, "holds no model: name one", id="empty-folder"),
        pytest.param(written("cut.pt", b"PK\x03\x04 and no more"), "damaged archive", id="damaged-archive"),
        pytest.param(
            lambda f: write_ir(f, export_models.write(f)).parent, r"model\.onnx, model\.xml: name one", id="two"
        ),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_source(make(tmp_path))


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        pytest.param("model.pt", TorchOptions(size=Size(8, 8)), "may run any code .*--trust-pickle", id="pickle"),
        pytest.param(
            "net:make", TorchOptions(size=Size(8, 8)), "without trained weights: .*--state-dict", id="factory"
        ),
        pytest.param(
            "model.pt",
            TorchOptions(size=Size(8, 8), trust_pickle=True, state_dict=Path("weights.pt")),
            "has its weights in it",
            id="state-dict-of-a-whole-model",
        ),
        pytest.param("model.pt", TorchOptions(trust_pickle=True), "say --size WIDTHxHEIGHT", id="no-size"),
    ],
)
def test_pytorch_models_are_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, options: TorchOptions, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "model.pt", "m/data.pkl")

    with pytest.raises(InputError, match=message):
        import_model(ModelFile(Path(path), options))


def test_a_missing_pytorch_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    path = archive(tmp_path / "model.pt", "m/code/x.py")

    with pytest.raises(MissingExtraError, match=r"pip install 'edge-ad\[torch\]'"):
        import_model(ModelFile(path, TorchOptions(size=Size(8, 8))))


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of converters that go wrong."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    return "support.export_child"


@pytest.mark.parametrize(
    ("number", "why"),
    [
        pytest.param(signal.SIGKILL, r"SIGKILL \(most likely out of memory\)", id="out-of-memory"),
        pytest.param(signal.SIGSEGV, r"SIGSEGV \(a crash inside the library\)", id="crash"),
    ],
)
def test_a_converter_that_dies_says_at_which_step(child: str, number: int, why: str) -> None:
    with pytest.raises(ModelError, match=f"^converting the model died of {why}"):
        run_isolated("converting the model", f"{child}:die", signal_number=int(number))


def test_a_converter_that_fails_is_told_in_one_line(child: str) -> None:
    with pytest.raises(ModelError, match=r"^converting the model failed: RuntimeError: first second$"):
        run_isolated("converting the model", f"{child}:fail", message="first\n  second")


def test_a_converter_without_room_names_the_file_and_what_to_do(child: str) -> None:
    with pytest.raises(OutputError, match=r"^quantizing failed: /x/y.xml: cannot be written: .* free some space"):
        run_isolated("quantizing", f"{child}:run_out_of_room", target="/x/y.xml")


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        pytest.param("model.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "TFLite model", id="tflite"),
        pytest.param("model.pb", b"\x0a\xff\xff", "TensorFlow model", id="tensorflow"),
        pytest.param("model.pdmodel", b"\x0a\xff\xff", "Paddle model", id="paddle"),
    ],
)
def test_a_damaged_model_of_another_framework_is_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    path = written(name, data)(tmp_path)

    with pytest.raises(ModelError, match=rf"^converting the {what} .*{name} with OpenVINO (failed|died)"):
        import_model(ModelFile(path))


@pytest.mark.parametrize(
    ("model", "framework", "kind"),
    [
        pytest.param("saved_model", "tensorflow", "tensorflow", id="saved-model"),
        pytest.param("frozen.pb", "tensorflow", "tensorflow", id="frozen-graph"),
        pytest.param("net.tflite", "tensorflow", "tflite", id="tflite"),
        pytest.param("net.pdmodel", "paddle", "paddle", id="paddle"),
    ],
)
def test_models_of_other_frameworks_score_as_there(model: str, framework: str, kind: Format) -> None:
    file = ModelFile(FRAMEWORKS / model)
    known = np.load(FRAMEWORKS / f"{framework}.npz")

    imported = import_model(file)
    score, anomaly_map = open_session(imported.model, imported.outputs_read).run(known["x"])

    assert (file.format, imported.input.size) == (kind, Size(16, 16))
    assert_allclose(score.ravel(), known["score"].ravel(), rtol=1e-5)
    assert_allclose(np.squeeze(anomaly_map), np.squeeze(known["map"]), rtol=1e-5, atol=1e-6)


def test_the_hash_covers_a_whole_saved_model(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FRAMEWORKS / "saved_model", tmp_path / "copy"))
    before = ModelFile(copy).sha256
    weights = copy / "variables/variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes() + b"\0")

    assert before == ModelFile(FRAMEWORKS / "saved_model").sha256
    assert ModelFile(copy).sha256 != before


@pytest.mark.shared
@pytest.mark.usefixtures("new_interpreters")
def test_a_real_tflite_classifier_is_imported(shared: Path, tmp_path: Path) -> None:
    file = ModelFile(shared / "models/backbones/mobilenet_v1_0.25_128_quant.tflite")
    image = read_image(next(iter(sorted((shared / "data/cookies/train/good").iterdir()))))[:128, :128]

    imported = import_model(file, ImportOptions(head=HeadOptions(family="score", anomalous_class=942)))
    found = run_exported(imported, image, tmp_path)

    assert (file.format, imported.input.layout, imported.input.scale) == ("tflite", "nhwc", 1.0)
    assert found.score == round(found.score)  # the quantised model's own steps
    assert 0 <= found.score <= 255


@pytest.mark.shared
def test_a_classifier_without_a_head_says_which_options_would_describe_it(shared: Path) -> None:
    file = ModelFile(shared / "models/backbones/mobilenet_v1_0.25_128_quant.tflite")

    with pytest.raises(ModelError, match=r"--family.*input uint8\[1,128,128,3\].*uint8\[1,1001\]"):
        import_model(file)


def test_anomavision_exports_are_known_by_their_wrapper(tmp_path: Path) -> None:
    """Names and shapes as AnomaVision 3.6.2 wrote them for its PaDiM."""
    model = graph(
        "w = Reshape(weights, form) f = Conv(input, w) g = Mul(f, f) "
        "output_0 = ReduceMax<axes=[1, 2, 3], keepdims=0>(g) output_1 = Squeeze(g, one)",
        inputs="float[batch_size, 3, 8, 8] input",
        outputs="float[1] output_0, float[1, 8, 8] output_1",
        constants="float[3] weights = {1.0, 2.0, 3.0}, int64[4] form = {1, 3, 1, 1}, int64[1] one = {1}",
    )
    model.graph.initializers["weights"].name = "m.embeddings_extractor.backbone.conv1.weight"
    path = write_onnx(tmp_path, model)

    imported = import_model(ModelFile(path))
    said = import_model(ModelFile(path), ImportOptions(mean=(0.5,), std=(0.5,)))

    assert (imported.importer, imported.family) == ("anomavision", "padim")
    assert (imported.score, imported.map) == ("output_0", "output_1")
    assert imported.input.mean == (0.485, 0.456, 0.406)
    assert len(imported.assumptions) == 1
    assert (said.input.mean, said.assumptions) == ((0.5,), ())
