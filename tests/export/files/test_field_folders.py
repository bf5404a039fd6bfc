"""Faults from the field, kind 7: where models and weights lie, and what they are wrapped in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import set_external_data
from support.field_cli import export
from support.field_models import put, small_model, write_pictures

from edge_ad_export import ModelFile

BINARY = small_model().proto().SerializeToString()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def write_ir(folder: Path, name: str) -> Path:
    import openvino

    source = put(folder / "source" / "model.onnx", BINARY)
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(openvino.convert_model(source), folder / "made.xml", compress_to_fp16=False)
    (folder / "made.bin").rename(folder / Path(name).with_suffix(".bin").name)
    (folder / "made.xml").rename(folder / name)
    source.unlink()
    source.parent.rmdir()
    return folder / name


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("model.onnx",), id="control"),
        pytest.param(("weights/onnx/model.onnx",), id="two-folders-below"),
        pytest.param(("MODEL.ONNX",), id="capitals"),
        pytest.param(("Model.Onnx", "labels.txt"), id="mixed-case"),
        pytest.param(("export/MODEL.ONNX", "readme.md"), id="one-folder-below-in-capitals"),
        pytest.param(("a/b/c/patchcore.onnx", "a/b/c/metadata.json"), id="three-folders-below"),
        pytest.param(("model.onnx", "._model.onnx"), id="beside-what-macos-leaves"),
    ],
)
def test_the_model_of_a_folder_is_found_or_the_line_says_where(
    tmp_path: Path, images: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        is_model = name.lower().endswith(".onnx") and not Path(name).name.startswith("._")
        put(tmp_path / "given" / name, BINARY if is_model else b"\x00\x05\x16\x07")
    done = export(tmp_path / "given", images, tmp_path / "out" / "b")
    assert done.code == 0 or done.refused(names[0])


def test_an_openvino_model_below_a_folder_is_found_or_the_line_says_where(tmp_path: Path, images: Path) -> None:
    write_ir(tmp_path / "given" / "weights" / "openvino", "model.xml")
    done = export(tmp_path / "given", images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    assert done.code == 0 or done.refused("weights/openvino/model.xml")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("a.onnx", "b.onnx"), id="control-beside-each-other"),
        pytest.param(("weights/onnx/a.onnx", "weights/other/b.onnx"), id="below"),
        pytest.param(("A.ONNX", "b.onnx"), id="one-in-capitals"),
    ],
)
def test_a_folder_with_two_models_names_both(tmp_path: Path, images: Path, names: tuple[str, ...]) -> None:
    for name in names:
        put(tmp_path / "given" / name, BINARY)
    done = export(tmp_path / "given", images, tmp_path / "out" / "b")
    assert done.refused(*(Path(name).name for name in names))


def external(folder: Path, location: str) -> Path:
    """The small model with its first weights in the file ``location``."""
    model = small_model().proto()
    tensor = model.graph.initializer[0]
    data = onnx.numpy_helper.to_array(tensor).tobytes()
    set_external_data(tensor, location, offset=0, length=len(data))
    tensor.ClearField("raw_data")
    target = Path(location) if Path(location).is_absolute() else folder / location
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return put(folder / "m.onnx", model.SerializeToString())


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("../w.bin", id="beside-the-folder"),
        pytest.param("../../other/weights.bin", id="further-away"),
        pytest.param("sub/../../w.data", id="a-detour"),
    ],
)
def test_weights_outside_of_the_folder_are_refused_with_what_to_do(tmp_path: Path, images: Path, location: str) -> None:
    (tmp_path / "deep" / "given" / "sub").mkdir(parents=True)
    done = export(external(tmp_path / "deep" / "given", location), images, tmp_path / "out" / "b")
    assert done.refused(Path(location).name, unless="path traversal attack")
    assert re.search(r"\b(copy|move|save|export)\b", done.lines[0])


def test_weights_at_an_absolute_path_are_refused_with_what_to_do(tmp_path: Path, images: Path) -> None:
    done = export(external(tmp_path / "given", str(tmp_path / "w.bin")), images, tmp_path / "out" / "b")
    assert done.refused("w.bin", unless="path traversal attack")
    assert re.search(r"\b(copy|move|save|export)\b", done.lines[0])


NETWORK = """
import torch

def build():
    return Net()

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.f = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3, 1, 1))

    def forward(self, image):
        return self.f(image).abs()
"""

WRAPPINGS: list[tuple[str, Callable[[dict[str, object]], object]]] = [
    ("control-plain", lambda sd: sd),
    ("control-state-dict", lambda sd: {"state_dict": sd}),
    ("module", lambda sd: {f"module.{name}": value for name, value in sd.items()}),
    ("lightning", lambda sd: {"state_dict": {f"model.{name}": value for name, value in sd.items()}, "epoch": 1}),
    ("model-and-epoch", lambda sd: {"model": sd, "epoch": 3}),
    ("model-state-dict", lambda sd: {"model_state_dict": sd, "optimizer_state_dict": {}}),
    ("two-prefixes", lambda sd: {f"model.module.{name}": value for name, value in sd.items()}),
    ("compiled", lambda sd: {f"_orig_mod.{name}": value for name, value in sd.items()}),
    ("net-of-module", lambda sd: {"net": {f"module.{name}": value for name, value in sd.items()}, "acc": 0.9}),
    ("ema", lambda sd: {"epoch": 2, "model_ema": sd, "args": {"lr": 0.1}}),
    ("nested-twice", lambda sd: {"checkpoint": {"state_dict": sd}, "step": 5}),
]


@pytest.mark.parametrize("wrap", [pytest.param(wrap, id=name) for name, wrap in WRAPPINGS])
def test_weights_are_unwrapped(
    tmp_path: Path,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrap: Callable[[dict[str, object]], object],
) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [torch]")
    (tmp_path / "fieldnet.py").write_text(NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    weights = {
        f"f.{index}.{part}": torch.rand(shape) - 0.5
        for index, part, shape in (
            (0, "weight", (4, 3, 3, 3)), (0, "bias", (4,)), (2, "weight", (1, 4, 3, 3)), (2, "bias", (1,)),
        )
    }  # fmt: skip
    torch.save(wrap(weights), tmp_path / "w.pth")
    done = export(
        "fieldnet:build", images, tmp_path / "out" / "b", "--state-dict", tmp_path / "w.pth", "--size", "96x96"
    )
    assert done.succeeded()


def test_weights_beside_the_model_count_after_they_were_read_as_well(tmp_path: Path) -> None:
    file = ModelFile(external(tmp_path / "given", "weights.data"))
    file.onnx  # noqa: B018
    untouched = ModelFile(file.path)
    assert (file.sha256, file.size_bytes) == (untouched.sha256, untouched.size_bytes)
    assert untouched.size_bytes == sum(path.stat().st_size for path in file.path.parent.iterdir())
