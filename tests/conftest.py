"""Fixtures for all tests: the shared data where they are, and tiny real bundles."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything is imported that reads them once. Worker and child processes inherit them.
os.environ |= {
    # Several tests run at once: a linear algebra library that takes every core in each of them slows them all.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # OpenCV writes some pictures by way of a file in /tmp, and heeds no TMPDIR.
    "OPENCV_TEMP_PATH": tempfile.gettempdir(),
    # Help texts are wrapped to the terminal.
    "COLUMNS": "80",
}

import cv2
import numpy as np
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from support import tiny

settings.register_profile("fixed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", settings.get_profile("fixed"), derandomize=False, print_blob=True)
settings.load_profile("fixed")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """What a test, a thread of it or a library does to the levels of logs ends with the test."""
    before = logging.root.level, logging.root.manager.disable
    ours = _our_loggers()
    levels = {one: one.level for one in ours}
    for one in ours:
        one.disabled, one.propagate = False, True
    yield
    logging.root.setLevel(before[0])
    logging.disable(before[1])
    for one in _our_loggers():
        one.setLevel(levels.get(one, logging.NOTSET))


@pytest.fixture(autouse=True)
def _rounding_as_it_was() -> Iterator[None]:
    """A test whose engine flushes denormal numbers runs it in a thread of its own: other tests count on them."""
    yield
    smallest = float.fromhex("0x1p-1074")
    assert smallest + 0.0 > 0, "this test left its thread without denormal numbers"


def _our_loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.items()
    return [one for name, one in known if name.startswith("edge_ad") and isinstance(one, logging.Logger)]


def pytest_configure(config: pytest.Config) -> None:
    """A home of this run: no test reads or writes the user's, nor needs one."""
    if hasattr(config, "workerinput"):
        return
    home = Path(tempfile.mkdtemp(prefix="edge-ad-tests-home-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "MPLCONFIGDIR": str(home / "matplotlib")}


def pytest_collection_finish() -> None:
    """What the imports made stays to the end: a collection of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and real trained models."""
    if not (SHARED / "models" / "README.md").is_file():
        pytest.skip("the shared images and models are not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def _tiny_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture
def tiny_bundle(_tiny_master: Path, tmp_path: Path) -> Path:
    """An uncalibrated bundle of its own for each test: variants onnx-fp32 (default) and openvino-fp32.

    Input 32x32x3; the score is the brightest of 8x8 blocks, 0..1; the map has one cell a block.
    """
    return Path(shutil.copytree(_tiny_master, tmp_path / "tiny"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrations of this process write a picture of one pixel: drawing their curve takes longer than all the rest.

    What is drawn is tested in tests/calibration/pages, and that it is, in tests/calibration/cli/test_calibrate_cli.py.
    """
    pixel = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    monkeypatch.setattr("edge_ad_calibration.pages.publishing.draw_calibration", lambda *_: pixel)


@pytest.fixture
def frames() -> list[NDArray[np.uint8]]:
    """Sixty dim frames of 48x64 pixels, all different."""
    return tiny.frames(60)
