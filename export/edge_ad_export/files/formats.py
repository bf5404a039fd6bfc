"""What kind of file a trained model lies in: told by content where the format has a signature, else by its name."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ad.errors import InputError

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
_HEAD_BYTES = 64


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
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        return ModelSource(path.with_suffix(".xml"), "openvino")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"the model {path} cannot be read: {error.strerror}") from None
    return ModelSource(path, _signature(path, head) or _BY_SUFFIX.get(path.suffix, "onnx"))


def _in_folder(folder: Path) -> ModelSource:
    if (folder / _SAVED_MODEL).is_file():
        return ModelSource(folder, "tensorflow")
    models = sorted(file for file in folder.iterdir() if file.suffix in (".onnx", *_BY_SUFFIX))
    if len(models) != 1:
        found = ", ".join(model.name for model in models) or "no model"
        raise InputError(f"the folder {folder} holds {found}: name one; {_EXPECTED}")
    return find_source(models[0])


def _signature(path: Path, head: bytes) -> Format | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.lstrip().startswith((b"<?xml", b"<net")):
        return "openvino"
    if head.startswith(b"\x80") and head[1:2] in b"\x02\x03\x04\x05":
        return "torch-pickle"
    return _archive(path) if head.startswith(b"PK\x03\x04") else None


def _archive(path: Path) -> Format:
    """PyTorch writes three kinds of zip file."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile:
        raise InputError(f"the model {path} is a damaged archive: copy it again") from None
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "torch-exported"
    return "torchscript" if any("/code/" in name for name in names) else "torch-pickle"
