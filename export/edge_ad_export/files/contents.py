"""What a file is by its contents: ONNX, or something that is no model and what to do with it."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "HEAD_BYTES",
    "describe_archive",
    "describe_foreign",
    "is_onnx",
    "is_paddle_3",
    "root_of_xml",
    "version_of_ir",
]

HEAD_BYTES: Final = 4096

_UNPACK = "unpack it and name the model inside"
_EXPORT = "export the model to ONNX with the framework it was trained in"
_DOWNLOAD = "download the model itself"
_NO_MODEL = "name the model's file"
_KERAS = (
    "export it with model.export(FOLDER) to a TensorFlow SavedModel, or with format='onnx' to ONNX, and name that one"
)

# First bytes, what has them, and what to do.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras keeps models and weights in such)", _KERAS),
    (b"version https://git-lfs", "a Git LFS pointer, not the model", "run git lfs pull where it was cloned"),
    (b"version https://hawser", "a Git LFS pointer, not the model", "run git lfs pull where it was cloned"),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with lz4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"GGUF", "a GGUF file of a language model", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _NO_MODEL),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)", _NO_MODEL),
    (b"\xff\xd8\xff", "a picture (JPEG)", _NO_MODEL),
    (b"GIF8", "a picture (GIF)", _NO_MODEL),
    (b"II*\x00", "a picture (TIFF)", _NO_MODEL),
    (b"MM\x00*", "a picture (TIFF)", _NO_MODEL),
    (b"RIFF", "a picture, a video or a sound (RIFF)", _NO_MODEL),
    (b"%PDF", "a PDF document", _NO_MODEL),
    (b"\x7fELF", "a program or a library", _NO_MODEL),
    (b"MZ", "a program or a library", _NO_MODEL),
    (b"ftrt", "a TensorRT engine, which runs on one kind of GPU only", "name the ONNX file that it was built from"),
    (b"ptrt", "a TensorRT engine, which runs on one kind of GPU only", "name the ONNX file that it was built from"),
    (b"RKNN", "an RKNN model, made for one chip only", "name the ONNX file that it was built from"),
    (b"SQLite format 3", "a database (SQLite)", _NO_MODEL),
)
_ORT_AT, _ORT = 4, b"ORTM"
_SOURCE = "name the ONNX file that it was made from"
# Formats without a signature, by the ends of their names: looked at where the contents say nothing.
_BY_SUFFIX = {
    ".caffemodel": f"weights of Caffe: {_EXPORT}",
    ".dlc": f"a model for Qualcomm's chips: {_SOURCE}",
    ".hef": f"a model for Hailo's chips: {_SOURCE}",
    ".mlmodel": f"a Core ML model: {_EXPORT}",
    ".mnn": f"an MNN model: {_SOURCE}",
    ".nb": f"a Paddle Lite model: {_SOURCE}",
    ".param": f"a graph of ncnn: {_SOURCE}",
    ".weights": f"weights of Darknet: {_EXPORT}",
}
_OF_TORCH = ("data.pkl", "archive_format", "serialized_exported_program.json")
_TAR_AT, _TAR = 257, b"ustar"
_PADDLE_3 = "a model in the format of Paddle 3 (PIR), which OpenVINO does not read"
_FROM_PADDLE_3 = "convert it with paddle2onnx, or export it again with FLAGS_enable_pir_api=0 to a .pdmodel"
# Of a protobuf message ModelProto: numbers of fields and how they are encoded (0 varint, 2 with a length).
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_VERSION, _GRAPH, _VARINT = 1, 7, 0
_FIELDS_MAX = 100_000
_JSON_BYTES_MAX = 2**24


def is_onnx(path: Path) -> bool:
    """Whether the file is a binary ONNX model, or the beginning of one: its outermost fields are those of ONNX."""
    size = path.stat().st_size
    found: set[int] = set()
    with path.open("rb") as file:
        for _ in range(_FIELDS_MAX):
            key = _varint(file)
            if key is None:
                break
            field, wire = key >> 3, key & 7
            number = _varint(file)
            if _ONNX_FIELDS.get(field) != wire or number is None:
                return False
            found.add(field)
            if wire != _VARINT:
                if file.tell() + number > size:  # cut off
                    break
                file.seek(number, os.SEEK_CUR)
    return {_VERSION, _GRAPH} <= found


def _varint(file: BinaryIO) -> int | None:
    number = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        number |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return number
    return None


def describe_foreign(path: Path, head: bytes) -> str | None:
    """What the file is and what to do, where it is no model that can be read; ``None`` for all others."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    known = _known_by_first_bytes(head)
    if known is not None:
        return known
    if _is_page(text):
        return f"a web page (HTML), saved in place of the model: {_DOWNLOAD}; the site may ask to sign in first"
    if _is_safetensors(path, head):
        return (
            "a safetensors file, which holds weights without the network: export the network with them to ONNX, or "
            "name it as package.module:factory with --state-dict"
        )
    return _describe_json(path) if text[:1] in (b"{", b"[") else _BY_SUFFIX.get(path.suffix.lower())


def _known_by_first_bytes(head: bytes) -> str | None:
    if not any(head):
        found = "filled with zeros" if head else "empty"
        return f"{found}: it was not copied or downloaded whole; {_DOWNLOAD} again"
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return f"a tar archive: {_UNPACK}"
    if head[_ORT_AT : _ORT_AT + len(_ORT)] == _ORT:
        return f"a model in ONNX Runtime's own format (ORT): {_SOURCE}"
    return next((f"{what}: {advice}" for signature, what, advice in _SIGNATURES if head.startswith(signature)), None)


def root_of_xml(head: bytes) -> str | None:
    """The name of the outermost element, as far as the first bytes of a file go."""
    found = re.match(
        rb"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<([\w:.-]+)", head.lstrip(b"\xef\xbb\xbf"), re.S
    )
    return None if found is None else found[1].decode()


def version_of_ir(head: bytes) -> int | None:
    """The version that an OpenVINO IR states, as far as the first bytes of its file go."""
    found = re.search(rb"<net\s[^>]*\bversion=\"(\d+)\"", head)
    return None if found is None else int(found[1])


def _is_page(text: bytes) -> bool:
    start = text[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return True
    return start.startswith((b"<?xml", b"<!--")) and (root_of_xml(text) or "").lower() == "html"


def _is_safetensors(path: Path, head: bytes) -> bool:
    """A length in 8 bytes, then so many bytes of JSON, then numbers."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= path.stat().st_size - 8


def is_paddle_3(path: Path) -> bool:
    """Whether the file is the graph of a Paddle 3 model."""
    found = _read_json(path)
    code = found.get("base_code") if isinstance(found, dict) else None
    return isinstance(code, dict) and code.get("magic") == "pir"


def _describe_json(path: Path) -> str | None:
    """``None`` for ONNX in JSON and for what is no JSON after all."""
    if is_paddle_3(path):
        return f"{_PADDLE_3}: {_FROM_PADDLE_3}"
    found = _read_json(path)
    if found is None or (isinstance(found, dict) and "graph" in found):
        return None
    if isinstance(found, dict) and "modelTopology" in found:
        return f"a TensorFlow.js model (JSON): {_EXPORT}"
    return f"a JSON file, no model: {_NO_MODEL}"


def _read_json(path: Path) -> object:
    """``None`` where it is none, or too long to be anything but a model."""
    try:
        return None if path.stat().st_size > _JSON_BYTES_MAX else json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError):
        return None


def describe_archive(path: Path, suffixes: tuple[str, ...]) -> str | None:
    """What a zip file is that PyTorch did not write; ``None`` for one of its own.

    ``suffixes``: of models.

    Raises:
        zipfile.BadZipFile: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith(_OF_TORCH) or "/code/" in name for name in names):
        return None
    if any(name.endswith(".weights.h5") for name in names):
        return f"a Keras archive: {_KERAS}"
    if names and all(name.endswith(".npy") for name in names):
        return f"a zip archive of NumPy arrays: {_NO_MODEL}"
    models = [name for name in names if Path(name).suffix.lower() in suffixes or name.endswith("saved_model.pb")]
    if models:
        return f"a zip archive that holds {', '.join(models[:3])}: unpack it and name that file or folder"
    return f"a zip archive without a model in it: {_NO_MODEL}"
