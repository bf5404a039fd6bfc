"""However many images there are, only a few are in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

IMAGES = 20_000
FEW = 10_000
ALLOWED_KIB = 4_096

SCRIPT = """
import re, sys
from pathlib import Path
from edge_ad_calibration.scoring import MapJournal, ScoreJob, ScorePlan, ScoredImage, score_images
images = sorted(Path(sys.argv[2]).iterdir(), key=str)[:: int(sys.argv[4])]  # a path keeps its text once made
plan = ScorePlan(cache=Path(sys.argv[3]))
with MapJournal(plan.cache) as journal:
    for outcome in score_images(images, ScoreJob(bundle=Path(sys.argv[1]), maps=True), plan, journal=journal):
        assert isinstance(outcome, ScoredImage)
        journal.add(outcome)
# Not ru_maxrss: a process inherits that from its parent.
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_the_peak_of_memory_does_not_grow_with_the_number_of_images(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 8 * 8 * 3), np.uint8)
    for index, image in enumerate(pixels):
        (folder / f"{index}.ppm").write_bytes(b"P6 8 8 255\n" + image.tobytes())
    few, all_of_them = (_peak_kib(tiny_bundle, folder, tmp_path / f"cache{n}", n) for n in (IMAGES // FEW, 1))
    assert all_of_them - few < ALLOWED_KIB


def _peak_kib(bundle: Path, folder: Path, cache: Path, every: int) -> int:
    command = [sys.executable, "-c", SCRIPT, *map(str, (bundle, folder, cache, every))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
