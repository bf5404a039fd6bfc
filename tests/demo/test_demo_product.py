"""The rendered product line: reproducible, and its masks are where its defects are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad_demo.line.defects import Kind, Surface, spoil
from edge_ad_demo.line.plate import HEIGHT, WIDTH, Plate, draw_plate
from edge_ad_demo.line.product import Product, Split

KINDS = [pytest.param(kind, id=kind.value) for kind in Kind]
# A drop's shading and a blurred edge reach a little beyond the defect itself.
REACH_PX = 15


@pytest.fixture(scope="module")
def product() -> Product:
    return Product(seed=3)


@pytest.fixture(scope="module")
def plate() -> Plate:
    return draw_plate()


def bare(plate: Plate) -> Surface:
    return Surface(
        plate=plate,
        metal=np.full((3, HEIGHT, WIDTH), 0.6, np.float32),
        ink=plate.ink.copy(),
        mask=np.zeros((HEIGHT, WIDTH), np.float32),
    )


def test_a_frame_is_what_a_camera_gives(product: Product) -> None:
    frame = product.normal(0)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8
    # Neither black nor burnt out, with contrast between plate and belt.
    assert frame[20:40, 20:40].mean() < 60
    assert 120 < frame[120:360, 300:310].mean() < 230


def test_the_same_frame_comes_in_any_order_from_any_product_of_the_seed(product: Product) -> None:
    other = Product(seed=3)
    other.defect(Kind.STAIN, 1)
    np.testing.assert_array_equal(other.normal(5), product.normal(5))
    np.testing.assert_array_equal(other.defect(Kind.BLOB, 2).image, product.defect(Kind.BLOB, 2).image)


def test_no_two_parts_are_the_same(product: Product) -> None:
    frames = [product.normal(0), product.normal(1), product.normal(0, Split.TRAIN), Product(seed=4).normal(0)]
    assert len({frame.tobytes() for frame in frames}) == len(frames)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_marks_a_small_part_of_the_plate(product: Product, kind: Kind) -> None:
    masks = [product.defect(kind, index).mask for index in range(8)]
    assert {int(value) for mask in masks for value in np.unique(mask)} == {0, 255}
    shares = [(mask > 0).mean() for mask in masks]
    assert min(shares) > 0
    assert max(shares) < 0.03


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_defect_changes_the_surface_at_its_mask_and_nowhere_else(plate: Plate, kind: Kind, seed: int) -> None:
    surface, before = bare(plate), bare(plate).printed()
    spoil(surface, kind, np.random.default_rng(seed))
    changed = np.abs(surface.printed() - before).max(axis=0)
    near = cv2.dilate(surface.mask, np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1))) > 0
    assert changed[surface.mask > 0.5].max() > 0.02
    assert changed[~near].max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_stays_on_the_plate(product: Product, plate: Plate, kind: Kind) -> None:
    around = cv2.dilate((plate.metal > 0.01).astype(np.uint8), np.ones((25, 25), np.uint8))
    for index in range(8):
        assert not np.any(product.defect(kind, index).mask[around == 0])
