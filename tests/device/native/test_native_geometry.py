"""The resizing in C against that of the runtime, which is OpenCV's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.c_programs import BUILDS
from support.c_programs import build as compile_program
from support.native_programs import NATIVE

from edge_ad.geometry.resample import Resampler

SIDES = st.integers(1, 70)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [Path(__file__).with_name("geometry_main.c"), NATIVE / "native_geometry.c"]
    return compile_program(tmp_path_factory.mktemp("c") / "geometry", sources, [*BUILDS["sanitized"], f"-I{NATIVE}"])


def by_c(
    program: Path, frame: NDArray[np.uint8], region: tuple[int, int, int, int], kernel: str, size: tuple[int, int]
) -> NDArray[np.uint8]:
    height, width, channels = frame.shape
    numbers = map(str, (width, height, channels, *region, kernel, *size))
    done = subprocess.run([str(program), *numbers], input=frame.tobytes(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.uint8).reshape(size[1], size[0], channels)


def by_opencv(
    frame: NDArray[np.uint8], region: tuple[int, int, int, int], kernel: str, size: tuple[int, int]
) -> NDArray[np.uint8]:
    x, y, width, height = region
    cut = frame[y : y + height, x : x + width]
    out = np.empty((size[1], size[0], frame.shape[2]), np.uint8)
    gray = frame.shape[2] == 1
    Resampler((width, height), size, frame.shape[2], kernel)(
        cut[:, :, 0] if gray else cut, out[:, :, 0] if gray else out
    )
    return out


def noise(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("kernel", ["area", "linear"])
@pytest.mark.parametrize(
    ("frame", "region", "size"),
    [
        pytest.param((640, 480), (0, 0, 640, 480), (320, 240), id="halved"),
        pytest.param((1920, 1080), (0, 0, 1920, 1080), (256, 256), id="halved-then-shrunk"),
        pytest.param((1280, 1024), (101, 53, 1001, 905), (256, 256), id="odd-region"),
        pytest.param((96, 99), (0, 0, 96, 99), (32, 33), id="whole-factor"),
        pytest.param((50, 40), (0, 0, 50, 40), (128, 96), id="enlarged"),
        pytest.param((300, 40), (0, 0, 300, 40), (128, 96), id="shrunk-and-enlarged"),
        pytest.param((64, 64), (7, 9, 32, 32), (32, 32), id="cut-alone"),
        pytest.param((1, 1), (0, 0, 1, 1), (5, 3), id="one-pixel"),
    ],
)
def test_known_sizes(
    program: Path, frame: tuple[int, int], region: tuple[int, int, int, int], size: tuple[int, int], kernel: str
) -> None:
    pixels = noise(*frame, 3)
    found = by_c(program, pixels, region, kernel, size).astype(int)
    assert np.abs(found - by_opencv(pixels, region, kernel, size)).max() <= 1


@settings(max_examples=60)
@given(
    cut=st.tuples(SIDES, SIDES),
    more=st.tuples(*[st.integers(0, 5)] * 4),
    size=st.tuples(SIDES, SIDES),
    channels=st.sampled_from([1, 3]),
    kernel=st.sampled_from(["area", "linear"]),
)
def test_any_size(
    program: Path,
    cut: tuple[int, int],
    more: tuple[int, int, int, int],
    size: tuple[int, int],
    channels: int,
    kernel: str,
) -> None:
    left, top, right, bottom = more
    pixels = noise(left + cut[0] + right, top + cut[1] + bottom, channels)
    region = (left, top, *cut)
    found = by_c(program, pixels, region, kernel, size).astype(int)
    assert np.abs(found - by_opencv(pixels, region, kernel, size)).max() <= 1
