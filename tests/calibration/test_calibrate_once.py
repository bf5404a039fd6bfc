"""A calibration opens the engine once and replays the golden frames once, whatever the normals are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import tiny, tiny_clips

from edge_ad import Bundle, engines
from edge_ad.bundle.records import Clip
from edge_ad.scoring import golden, opening
from edge_ad_calibration import CalibrationRequest, calibrate_bundle
from edge_ad_calibration.request import CalibrationOutputs

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often an engine was opened and golden frames were replayed; both are still done."""
    counted: Counter[str] = Counter()

    def open_engine(*arguments: Any, **options: Any) -> Any:
        counted["opened"] += 1
        return engines.open_engine(*arguments, **options)

    def replay(*arguments: Any) -> Any:
        counted["replayed"] += 1
        return golden.replay(*arguments)

    monkeypatch.setattr(opening, "open_engine", open_engine)
    monkeypatch.setattr(opening, "replay", replay)
    return counted


def calibrate(bundle: Path, sources: Sequence[Path], report: Path) -> int:
    outputs = CalibrationOutputs(report=report, sheet=report.with_suffix(".jpg"))
    request = CalibrationRequest(alpha=0.2, confidence=0.8, no_limits=("colour",), outputs=outputs)
    return calibrate_bundle(Bundle.open(bundle), sources, request).image.n


def test_for_images(tiny_bundle: Path, tmp_path: Path, calls: Counter[str]) -> None:
    normals = tiny.write_images(tmp_path / "normals", tiny.frames(20))
    assert calibrate(tiny_bundle, [normals], tmp_path / "page.html") == 20
    assert calls == {"opened": 1, "replayed": 1}


def test_for_images_and_videos(tiny_bundle: Path, tmp_path: Path, calls: Counter[str]) -> None:
    normals = tiny.write_images(tmp_path / "normals", tiny.frames(20))
    video = tiny_clips.write_video(tmp_path / "a.avi", tiny_clips.calm(10))
    assert calibrate(tiny_bundle, [normals, video], tmp_path / "page.html") == 30
    assert calls == {"opened": 1, "replayed": 1}


def test_for_several_clips(tmp_path: Path, calls: Counter[str]) -> None:
    bundle = tiny_clips.write_bundle(tmp_path / "clips", "predict", Clip(length=3, covers="last"))
    calls.clear()
    calm = tiny_clips.calm(60)
    parts = {"a.avi": calm[:20], "b.avi": calm[20:40], "c.avi": calm[40:]}
    videos = [tiny_clips.write_video(tmp_path / name, frames) for name, frames in parts.items()]
    # Each video begins anew: its first two frames have no score.
    assert calibrate(bundle, videos, tmp_path / "page.html") == 3 * (20 - 2)
    assert calls == {"opened": 1, "replayed": 1}
