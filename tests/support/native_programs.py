"""Builds and runs the programs of firmware_notes/native, and makes bundles for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from support import tiny
from support.c_programs import BUILDS, check_sanitizers
from support.field_models import Net, weights
from support.paths import ROOT

__all__ = [
    "LEAKS",
    "NATIVE",
    "VARIANTS",
    "Said",
    "build",
    "conv_model",
    "fetched_headers",
    "make_recipe",
    "run",
    "write_frame",
]

NATIVE = ROOT / "firmware_notes" / "native"
VARIANTS = {"openvino": "openvino-fp32", "onnxruntime": "onnx-fp32"}
LEAKS = Path(__file__).with_name("native_leaks.txt")
_NO_DEEPBIND = Path(__file__).with_name("no_deepbind.c")


@dataclass(frozen=True)
class Said:
    """One line of a program."""

    state: str
    score: float
    rest: str


def build(engine: str, folder: Path, kind: str = "plain", headers: Path | None = None) -> Path:
    """The program, made with the Makefile of the notes; the test is skipped where something for that is missing."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    flags = check_sanitizers(folder / "probe", BUILDS[kind])
    if kind == "sanitized":
        flags = [*flags, "-rdynamic", str(_NO_DEEPBIND)]
    told = [f"OUT={folder}", f"PYTHON={sys.executable}", f"CFLAGS={' '.join(flags)}"]
    if engine == "onnxruntime":
        told.append(f"ORT_INCLUDE={headers or _headers()}")
    done = _run("make", "--silent", "-C", str(NATIVE), engine, *told)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / f"edge_ad_native_{engine}"


def fetched_headers(folder: Path) -> Path:
    """The headers of ONNX Runtime, fresh from npm; skipped where npm is missing or cannot be reached."""
    done = _run(str(NATIVE / "fetch_onnxruntime_headers.sh"), str(folder))
    if done.returncode in {2, 4}:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def make_recipe(bundle: Path, folder: Path, variant: str) -> Path:
    done = _run(sys.executable, str(NATIVE / "write_recipe.py"), str(bundle), str(folder), "--variant", variant)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "recipe.txt"


def write_frame(path: Path, frame: NDArray[Any]) -> Path:
    """PPM, or PGM for a gray frame; the ending is added."""
    full = path.with_suffix(".ppm" if frame.ndim == 3 else ".pgm")
    assert cv2.imwrite(str(full), frame)
    return full


def run(program: Path, recipe: Path, *frames: Path, code: int = 0) -> list[Said]:
    """What the program says of the frames. It ends with the exit code, and nothing on stderr."""
    done = _run(str(program), str(recipe), *map(str, frames))
    assert (done.returncode, done.stderr) == (code, "")
    fields = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return [Said(state, float(score), rest) for state, score, rest in fields]


def conv_model() -> onnx.ModelProto:
    """As :func:`tiny.model`, with three convolutions: bfloat16 would change its score. A black frame gives NaN."""
    net = Net()
    frame = net.op("Cast", net.input("frame", [1, tiny.SIZE, tiny.SIZE, 3], TensorProto.UINT8), to=TensorProto.FLOAT)
    image = net.op("Transpose", frame, perm=[0, 3, 1, 2])
    first = net.op("Relu", net.conv(net.op("Mul", image, net.constant(1 / 255)), weights(8, 3, 3, 3), stride=2))
    second = net.op("Relu", net.conv(first, weights(16, 8, 3, 3, seed=1), stride=2))
    third = net.op("Abs", net.conv(second, weights(1, 16, 3, 3, seed=2), stride=2))
    light = net.op("ReduceMax", image, keepdims=0)
    weighed = net.op("Mul", third, net.op("Div", light, light))
    net.op("Reshape", weighed, net.whole(1, tiny.CELLS, tiny.CELLS), out="map")
    net.op("Reshape", net.op("ReduceMax", "map", keepdims=0), net.whole(1), out="score")
    net.output("score", [1])
    net.output("map", [1, tiny.CELLS, tiny.CELLS])
    return net.proto()


def _headers() -> Path:
    folder = Path(os.environ.get("EDGE_AD_ORT_INCLUDE", ROOT / "build" / "onnxruntime-headers"))
    if not (folder / "onnxruntime_c_api.h").is_file():
        pytest.skip(f"{folder} has no headers of ONNX Runtime: run make onnxruntime-headers")
    return folder


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
