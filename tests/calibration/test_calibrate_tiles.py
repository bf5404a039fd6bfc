"""Real tiles, a real model: what was promised on the calibration's tiles, and what became of it on others."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.stats import binom

from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad_calibration import CalibrationRequest, calibrate_bundle
from edge_ad_calibration.normals.exclusions import Selection
from edge_ad_calibration.normals.measured import collect_normals, measure_normals
from edge_ad_calibration.normals.parts import parse_part_by
from edge_ad_calibration.normals.selection import ALL, list_normals
from edge_ad_calibration.scoring import ScoreJob, ScorePlan, no_progress, open_job

pytestmark = pytest.mark.usefixtures("undrawn")

CHANCE = 1e-3


@pytest.fixture(scope="module")
def bundle(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """PatchCore on magnetic tiles, as it leaves export."""
    target = tmp_path_factory.mktemp("tiles") / "tiles"
    model, images = shared / "models/magnetic_tile/patchcore.onnx", shared / "data/magnetic_tile/train/good"
    asked = [model, "--images", images, "-o", target, "--variants", "onnx-fp32", "--max-images", 10]
    result = CliRunner().invoke(main, ["export", *map(str, asked)])
    assert result.exit_code == 0, result.output
    return Bundle.open(target)


@pytest.fixture(scope="module")
def test_scores(bundle: Bundle, shared: Path) -> NDArray[np.float64]:
    """Of the normals in the test role, whose tiles are in no other role."""
    tiles = shared / "data/magnetic_tile"
    chosen = list_normals([f"{tiles / 'groups.csv'}:group_disjoint_role=test"])
    normals = [path for path in chosen if path.parent.name == "good"]
    job = ScoreJob(bundle=bundle.path)
    with closing(open_job(job)) as opened:
        return collect_normals(measure_normals(normals, opened, ScorePlan(), ALL, no_progress)).scores


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("alpha", [pytest.param(0.05, id="5 %"), pytest.param(0.02, id="2 %")])
def test_no_more_tiles_are_rejected_than_promised(
    bundle: Bundle, test_scores: NDArray[np.float64], shared: Path, alpha: float
) -> None:
    source = f"{shared / 'data/magnetic_tile/groups.csv'}:group_disjoint_role=calibration"
    result = calibrate_bundle(bundle, [source], CalibrationRequest(alpha=alpha))
    assert result.image.n == 240
    assert test_scores.size == 137
    assert np.sum(test_scores > result.image.threshold) <= binom.isf(CHANCE, test_scores.size, alpha)


@pytest.mark.slow
@pytest.mark.shared
def test_tiles_of_one_group_count_once(bundle: Bundle, shared: Path) -> None:
    table = shared / "data/magnetic_tile/groups.csv"
    selection = Selection(part_by=parse_part_by(f"{table}:group"))
    request = CalibrationRequest(alpha=0.1, selection=selection)
    result = calibrate_bundle(bundle, [f"{table}:group_disjoint_role=calibration"], request)
    assert (result.observation, result.frames, result.image.n) == ("part", 240, 42)
    assert "At most 10 % of normal parts are rejected" in result.image_guarantee
