"""Which camera pixels of a map are looked at, and what they say."""

from __future__ import annotations

import numpy as np
import pytest

from edge_ad.bundle.records import Geometry, MapSize, ModelInput, Resize, Roi, Tiles
from edge_ad.geometry import Preprocessor, map_in_camera_pixels
from edge_ad_export.fidelity.localisation import sample_pixels


@pytest.mark.parametrize("side", [30, 200], ids=["thinned", "every-pixel"])
@pytest.mark.parametrize(
    ("geometry", "ignored"),
    [
        pytest.param(Geometry(resize=Resize(width=32, height=32)), False, id="stretch"),
        pytest.param(Geometry(resize=Resize(width=32, height=32)), True, id="ignore-mask"),
        pytest.param(Geometry(resize=Resize(width=32, height=32, mode="letterbox")), False, id="letterbox"),
        pytest.param(Geometry(resize=Resize(width=32, height=32, mode="center_crop")), False, id="center-crop"),
        pytest.param(
            Geometry(resize=Resize(width=64, height=48), tiles=Tiles(overlap=8)), False, id="tiles"
        ),
        pytest.param(
            Geometry(roi=Roi(x=11, y=5, width=70, height=44), resize=Resize(width=32, height=32)), False, id="roi"
        ),
    ],
)  # fmt: skip
def test_pixels_are_those_of_the_map_in_camera_pixels(geometry: Geometry, ignored: bool, side: int) -> None:
    frame = np.zeros((60, 90, 3), np.uint8)
    mask = np.zeros((60, 90), np.uint8)
    mask[:20] = 255
    preprocessor = Preprocessor(
        geometry, ModelInput(width=32, height=32, channels=3), mask if ignored else None,
        map_size=MapSize(width=16, height=16),
    )  # fmt: skip
    layout = preprocessor.layout(frame)
    anomaly_map = np.random.default_rng(0).random((layout.y.map_length, layout.x.map_length), np.float32)
    valid = preprocessor.valid(frame)
    anomaly_map = anomaly_map if valid is None else np.where(valid, anomaly_map, np.float32(-np.inf))
    defect = np.zeros((60, 90), bool)
    defect[25:45, 30:70] = True

    found = sample_pixels(anomaly_map, defect, layout, side, "dent")

    region = np.s_[:: max(90 // side, 1), :: max(90 // side, 1)]
    np.testing.assert_allclose(found.anomaly_map, map_in_camera_pixels(anomaly_map, layout)[region], atol=1e-4)
    np.testing.assert_array_equal(found.mask, defect[region])
    assert found.type == "dent"
