"""The program in docs/bundle.md gives the score of the runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.paths import DOCS

from edge_ad import Detector


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(300, 400, id="halved-twice-then-shrunk"),
        pytest.param(75, 101, id="odd-sides"),
        pytest.param(32, 32, id="the-size-of-the-input"),
    ],
)
def test_the_program_gives_the_score_of_the_runtime(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "part.png"), frame)
    tiny_bundle.rename(tmp_path / "bundle")
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "bundle.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(program, names)  # noqa: S102
    with Detector.open(tmp_path / "bundle", variant="onnx-fp32") as detector:
        assert float(names["score"]) == detector.score(frame).score
