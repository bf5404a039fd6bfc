"""Images that are picked for people to look at: no part twice, and nothing that looks the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad_calibration.normals.distinct import pick_distinct

RANDOM = np.random.default_rng(0)


def texture() -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(RANDOM.integers(0, 200, (6, 8), np.uint8), (64, 48)), np.uint8)


TEXTURES = {f"{k:02d}.png": texture() for k in range(12)}
COPIES = {f"copy{k}.png": (0.9 * TEXTURES[f"{k:02d}.png"] + 4).astype(np.uint8) for k in (0, 1)}


def read(name: str) -> NDArray[np.uint8]:
    return {**TEXTURES, **COPIES}[name]


def test_the_first_come_first() -> None:
    names = sorted(TEXTURES)
    assert [one.name for one in pick_distinct(names, names, 3, read)] == names[:3]


def test_an_image_that_looks_like_one_before_is_left_out_and_counted() -> None:
    names = ["00.png", "copy0.png", "01.png", "copy1.png", *sorted(TEXTURES)[2:]]
    picked = pick_distinct(names, names, 4, read)
    assert [(one.name, one.alike) for one in picked] == [("00.png", 1), ("01.png", 1), ("02.png", 0), ("03.png", 0)]


def test_a_part_is_shown_once() -> None:
    names = sorted(TEXTURES)
    picked = pick_distinct(names, [place // 3 for place in range(12)], 3, read)
    assert [(one.place, one.alike) for one in picked] == [(0, 2), (3, 2), (6, 2)]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param(["a.avi#100", "a.avi#107", "a.avi#200"], ["a.avi#100", "a.avi#200"], id="neighbouring frames"),
        pytest.param(["a.avi#100", "b.avi#100"], ["a.avi#100", "b.avi#100"], id="two videos"),
        pytest.param(
            ["a.avi#1#xywh=0,0,9,9", "a.avi#1#xywh=9,0,9,9"],
            ["a.avi#1#xywh=0,0,9,9", "a.avi#1#xywh=9,0,9,9"],
            id="two objects of one frame",
        ),
    ],
)
def test_frames_of_a_video_are_told_apart_without_decoding_it(names: list[str], shown: list[str]) -> None:
    assert [one.name for one in pick_distinct(names, names, 3, read)] == shown


def test_there_may_be_none() -> None:
    assert pick_distinct([], [], 3, read) == []
