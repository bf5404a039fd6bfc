"""From options and image sizes to the bundle's geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import tiny

from edge_ad.bundle.records import FrameSize, ModelInput, Resize, Roi, Tiles
from edge_ad.errors import FrameError, InputError
from edge_ad.geometry import Preprocessor
from edge_ad_export import GeometryOptions, Size
from edge_ad_export.samples.geometry import build_geometry, frame_size, read_mask
from edge_ad_export.samples.images import collect_pixels, select_images

MODEL = ModelInput(width=32, height=16, channels=3)
ONE = frozenset({Size(64, 48)})
TWO = frozenset({Size(64, 48), Size(60, 48)})
ROI = Roi(x=4, y=0, width=50, height=40)
MASK = Path("mask.png")


@pytest.mark.parametrize(
    ("options", "sizes", "expected"),
    [
        pytest.param({}, ONE, Size(64, 48), id="auto-one-size"),
        pytest.param({}, TWO, None, id="auto-several"),
        pytest.param({"frame": "any"}, ONE, None, id="any"),
        pytest.param({"frame": Size(64, 48)}, ONE, Size(64, 48), id="said"),
        pytest.param({"roi": ROI}, ONE, Size(64, 48), id="roi"),
    ],
)
def test_frame_size(options: dict[str, Any], sizes: frozenset[Size], expected: Size | None) -> None:
    assert frame_size(GeometryOptions(**options), sizes) == expected


@pytest.mark.parametrize(
    ("options", "sizes", "message"),
    [
        pytest.param(
            {"frame": Size(9, 9)}, ONE, "--frame-size asks for 9x9, but the images are 64x48", id="other-than-said"
        ),
        pytest.param({"roi": ROI}, TWO, "--roi .* 60x48 and 64x48", id="roi-of-several"),
        pytest.param({"ignore_mask": MASK}, TWO, "--ignore-mask .*one size", id="mask-of-several"),
        pytest.param({"roi": ROI, "frame": "any"}, ONE, "--roi ", id="roi-of-any"),
        pytest.param(
            {"roi": ROI}, frozenset(Size(n, 9) for n in range(10, 19)), "of 9 sizes, 10x9 to 18x9", id="many-sizes"
        ),
    ],
)
def test_frame_size_refuses(options: dict[str, Any], sizes: frozenset[Size], message: str) -> None:
    with pytest.raises(InputError, match=message):
        frame_size(GeometryOptions(**options), sizes)


@pytest.mark.parametrize(
    ("options", "resize", "tiles"),
    [
        pytest.param({}, Resize(width=32, height=16), None, id="stretch-to-the-model"),
        pytest.param(
            {"mode": "letterbox", "kernel": "linear"},
            Resize(width=32, height=16, mode="letterbox", kernel="linear"),
            None,
            id="letterbox",
        ),
        pytest.param({"tiles": True, "tile_overlap": 4}, None, Tiles(overlap=4), id="tiles-as-it-is"),
        pytest.param(
            {"tiles": True, "canvas": Size(64, 32)}, Resize(width=64, height=32), Tiles(), id="tiles-of-a-canvas"
        ),
    ],
)
def test_build_geometry(options: dict[str, Any], resize: Resize | None, tiles: Tiles | None) -> None:
    built = build_geometry(GeometryOptions(**options), MODEL, Size(64, 48))

    assert (built.resize, built.tiles, built.frame) == (resize, tiles, FrameSize(width=64, height=48))


@pytest.mark.parametrize(
    ("options", "frame", "message"),
    [
        pytest.param({"canvas": Size(64, 32)}, Size(64, 48), "add --tiles", id="canvas-without-tiles"),
        pytest.param({"tile_overlap": 2}, Size(64, 48), "add --tiles", id="overlap-without-tiles"),
        pytest.param({"tiles": True}, None, "several sizes: say with --canvas", id="tiles-of-several-sizes"),
    ],
)
def test_build_geometry_refuses(options: dict[str, Any], frame: Size | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_geometry(GeometryOptions(**options), MODEL, frame)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param((10, 10), "is 10x10 with 1 channel: expected a gray image of 64x48", id="other-size"),
        pytest.param((48, 64, 3), "with 3 channels", id="coloured"),
    ],
)
def test_mask_of_another_kind(tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.zeros(shape, np.uint8))

    with pytest.raises(InputError, match=message):
        read_mask(path, Size(64, 48))


def test_images_are_spaced_evenly(tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path / "normals", tiny.frames(10))

    chosen = select_images(folder, 4)

    assert [path.name for path in chosen.paths] == ["0000.png", "0002.png", "0005.png", "0007.png"]
    assert chosen.total == 10


def test_too_few_images(tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path / "normals", tiny.frames(2))

    with pytest.raises(InputError, match="holds 2 images: expected at least 3"):
        select_images(folder, 100)


def test_a_damaged_image_is_named_before_any_work(tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path / "normals", tiny.frames(5))
    (folder / "0003.png").write_bytes(b"no image")

    with pytest.raises(FrameError, match=r"0003\.png"):
        select_images(folder, 100).sizes()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(100, 12, id="all-tiles"),
        pytest.param(6, 6, id="two-an-image"),
        pytest.param(2, 2, id="fewer-than-images"),
    ],
)
def test_pixels_are_what_the_model_sees(tmp_path: Path, limit: int, expected: int) -> None:
    images = select_images(tiny.write_images(tmp_path / "normals", tiny.frames(3, shape=(32, 64, 3))), 3)
    preprocessor = Preprocessor(build_geometry(GeometryOptions(tiles=True), MODEL, Size(64, 32)), MODEL)

    pixels = collect_pixels(preprocessor, images, limit)

    assert len(pixels) == expected
    assert {part.shape for part in pixels} == {(1, 16, 32, 3)}
    np.testing.assert_array_equal(pixels[0][0], next(iter(images))[:16, :32])
