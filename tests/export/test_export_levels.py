"""Frame, patch or object: what ``edge-ad export`` makes of --level and --grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import export_models, tiny
from support.export_models import SIDE, Tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad import Box, Detector, State
from edge_ad.bundle.records import FrameSize, Geometry, ModelInput, Resize, Roi, Tiles
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad.geometry import Preprocessor
from edge_ad_export import GeometryOptions, Size
from edge_ad_export.samples.geometry import TileGrid, build_geometry, frame_size

MODEL = ModelInput(width=32, height=16, channels=3)
SIZES = frozenset({Size(64, 48), Size(60, 48)})
ROI = Roi(x=4, y=0, width=50, height=40)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return export_models.write(tmp_path, Tiny(tail="clip", opset=14))


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_grid_is_a_canvas_of_tiles_side_by_side() -> None:
    built = build_geometry(GeometryOptions(grid=TileGrid(3, 2), roi=ROI), MODEL, Size(64, 48))
    assert built == Geometry(
        frame=FrameSize(width=64, height=48), roi=ROI, resize=Resize(width=96, height=32), tiles=Tiles(overlap=0)
    )
    spelt = GeometryOptions(tiles=True, canvas=Size(96, 32), roi=ROI)
    assert build_geometry(spelt, MODEL, Size(64, 48)) == built


def test_every_cell_of_a_grid_is_what_it_would_be_alone() -> None:
    """Where the region divides evenly, and its pixels are averaged, a cell sees nothing of its neighbours."""
    frame = np.random.default_rng(3).integers(0, 255, (64, 192, 3), np.uint8)
    grid = Preprocessor(build_geometry(GeometryOptions(grid=TileGrid(3, 2)), MODEL, Size(192, 64)), MODEL)
    alone = Preprocessor(build_geometry(GeometryOptions(), MODEL, None), MODEL)
    cells, cell = np.zeros((16, 32, 3), np.uint8), np.zeros((16, 32, 3), np.uint8)
    seen = [cells.copy() for _ in grid.tiles(frame, cells)]
    assert len(seen) == 6
    for index, found in enumerate(seen):
        row, column = divmod(index, 3)
        next(alone.tiles(frame[32 * row : 32 * (row + 1), 64 * column : 64 * (column + 1)], cell))
        np.testing.assert_array_equal(found, cell)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"tiles": True}, "leave out --tiles, --canvas and --tile-overlap", id="tiles"),
        pytest.param({"canvas": Size(96, 32)}, "leave out --tiles, --canvas", id="canvas"),
        pytest.param({"tile_overlap": 4}, "leave out --tiles, --canvas", id="overlap"),
        pytest.param({"mode": "letterbox"}, "leave out --resize", id="letterbox"),
    ],
)
def test_a_grid_bears_nothing_beside_it(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_geometry(GeometryOptions(grid=TileGrid(3, 2), **options), MODEL, Size(64, 48))


@pytest.mark.parametrize("sizes", [pytest.param(SIZES, id="several"), pytest.param(frozenset({Size(9, 9)}), id="one")])
def test_objects_are_of_any_size(sizes: frozenset[Size]) -> None:
    options = GeometryOptions(level="object", mode="letterbox")
    assert frame_size(options, sizes) is None
    built = build_geometry(options, MODEL, None)
    assert built == Geometry(resize=Resize(width=32, height=16, mode="letterbox"), level="object")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"roi": ROI}, "--roi is given in camera pixels", id="roi"),
        pytest.param({"ignore_mask": Path("mask.png")}, "--ignore-mask is given", id="mask"),
        pytest.param({"frame": Size(64, 48)}, "--frame-size is given", id="frame-size"),
    ],
)
def test_objects_have_no_fixed_place(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        frame_size(GeometryOptions(level="object", **options), SIZES)


def test_tiles_of_objects_need_a_canvas() -> None:
    with pytest.raises(InputError, match="objects come in any size: say with --canvas"):
        build_geometry(GeometryOptions(level="object", tiles=True), MODEL, None)


def test_crops_become_a_bundle_of_objects(tmp_path: Path, model: Path) -> None:
    crops = export_models.parts(6)
    crops[2], crops[4] = crops[2][:30, :50], crops[4][5:, 9:]
    normals = tiny.write_images(tmp_path / "crops", crops)
    done = edge_ad(
        "export", model, "--images", normals, "-o", tmp_path / "b", "--variants", "onnx-fp32", "--level", "object"
    )
    assert done.exit_code == 0, done.output
    assert "every image is taken for one object" in done.stderr
    assert "--normal FOLDER --objects FILE.csv" in done.stdout
    geometry = json.loads((tmp_path / "b/manifest.json").read_bytes())["geometry"]
    assert (geometry["level"], geometry["frame"], geometry["roi"]) == ("object", None, None)
    with Detector.open(tmp_path / "b") as detector:
        frame = np.zeros((100, 120, 3), np.uint8)
        frame[20:50, 60:110] = crops[2]
        verdict = detector.score(frame, objects=[Box(60, 20, 50, 30)])
        alone = detector.scorer.measure(crops[2].copy())
    assert verdict.state is State.INVALID  # not calibrated
    assert verdict.score == alone.score


def test_a_grid_reaches_the_bundle(tmp_path: Path, model: Path) -> None:
    normals = tiny.write_images(tmp_path / "normals", export_models.parts(6))
    done = edge_ad(
        "export", model, "--images", normals, "-o", tmp_path / "b", "--variants", "onnx-fp32", "--grid", "2x1"
    )
    assert done.exit_code == 0, done.output
    geometry = json.loads((tmp_path / "b/manifest.json").read_bytes())["geometry"]
    assert (geometry["resize"]["width"], geometry["resize"]["height"]) == (2 * SIDE, SIDE)
    assert geometry["tiles"] == {"overlap": 0}


@pytest.mark.parametrize("grid", ["3", "0x2", "3x2x1", "axb", "33x1"])
def test_a_wrong_grid_is_told(tmp_path: Path, model: Path, grid: str) -> None:
    done = edge_ad("export", model, "--images", tmp_path, "-o", tmp_path / "b", "--grid", grid)
    assert done.exit_code == 2
    assert "expected COLUMNSxROWS" in done.output


DOCS = (DOCS_FOLDER / "export.md").read_text()


@pytest.mark.parametrize("option", ["--level", "--grid", "--tiles", "--canvas", "--tile-overlap", "--roi"])
def test_the_options_stand_in_the_docs(option: str) -> None:
    assert f"`{option}" in DOCS
