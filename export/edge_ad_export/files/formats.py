"""What kind of file a trained model lies in: told by content where the format has a signature, else by its name."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ad.errors import InputError
from edge_ad_export.files.contents import (
    HEAD_BYTES,
    describe_archive,
    describe_foreign,
    is_onnx,
    is_paddle_3,
    root_of_xml,
    version_of_ir,
)

__all__ = ["Format", "ModelSource", "find_source"]

Format = Literal[
    "onnx",
    "openvino",
    "tflite",
    "tensorflow",
    "paddle",
    "torch-exported",
    "torchscript",
    "torch-pickle",
    "torch-factory",
]

_EXPECTED = (
    "expected an ONNX file, an OpenVINO IR (.xml), a TFLite file, a TensorFlow SavedModel folder, a Paddle model "
    "(.pdmodel), a PyTorch file (.pt2, TorchScript) or package.module:factory"
)
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")
_BY_SUFFIX: dict[str, Format] = {
    ".xml": "openvino",
    ".tflite": "tflite",
    ".pb": "tensorflow",
    ".pdmodel": "paddle",
    ".pt2": "torch-exported",
}
_SAVED_MODEL = "saved_model.pb"
_SUFFIXES = (".onnx", *_BY_SUFFIX)
# Endings of models that are named by hand, or not read at all.
_KEPT_OTHERWISE = {".bin", ".ckpt", ".engine", ".h5", ".keras", ".pt", ".pth", ".safetensors", ".zip"}
# Never looked into: what systems leave beside files.
_LITTER = "__MACOSX"
_SHOWN = 5
_OLDEST_IR = 10


@dataclass(frozen=True)
class ModelSource:
    """``path``: the file, the folder of a SavedModel, or ``package.module:factory``."""

    path: Path
    format: Format


def find_source(path: Path) -> ModelSource:
    """Looks at what the user named; of a folder that holds one model, at that.

    Raises:
        InputError: there is nothing, nothing readable, or more than one model.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.exists() and _FACTORY.fullmatch(str(path)):
        return ModelSource(path, "torch-factory")
    if not path.is_file():
        raise InputError(f"the model {path} does not exist: {_EXPECTED}")
    try:
        return ModelSource(*_by_contents(path))
    except OSError as error:
        raise InputError(f"the model {path} cannot be read: {error.strerror}") from None


def _by_contents(path: Path) -> tuple[Path, Format]:
    """The file that was meant, and its format: by its contents where they say, else by its name."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if is_onnx(path):
        return path, "onnx"
    suffix = path.suffix.lower()
    partner = {".bin": ".xml", ".pdiparams": ".pdmodel"}.get(suffix)
    if partner is not None and path.with_suffix(partner).is_file():
        return _by_contents(path.with_suffix(partner))
    if suffix == ".pdiparams":
        raise InputError(_weights_of_paddle(path))
    foreign = describe_foreign(path, head)
    if foreign is not None:
        raise InputError(f"{path} is {foreign}")
    found = _signature(path, head) or _BY_SUFFIX.get(suffix, "onnx")
    if found == "openvino" and root_of_xml(head) not in ("net", None):
        raise InputError(f"{path} is XML with the root {root_of_xml(head)}, an OpenVINO IR has net: name the model")
    version = version_of_ir(head) if found == "openvino" else None
    if version is not None and version < _OLDEST_IR:
        raise InputError(
            f"{path} is an OpenVINO IR of version {version}, and OpenVINO reads versions from {_OLDEST_IR} on: "
            "convert the original model again, or name it itself"
        )
    if found == "openvino" and b"<" not in head:
        raise InputError(f"{path} is no XML, and so no OpenVINO IR: copy or export it again")
    return path, found


def _weights_of_paddle(path: Path) -> str:
    graph = path.with_suffix(".json")
    if graph.is_file() and is_paddle_3(graph):
        return f"{path} holds the weights of {graph.name}, which is {describe_foreign(graph, b'{')}"
    return f"{path} holds the weights of a Paddle model: name the .pdmodel, which is not beside it"


def _in_folder(folder: Path) -> ModelSource:
    """The folder itself where it is a SavedModel; else its one model, or the one in the folders below."""
    if (folder / _SAVED_MODEL).is_file():
        return ModelSource(folder, "tensorflow")
    models = _models(folder.iterdir()) or _models(_below(folder))
    if len(models) == 1:
        return find_source(models[0])
    if models:
        found = ", ".join(str(model.relative_to(folder)) for model in models)
        raise InputError(f"the folder {folder} holds {found}: name one; {_EXPECTED}")
    raise InputError(f"the folder {folder} holds no model{_other_files(folder)}: name one; {_EXPECTED}")


def _models(files: Iterable[Path]) -> list[Path]:
    """Those that are called as models are; a SavedModel is its folder."""
    found = (file for file in files if file.suffix.lower() in _SUFFIXES and file.is_file())
    models = {file.parent if file.name == _SAVED_MODEL else file for file in found if not file.name.startswith(".")}
    return sorted(models)


def _below(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if not any(part.startswith(".") or part == _LITTER for part in parts):
            yield file


def _other_files(folder: Path) -> str:
    """What the folder has instead, where it is of a known kind."""
    for file in sorted(_below(folder)):
        if file.suffix == ".json" and is_paddle_3(file):
            return f" that can be read; {file.relative_to(folder)} is {describe_foreign(file, b'{')}"
    names = [str(file.relative_to(folder)) for file in sorted(_below(folder)) if file.suffix.lower() in _KEPT_OTHERWISE]
    return f" that is found by its name; there are {', '.join(names[:_SHOWN])}" if names else ""


def _signature(path: Path, head: bytes) -> Format | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if root_of_xml(head) is not None:
        return "openvino"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch-pickle"
    return _archive(path) if head.startswith(b"PK\x03\x04") else None


def _archive(path: Path) -> Format:
    """PyTorch writes three kinds of zip file."""
    try:
        foreign = describe_archive(path, _SUFFIXES)
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile:
        raise InputError(f"the model {path} is a damaged archive: copy it again") from None
    if foreign is not None:
        raise InputError(f"{path} is {foreign}")
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "torch-exported"
    return "torchscript" if any("/code/" in name for name in names) else "torch-pickle"
