"""How far a picture lies from the reference, and how sharp it is beside it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad.page.aids import find_shift, shrunk_jpeg


def scene() -> NDArray[np.uint8]:
    """Blobs on a dark ground."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640)).astype(np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 8)
    return np.asarray(cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (20, 0), (0, -14), (-31, 9)])
def test_a_shift_is_told_in_camera_pixels(x: int, y: int) -> None:
    before = scene()
    moved = np.roll(before, (y, x), (0, 1))
    found = find_shift(jpeg(before), jpeg(moved), (640, 480))
    assert found is not None
    assert [found.x, found.y] == pytest.approx([x, y], abs=1.5)
    assert found.sharpness == pytest.approx(1, abs=0.1)


def test_a_blurred_picture_is_less_sharp() -> None:
    before = np.random.default_rng(1).integers(0, 255, (480, 640)).astype(np.uint8)
    before = np.asarray(cv2.GaussianBlur(before, (0, 0), 3), np.uint8)
    found = find_shift(jpeg(before), jpeg(np.asarray(cv2.GaussianBlur(before, (0, 0), 8), np.uint8)), (640, 480))
    assert found is not None
    assert found.sharpness < 0.8


def test_what_has_nothing_in_common_has_no_shift() -> None:
    other = np.random.default_rng(2).integers(0, 255, (480, 640)).astype(np.uint8)
    assert find_shift(jpeg(scene()), jpeg(other), (640, 480)) is None
    assert find_shift(b"none", jpeg(other), (640, 480)) is None
    assert shrunk_jpeg(b"none", 100) is None
