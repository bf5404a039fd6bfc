"""Held-out images that repeat training images are found, others are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad.errors import InputError
from edge_ad_calibration.normals.leaks import (
    Signatures,
    count_near_duplicates,
    find_leaks,
    read_signatures,
    sign,
    thumbnail,
)
from edge_ad_calibration.normals.selection import list_normals

COUNT = 40


def part(seed: int) -> NDArray[np.uint8]:
    """A product that all images share, under a texture of its own."""
    random = np.random.default_rng(seed)
    product = np.zeros((120, 160), np.float32)
    cv2.circle(product, (80, 60), 45, 150.0, -1)
    texture = cv2.GaussianBlur(random.normal(size=(120, 160)).astype(np.float32), (0, 0), 8)
    return np.asarray(np.clip(product + 40 + 400 * texture, 0, 255), np.uint8)


def signed(images: list[NDArray[np.uint8]], prefix: str = "") -> Signatures:
    return sign(tuple(f"{prefix}{index}" for index in range(len(images))), [thumbnail(image) for image in images])


TRAINING = [part(seed) for seed in range(COUNT)]


def recompressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


CHANGES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.generic]]] = {
    "copy": lambda image: image,
    "darker": lambda image: (0.6 * image).astype(np.uint8),
    "recompressed": recompressed,
    "noisy": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 8, image.shape), 0, 255).astype(np.uint8),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "colour": lambda image: cv2.cvtColor(image, cv2.COLOR_GRAY2BGR),
}


@pytest.mark.parametrize("change", [pytest.param(name, id=name) for name in CHANGES])
def test_a_training_image_under_another_look_is_found(change: str) -> None:
    planted = [np.asarray(CHANGES[change](TRAINING[index]), np.uint8) for index in range(10)]
    fresh = [part(1_000 + index) for index in range(30)]
    leaks = find_leaks(signed([*planted, *fresh], "held "), signed(TRAINING))
    assert [(leak.image, leak.training_image) for leak in leaks] == [(f"held {k}", f"{k}") for k in range(10)]


def test_parts_that_share_the_product_alone_are_no_leaks() -> None:
    fresh = signed([part(2_000 + index) for index in range(200)])
    raw = fresh.gray @ signed(TRAINING).gray.T
    assert raw.max(axis=1).mean() > 0.8  # without the mean taken off all of them would look alike
    assert find_leaks(fresh, signed(TRAINING)) == []


def test_a_lower_correlation_finds_more() -> None:
    held_out = signed([part(3_000 + index) for index in range(50)])
    found = [len(find_leaks(held_out, signed(TRAINING), same_part=level)) for level in (0.95, 0.5, 0.1)]
    assert found[0] <= found[1] < found[2]


def test_flat_images_resemble_nothing() -> None:
    flat = np.full((64, 64), 128, np.uint8)
    assert find_leaks(signed([part(5)]), signed([flat] * 12)) == []


def test_one_training_image_is_enough() -> None:
    assert len(find_leaks(signed([TRAINING[0]]), signed([TRAINING[0]]))) == 1


def test_near_duplicates_are_counted_unless_they_are_one_part() -> None:
    images = [*TRAINING[:12], recompressed(TRAINING[0]), recompressed(TRAINING[1])]
    apart, together = np.arange(14), np.array([*range(12), 0, 1])
    assert count_near_duplicates(signed(images), apart) == 4
    assert count_near_duplicates(signed(images), together) == 0


def test_images_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match=r"1 of 1 images cannot be read: .*empty\.png: expected an image file"):
        read_signatures([tmp_path / "empty.png"])


@pytest.mark.shared
def test_the_published_split_of_the_tiles_leaks_and_the_disjoint_one_does_not(shared: Path) -> None:
    tiles = shared / "data/magnetic_tile"
    table = f"{tiles / 'groups.csv'}:group_disjoint_role="

    def share(held_out: str | Path, training: str | Path) -> float:
        paths = list_normals([held_out])
        return len(find_leaks(read_signatures(paths), read_signatures(list_normals([training])))) / len(paths)

    assert share(tiles / "test/good", tiles / "train/good") > 0.7
    assert share(f"{table}calibration", f"{table}train") < 0.06
    cookies = shared / "data/cookies"
    assert share(cookies / "test/good", cookies / "train/good") == 0
