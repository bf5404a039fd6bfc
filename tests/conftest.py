"""Fixtures for all tests: the shared data where they are, and tiny real bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
    import shutil

    return Path(shutil.copytree(_tiny_master, tmp_path / "tiny"))


@pytest.fixture
def frames() -> list[NDArray[np.uint8]]:
    """Sixty dim frames of 48x64 pixels, all different."""
    return tiny.frames(60)
