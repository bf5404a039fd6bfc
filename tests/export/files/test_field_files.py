"""Faults from the field, kind 7: files that are not what they seem."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.field_cli import Done, check_scores, edge_ad, export, exported
from support.field_models import c2_of, put, small_model, write_pictures

BINARY = small_model().proto().SerializeToString()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, BINARY if name.endswith(".onnx") else b"{}")
    return stream.getvalue()


def tar(name: str, mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as file:  # type: ignore[call-overload]
        entry = tarfile.TarInfo(name)
        entry.size = len(BINARY)
        file.addfile(entry, io.BytesIO(BINARY))
    return stream.getvalue()


PIR = json.dumps({"base_code": {"magic": "pir", "trainable": False, "version": 1}, "program": {"regions": []}}).encode()
KERAS = archive("config.json", "metadata.json", "model.weights.h5")
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(512)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>404</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12345\n"
SAFETENSORS = (
    (70).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(70) + bytes(4)
)
NOT_READ = "Wire format was corrupt"


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        pytest.param("m.keras", KERAS, "Keras", id="keras-archive"),
        pytest.param("m.onnx", KERAS, "Keras", id="keras-archive-as-onnx"),
        pytest.param(
            "m.zip",
            archive("config.json", "metadata.json", "model.weights.h5", "assets/x"),
            "Keras",
            id="keras-archive-as-zip",
        ),
        pytest.param(
            "m.zip",
            archive("model.onnx"),
            "model.onnx",
            id="zip-that-holds-a-model",
        ),
        pytest.param(
            "m.onnx",
            archive("export/weights/model.onnx", "readme.txt"),
            "model.onnx",
            id="zip-that-holds-a-model-deep-inside",
        ),
        pytest.param(
            "m.pt",
            archive("a.txt", "b.txt"),
            "zip|archive",
            id="zip-of-anything",
        ),
        pytest.param("m.h5", HDF5, "HDF5", id="hdf5"),
        pytest.param("m.onnx", HDF5, "HDF5", id="hdf5-as-onnx"),
        pytest.param("m.onnx", PAGE, "HTML|web page", id="web-page"),
        pytest.param(
            "m.onnx",
            b"\n  <html lang='en'>\n<body></body></html>",
            "HTML|web page",
            id="web-page-indented",
        ),
        pytest.param(
            "m.xml",
            b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0'>\n<html></html>",
            "HTML|web page",
            id="web-page-as-xml",
        ),
        pytest.param("m.onnx", POINTER, "git lfs pull", id="git-lfs-pointer"),
        pytest.param(
            "m.tflite",
            POINTER,
            "git lfs pull",
            id="git-lfs-pointer-as-tflite",
        ),
        pytest.param(
            "m.xml",
            POINTER,
            "git lfs pull",
            id="git-lfs-pointer-as-xml",
        ),
        pytest.param(
            "m.pt",
            POINTER.replace(b"\n", b"\r\n"),
            "git lfs pull",
            id="git-lfs-pointer-with-crlf",
        ),
        pytest.param("m.onnx", tar("model.onnx", "w:gz"), "gzip", id="gzip"),
        pytest.param("m.onnx", tar("model.onnx", "w"), "tar", id="tar"),
        pytest.param("m.onnx", SAFETENSORS, "safetensors", id="safetensors"),
        pytest.param("m.onnx", b"GGUF\x03\x00\x00\x00" + bytes(64), "GGUF", id="gguf"),
        pytest.param(
            "m.onnx",
            b"\x89PNG\r\n\x1a\n" + bytes(64),
            "PNG|picture|image",
            id="a-picture",
        ),
        pytest.param(
            "m.onnx",
            b"\x93NUMPY\x01\x00" + bytes(64),
            "NumPy|array",
            id="an-array",
        ),
        pytest.param("m.onnx", b"", "empty", id="empty"),
        pytest.param("m.onnx", bytes(1000), "zeros", id="zeros"),
        pytest.param("m.onnx", b"\x1c\0\0\0ORTM" + bytes(64), "ONNX Runtime's own format", id="ort"),
        pytest.param("m.ort", b"\x1c\0\0\0ORTM" + bytes(64), "ONNX Runtime's own format", id="ort-by-name"),
        pytest.param("m.mlmodel", b"\x08\x05\x12\x10" + bytes(64), "Core ML", id="core-ml"),
        pytest.param("m.mnn", b"\x20\x00\x00\x00" + bytes(64), "MNN", id="mnn"),
        pytest.param("m.param", b"7767517\n75 83\nInput data 0 1\n", "ncnn", id="ncnn"),
        pytest.param("m.weights", b"\0\0\0\0\2\0\0\0" + bytes(64), "Darknet", id="darknet"),
        pytest.param("m.py", b"import torch\n", "text file", id="a-program"),
        pytest.param("config.pbtxt", b'name: "m"\nplatform: "onnxruntime_onnx"\n', "text file", id="triton"),
        pytest.param(
            "m.xml", b'<?xml version="1.0" ?>\n<net name="x" version="6" batch="1"></net>', "version 6", id="old-ir"
        ),
        pytest.param(
            "m.onnx",
            b'{"message": "Not Found", "status": 404}',
            "JSON",
            id="json",
        ),
    ],
)
def test_what_the_file_is_is_said(tmp_path: Path, images: Path, name: str, data: bytes, what: str) -> None:
    done = export(put(tmp_path / "given" / name, data), images, tmp_path / "out" / "b")
    assert done.refused(name, unless="--trust-pickle")
    assert re.search(what, done.lines[0]), done.lines[0]
    assert NOT_READ not in done.lines[0]


@pytest.mark.parametrize(
    ("given_as", "names"),
    [
        pytest.param(
            "inference.json",
            ("inference.json", "inference.pdiparams", "inference.yml"),
            id="file",
        ),
        pytest.param(".", ("inference.json", "inference.pdiparams", "inference.yml"), id="folder"),
        pytest.param(
            "inference.pdiparams",
            ("inference.json", "inference.pdiparams"),
            id="weights",
        ),
        pytest.param(
            "stfpm.json",
            ("stfpm.json", "stfpm.pdiparams"),
            id="another-name",
        ),
        pytest.param(
            ".",
            ("model.json", "model.pdiparams", "config.json"),
            id="folder-another-name",
        ),
    ],
)
def test_the_format_of_paddle_3_is_named(tmp_path: Path, images: Path, given_as: str, names: tuple[str, ...]) -> None:
    for name in names:
        put(tmp_path / "paddle" / name, {".json": PIR, ".yml": b"Global: {}\n"}.get(Path(name).suffix, bytes(64)))
    put(tmp_path / "paddle" / "config.json", b"{}") if "config.json" in names else None
    done = export(tmp_path / "paddle" / given_as, images, tmp_path / "out" / "b")
    assert done.refused("Paddle 3")
    assert re.search(r"paddle2onnx|export|PaddlePaddle 2|convert", done.lines[0])


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param(".textproto", id="textproto"),
        pytest.param(".onnxtxt", id="onnxtxt"),
        pytest.param(".txtpb", id="txtpb"),
        pytest.param(".pbtxt", id="pbtxt"),
        pytest.param(".json", id="json"),
        pytest.param(".onnxjson", id="onnxjson"),
        pytest.param(".prototxt", id="prototxt"),
        pytest.param(".onnx", id="onnx"),
        pytest.param(".pb", id="pb"),
    ],
)
def test_json_under_the_name_of_a_model_is_a_line(tmp_path: Path, images: Path, suffix: str) -> None:
    done = export(put(tmp_path / f"m{suffix}", b'{"a": [1, 2, {"b": null}]}'), images, tmp_path / "out" / "b")
    assert done.refused(f"m{suffix}")


ANY_BYTES = st.binary(max_size=200) | st.text(max_size=80).map(str.encode)


def tried_with_any_bytes(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """With four contents that look like a model, and with so many others."""

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        for data in (b'{"ir_version": 9}', b'ir_version: 9\ngraph { name: "x" }\n', b"\x08\x09", b"\xff\xfe\x00"):
            test = example(data=data)(test)
        return settings(
            max_examples=examples,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )(given(data=ANY_BYTES)(test))

    return decorated


def check_refused(folder: Path, suffix: str, data: bytes) -> None:
    model = put(folder / f"m{suffix}", data)
    done = edge_ad("export", model, "--images", folder, "-o", folder / "out" / "b")
    assert done.refused()
    assert not (folder / "out").exists()


@pytest.mark.parametrize("suffix", [".textproto", ".onnxtxt", ".onnxjson", ".onnx", ".xml", ".pt2"])
@tried_with_any_bytes(15)
def test_no_bytes_under_the_name_of_a_model_end_in_a_traceback(tmp_path: Path, suffix: str, data: bytes) -> None:
    check_refused(tmp_path, suffix, data)


@pytest.mark.parametrize("suffix", [".tflite", ".pdmodel"])
@tried_with_any_bytes(1)
def test_no_bytes_that_a_child_process_reads_end_in_a_traceback(tmp_path: Path, suffix: str, data: bytes) -> None:
    """Each example costs a process."""
    check_refused(tmp_path, suffix, data)


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param(".textproto", id="textproto"),
        pytest.param(".onnxtxt", id="onnxtxt"),
        pytest.param(".txtpb", id="txtpb"),
    ],
)
def test_a_model_written_as_text_is_read(tmp_path: Path, images: Path, suffix: str) -> None:
    text = text_format.MessageToString(small_model().proto())
    model = put(tmp_path / f"m{suffix}", text.encode())
    check_scores(exported(model, images, tmp_path / "out" / "b"), lambda pixels: np.abs(c2_of(pixels)))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("model.pb", id="model.pb"),
        pytest.param("model.onnx.pb", id="model.onnx.pb"),
        pytest.param("model.bin", id="model.bin"),
        pytest.param("model.tflite", id="model.tflite"),
        pytest.param("model.xml", id="model.xml"),
        pytest.param("model.pdmodel", id="model.pdmodel"),
        pytest.param("model.pt2", id="model.pt2"),
        pytest.param("model", id="model"),
        pytest.param("model.dat", id="model.dat"),
        pytest.param("MODEL.ONNX", id="MODEL.ONNX"),
        pytest.param("model.textproto", id="model.textproto"),
    ],
)
def test_an_onnx_file_is_known_by_its_contents(tmp_path: Path, images: Path, name: str) -> None:
    model = put(tmp_path / "given" / name, BINARY)
    check_scores(exported(model, images, tmp_path / "out" / "b"), lambda pixels: np.abs(c2_of(pixels)))


def test_done_is_what_the_command_line_gave(tmp_path: Path) -> None:
    done: Done = edge_ad("export", tmp_path / "no.onnx", "--images", tmp_path, "-o", tmp_path / "b")
    assert done.refused("does not exist")
