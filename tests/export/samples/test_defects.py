"""Synthetic defects: seeded, visible, local, and only where the model looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import export_models, tiny

from edge_ad.bundle.records import Geometry, MapSize, ModelInput, Resize, Roi
from edge_ad.geometry import Preprocessor
from edge_ad_export.samples.defects import KINDS, Kind, defects_for, draw_defect, perlin_noise

MODEL = ModelInput(width=32, height=32, channels=3)
MAP = MapSize(width=16, height=16)
RESIZE = Resize(width=32, height=32)


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(60, 160, shape, np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(48, 64, 3), (64, 48)], ids=["colour", "gray"])
def test_a_defect_shows_where_its_mask_is_and_nowhere_else(kind: Kind, shape: tuple[int, ...]) -> None:
    image = normal(shape)
    before = image.copy()

    found = draw_defect(kind, image, normal(shape, 1), np.ones(shape[:2], bool), np.random.default_rng(5))

    change = np.abs(found.image.astype(int) - image)
    change = change.max(axis=2) if change.ndim == 3 else change
    np.testing.assert_array_equal(image, before)
    assert found.image.dtype == np.uint8
    assert found.image.shape == shape
    assert 0 < found.mask.mean() < 0.5
    assert change[found.mask].min() >= 8
    assert change[~found.mask].max(initial=0) < 8


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(4, 90),
    width=st.integers(4, 90),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_any_size_and_seed_gives_an_image_changed_only_where_it_is_seen(
    kind: Kind, height: int, width: int, seed: int
) -> None:
    image = normal((height, width, 3))
    seen = np.zeros((height, width), bool)
    seen[height // 2 :] = True

    found = draw_defect(kind, image, normal((7, 9, 3)), seen, np.random.default_rng(seed))

    np.testing.assert_array_equal(found.image[~seen], image[~seen])


def test_perlin_noise_is_zero_on_its_grid_and_smooth() -> None:
    noise = perlin_noise(64, 128, 4, np.random.default_rng(0))

    assert noise.shape == (64, 128)
    assert np.abs(noise).max() <= 1
    assert np.abs(noise).max() > 0.1
    assert np.abs(noise[::32, ::32]).max() < 0.05
    assert np.abs(np.diff(noise, axis=1)).max() < 0.2


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "normals", export_models.parts(7)).iterdir())


def test_the_same_seed_gives_the_same_defects_and_another_one_others(paths: list[Path]) -> None:
    preprocessor = Preprocessor(Geometry(resize=RESIZE), MODEL)

    first, again, other = (list(defects_for(paths, preprocessor, seed)) for seed in (0, 0, 1))

    np.testing.assert_array_equal(first, again)
    assert [index for index, (a, b) in enumerate(zip(first, other, strict=True)) if np.array_equal(a, b)] == []


def test_one_defect_an_image_and_the_kinds_in_turn(paths: list[Path]) -> None:
    samples = defects_for(paths, Preprocessor(Geometry(resize=RESIZE), MODEL)).samples

    assert [sample.path for sample in samples] == paths
    assert [sample.kind for sample in samples] == [*KINDS, *KINDS, KINDS[0]]
    assert [sample for sample in samples if sample.path == sample.donor] == []


def test_defects_lie_in_the_region_of_interest_and_outside_the_ignore_mask(paths: list[Path]) -> None:
    ignored = np.zeros((48, 64), np.uint8)
    ignored[:, :16] = 255
    geometry = Geometry(roi=Roi(x=0, y=8, width=64, height=32), resize=RESIZE, ignore="geometry/ignore.png")
    defects = defects_for(paths, Preprocessor(geometry, MODEL, ignored, map_size=MAP))

    masks = np.stack([defects.draw(sample).mask for sample in defects.samples])

    assert masks.any(axis=(1, 2)).all()
    assert not masks[:, :8].any()
    assert not masks[:, 40:].any()
    assert not masks[:, :, :16].any()
