"""What is measured: every normal once, and nothing left out in silence."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import FrameSize, Geometry, Resize
from edge_ad.engines import open_engine
from edge_ad.errors import InputError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.opening import open_scorer
from edge_ad.scoring.scorer import Scorer
from edge_ad_calibration.normals.measured import Duplicate, Normals, collect_normals
from edge_ad_calibration.normals.selection import list_normals
from edge_ad_calibration.scoring.measure import score_with


@pytest.fixture
def scorer(tiny_bundle: Path) -> Iterator[Scorer]:
    bundle = Bundle.open(tiny_bundle)
    opened = open_scorer(bundle, bundle.variant())
    yield opened
    opened.close()


@pytest.fixture
def normals(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", frames[:8])


def score_normals(paths: list[Path], scorer: Scorer) -> Normals:
    return collect_normals(score_with(scorer, paths))


def test_scores_and_peaks_are_those_of_the_runtime(
    normals: Path, frames: list[NDArray[np.uint8]], scorer: Scorer
) -> None:
    measured = score_normals(list_normals([normals]), scorer)
    expected = [scorer.measure(frame).score for frame in frames[:8]]
    assert measured.scores.tolist() == expected
    assert measured.peaks is not None
    assert measured.peaks.tolist() == expected  # this model's score is the largest value of its map
    assert measured.duplicates == ()


def test_peaks_leave_out_what_is_ignored(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    dim = tiny.frames(1)[0]
    folder = tiny.write_images(tmp_path / "spotted", [tiny.spotted(dim, 0, 0, size=24)])
    mask = np.zeros(tiny.FRAME[:2], np.uint8)
    mask[:26, :34] = 255
    geometry = Geometry(resize=Resize(width=tiny.SIZE, height=tiny.SIZE))
    preprocessor = Preprocessor(geometry, tiny.INPUT, mask, map_size=tiny.MAP)
    scorer = Scorer(preprocessor, open_engine("onnxruntime", bundle.artefact(bundle.variant())))
    measured = score_normals(list_normals([folder]), scorer)
    scorer.close()
    assert measured.peaks is not None
    assert measured.peaks[0] == pytest.approx(dim[26:, 34:].mean() / 255, rel=0.2)


def test_exact_copies_count_once(normals: Path, scorer: Scorer) -> None:
    first, copy = normals / "0000.png", normals / "again.png"
    shutil.copy(first, copy)
    measured = score_normals(list_normals([normals]), scorer)
    assert measured.scores.size == 8
    assert measured.duplicates == (Duplicate(str(copy), str(first)),)


def test_a_source_named_twice_counts_once(normals: Path, scorer: Scorer) -> None:
    once = score_normals(list_normals([normals]), scorer)
    twice = score_normals(list_normals([normals, normals / "*.png"]), scorer)
    assert twice.scores.tolist() == once.scores.tolist()
    assert len(twice.duplicates) == 8


def test_a_path_given_twice_counts_once(normals: Path, scorer: Scorer) -> None:
    path = normals / "0000.png"
    assert score_normals([path, path], scorer).scores.size == 1


def test_the_images_hash_knows_pixels_not_names_or_order(
    normals: Path, tmp_path: Path, frames: list[NDArray[np.uint8]], scorer: Scorer
) -> None:
    reordered = tiny.write_images(tmp_path / "reordered", frames[:8][::-1])
    others = tiny.write_images(tmp_path / "others", frames[1:9])
    expected = score_normals(list_normals([normals]), scorer).images_sha256
    assert score_normals(list_normals([reordered]), scorer).images_sha256 == expected
    assert score_normals(list_normals([others]), scorer).images_sha256 != expected


def test_a_gray_image_differs_from_the_same_pixels_in_another_shape(tmp_path: Path, scorer: Scorer) -> None:
    row = np.arange(48 * 64, dtype=np.uint8)
    folder = tiny.write_images(tmp_path / "same pixels", [row.reshape(48, 64), row.reshape(64, 48)])
    assert score_normals(list_normals([folder]), scorer).duplicates == ()


def test_every_image_that_cannot_be_scored_is_reported_together(normals: Path, scorer: Scorer) -> None:
    (normals / "cut.png").write_bytes((normals / "0000.png").read_bytes()[:60])
    (normals / "empty.png").touch()
    assert cv2.imwrite(str(normals / "deep.png"), np.zeros((48, 64), np.uint16))
    with pytest.raises(InputError, match=r"^3 of 11 images cannot be scored: ") as caught:
        score_normals(list_normals([normals]), scorer)
    assert re.findall(r"(\w+\.png): ", str(caught.value)) == ["cut.png", "deep.png", "empty.png"]


def test_only_the_first_of_many_bad_images_are_named(normals: Path, scorer: Scorer) -> None:
    for index in range(5):
        (normals / f"empty{index}.png").touch()
    with pytest.raises(InputError, match=r"5 of 13 images .*empty2\.png: .*; and 2 more\. Repair") as caught:
        score_normals(list_normals([normals]), scorer)
    assert "empty3" not in str(caught.value)


def test_an_image_of_another_size_than_the_camera_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    geometry = Geometry(frame=FrameSize(width=64, height=48), resize=Resize(width=tiny.SIZE, height=tiny.SIZE))
    preprocessor = Preprocessor(geometry, tiny.INPUT, None, map_size=tiny.MAP)
    scorer = Scorer(preprocessor, open_engine("onnxruntime", bundle.artefact(bundle.variant())))
    folder = tiny.write_images(tmp_path / "mixed", [*tiny.frames(2), *tiny.frames(1, shape=(50, 64, 3))])
    with pytest.raises(InputError, match=r"1 of 3 images cannot be scored: .*0002\.png: "):
        score_normals(list_normals([folder]), scorer)
    scorer.close()
