"""Geometry in the reading threads: what the engine is handed there gives what the device measures, to the last bit."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle.records import FrameSize, Geometry, ModelInput, Resize, Roi, Tiles
from edge_ad.drift import frame_statistics
from edge_ad.engines import Artefact, EngineOptions, open_engine
from edge_ad.geometry import PreparedFrame, Preprocessor
from edge_ad.geometry.mapping import area_peak
from edge_ad.scoring.scorer import Scorer
from edge_ad_calibration.scoring import ScoredImage
from edge_ad_calibration.scoring.measure import Want, score_with

HEIGHT, WIDTH = 45, 67
MIN_AREA_PX = 150
IGNORED = np.zeros((HEIGHT, WIDTH), np.uint8)
IGNORED[:20, 30:] = 255

WHOLE_CELLS = Roi(x=2, y=4, width=64, height=40)

stretch = Resize(width=tiny.SIZE, height=tiny.SIZE)
letterbox = Resize(width=tiny.SIZE, height=tiny.SIZE, mode="letterbox", fill=114)
center_crop = Resize(width=tiny.SIZE, height=tiny.SIZE, mode="center_crop")
linear = Resize(width=tiny.SIZE, height=tiny.SIZE, kernel="linear")
canvas = Resize(width=56, height=40, mode="letterbox", fill=9)

GEOMETRIES = [
    pytest.param(Geometry(resize=stretch), None, id="stretch"),
    pytest.param(Geometry(resize=letterbox), None, id="letterbox"),
    pytest.param(Geometry(resize=center_crop), None, id="center crop"),
    pytest.param(Geometry(resize=linear), None, id="linear"),
    pytest.param(Geometry(roi=Roi(x=3, y=5, width=40, height=33), resize=stretch), None, id="region of interest"),
    pytest.param(
        Geometry(roi=Roi(x=2, y=4, width=64, height=40), resize=None, tiles=Tiles(overlap=8)), None, id="tiles"
    ),
    pytest.param(Geometry(resize=canvas, tiles=Tiles(overlap=16)), None, id="tiles of a padded canvas"),
    pytest.param(Geometry(resize=stretch), IGNORED, id="ignore mask"),
    pytest.param(Geometry(resize=canvas, tiles=Tiles(overlap=16)), IGNORED, id="ignore mask over tiles"),
]


@pytest.fixture(scope="module", params=[3, 1], ids=["colour model", "gray model"])
def model(request: pytest.FixtureRequest) -> bytes:
    data: bytes = tiny.model(channels=request.param).SerializeToString()
    return data


def open_scorer(model: bytes, geometry: Geometry, mask: NDArray[np.uint8] | None) -> Scorer:
    engine = open_engine("onnxruntime", Artefact(model), EngineOptions())
    size = ModelInput(width=tiny.SIZE, height=tiny.SIZE, channels=engine.input.shape[-1])
    return Scorer(Preprocessor(geometry, size, mask, map_size=tiny.MAP), engine)


@pytest.mark.parametrize("channels", [pytest.param((3,), id="colour"), pytest.param((), id="gray")])
@pytest.mark.parametrize(("geometry", "mask"), GEOMETRIES)
def test_a_prepared_image_scores_as_on_the_device(
    model: bytes, geometry: Geometry, mask: NDArray[np.uint8] | None, channels: tuple[int, ...], tmp_path: Path
) -> None:
    frames = tiny.frames(6, shape=(HEIGHT, WIDTH, *channels))
    images = sorted(tiny.write_images(tmp_path / "images", frames).iterdir())
    device = open_scorer(model, geometry, mask)
    station = open_scorer(model, geometry, mask)
    outcomes = score_with(station, images, Want(map=True, min_area_px=MIN_AREA_PX), workers=2)
    for frame, found in zip(frames, outcomes, strict=True):
        assert isinstance(found, ScoredImage)
        expected = device.measure(frame)
        assert expected.map is not None
        assert found.map is not None
        assert found.score == expected.score
        np.testing.assert_array_equal(found.map, expected.map)
        assert found.peak == area_peak(expected.map, device.preprocessor.layout(frame), MIN_AREA_PX)
        assert device.canvas is not None
        assert found.statistics == frame_statistics(device.canvas)
        assert found.size == FrameSize(width=WIDTH, height=HEIGHT)
        np.testing.assert_array_equal(station.canvas, device.canvas)


def test_images_of_many_sizes_are_not_mixed_up(tmp_path: Path) -> None:
    shapes = [(20 + 7 * k, 90 - 5 * k, 3) for k in range(8)] * 3
    frames = [tiny.frames(1, shape=shape, seed=k)[0] for k, shape in enumerate(shapes)]
    images = sorted(tiny.write_images(tmp_path / "images", frames).iterdir())
    model = tiny.model().SerializeToString()
    device, station = (open_scorer(model, Geometry(resize=letterbox), None) for _ in range(2))
    found = [one.score for one in score_with(station, images, workers=4) if isinstance(one, ScoredImage)]
    assert found == [device.measure(frame).score for frame in frames]


def test_geometry_is_done_by_the_reading_threads(tmp_path: Path) -> None:
    images = sorted(tiny.write_images(tmp_path / "images", tiny.frames(8)).iterdir())
    seen = set()

    class Watched(Preprocessor):
        def prepare(self, frame: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> PreparedFrame:
            seen.add(threading.current_thread().name.rpartition("_")[0])
            return super().prepare(frame, out)

    class Station(Scorer):
        def preparer(self) -> Preprocessor:
            return Watched(self.preprocessor.geometry, tiny.INPUT, map_size=tiny.MAP)

    plain = open_scorer(tiny.model().SerializeToString(), Geometry(resize=stretch), None)
    assert len(list(score_with(Station(plain.preprocessor, plain.engine), images))) == 8
    assert seen == {"edge-ad reads"}
