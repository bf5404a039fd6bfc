"""A batch of images in this process: the runtime's own scores, in order, whatever goes wrong with one image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import FrameSize, Geometry, Resize
from edge_ad.bundle.seal import sealed_json
from edge_ad.errors import BundleIntegrityError, GoldenError, InputError
from edge_ad.scoring.opening import open_scorer
from edge_ad.sources import open_source, read_image
from edge_ad_calibration.scoring import (
    Outcome,
    ScoredImage,
    ScoreJob,
    ScorePlan,
    UnscoredImage,
    score_frames,
    score_images,
)


@pytest.fixture
def images(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "images", frames).iterdir())


@pytest.fixture
def job(tiny_bundle: Path) -> ScoreJob:
    return ScoreJob(bundle=tiny_bundle)


def scored(outcomes: Iterator[Outcome]) -> list[ScoredImage]:
    found = list(outcomes)
    assert [one for one in found if isinstance(one, UnscoredImage)] == []
    return [one for one in found if isinstance(one, ScoredImage)]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_scores_and_maps_are_those_of_the_runtime(
    tiny_bundle: Path, images: list[Path], variant: str, workers: int
) -> None:
    bundle = Bundle.open(tiny_bundle)
    scorer = open_scorer(bundle, bundle.variant(variant))
    job = ScoreJob(bundle=tiny_bundle, variant=variant, maps=True)
    found = scored(score_images(images, job, ScorePlan(workers=workers)))
    assert [one.path for one in found] == images
    for one in found:
        expected = scorer.measure(read_image(one.path))
        assert expected.map is not None
        assert one.map is not None
        assert (one.score, one.peak) == (expected.score, float(expected.map.max()))
        np.testing.assert_array_equal(one.map, expected.map)
        assert one.size == FrameSize(width=64, height=48)
    scorer.close()


def test_maps_come_only_when_asked_for(images: list[Path], job: ScoreJob) -> None:
    assert {one.map is None for one in scored(score_images(images, job))} == {True}


def test_a_smallest_area_lowers_the_peak(images: list[Path], tiny_bundle: Path) -> None:
    whole = scored(score_images(images, ScoreJob(bundle=tiny_bundle)))
    # A cell of the map is 16x12 camera pixels: 200 take two of them.
    large = scored(score_images(images, ScoreJob(bundle=tiny_bundle, min_area_px=200)))
    assert [one.score for one in large] == [one.score for one in whole]
    lower = [(a.peak or 0) < (b.peak or 0) for a, b in zip(large, whole, strict=True)]
    assert lower == [True] * len(images)


def test_the_hashes_tell_files_and_pixels_apart(tmp_path: Path, job: ScoreJob) -> None:
    frame = tiny.frames(1)[0]
    names = [tmp_path / name for name in ("a.png", "b.png", "b.bmp")]
    for name in names:
        assert cv2.imwrite(str(name), frame)
    png, copy, bmp = scored(score_images(names, job))
    assert (png.file_sha256, png.pixel_sha256) == (copy.file_sha256, copy.pixel_sha256)
    assert (png.file_sha256 == bmp.file_sha256, png.pixel_sha256 == bmp.pixel_sha256) == (False, True)


def test_an_image_that_cannot_be_scored_keeps_its_place(images: list[Path], job: ScoreJob) -> None:
    images[3].write_bytes(images[3].read_bytes()[:60])
    images[7].unlink()
    found = list(score_images(images, job))
    assert [one.path for one in found] == images
    errors = {place: one.error for place, one in enumerate(found) if isinstance(one, UnscoredImage)}
    assert list(errors) == [3, 7]
    assert errors[3].startswith(f"{images[3]}: damaged, cut off or not an image")
    assert errors[7] == f"{images[7]}: cannot be read: No such file or directory"


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    geometry = Geometry(frame=FrameSize(width=64, height=48), resize=Resize(width=32, height=32))
    bundle = tiny.write_bundle(tmp_path / "fixed", geometry)
    folder = tiny.write_images(tmp_path / "mixed", [*tiny.frames(2), *tiny.frames(1, shape=(50, 64, 3))])
    found = list(score_images(sorted(folder.iterdir()), ScoreJob(bundle=bundle)))
    assert [type(one) for one in found] == [ScoredImage, ScoredImage, UnscoredImage]
    assert isinstance(found[2], UnscoredImage)
    assert found[2].error.startswith(f"{folder / '0002.png'}: expected a frame of 64x48 pixels")


def test_no_images_are_no_outcomes(job: ScoreJob) -> None:
    assert list(score_images([], job)) == []


def test_progress_counts_every_image_once(images: list[Path], job: ScoreJob) -> None:
    told: list[int] = []

    @contextmanager
    def track(total: int) -> Iterator[Callable[[int], object]]:
        told.append(total)
        yield told.append

    images[3].unlink()
    list(score_images(images, job, progress=track))
    assert told == [60] + [1] * 60


def test_closing_early_leaves_no_thread(images: list[Path], job: ScoreJob) -> None:
    outcomes = score_images(images, job)
    next(outcomes)
    assert reading() != []
    outcomes.close()
    assert reading() == []


def reading() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edge-ad reads")]


def test_frames_of_a_source_are_scored_like_its_images(images: list[Path], job: ScoreJob) -> None:
    images[3].write_bytes(b"")
    expected = list(score_images(images, job))
    with open_source(images[0].parent) as source:
        found = list(score_frames(source, job))
    # A frame of a stream has no file of its own.
    without_files = [replace(one, file_sha256=None) if isinstance(one, ScoredImage) else one for one in expected]
    assert found == without_files
    assert isinstance(found[3], UnscoredImage)


def test_a_machine_that_scores_otherwise_measures_nothing(tmp_path: Path, images: list[Path]) -> None:
    path = tiny.write_bundle(tmp_path / "other")
    manifest = Bundle.open(path).manifest
    swapped = msgspec.structs.replace(manifest.golden, frames=manifest.golden.frames[::-1])
    (path / "manifest.json").write_bytes(sealed_json(msgspec.structs.replace(manifest, golden=swapped)))
    with pytest.raises(GoldenError, match="gives other scores on this device"):
        next(score_images(images, ScoreJob(bundle=path)))


def test_a_bundle_or_variant_that_is_not_there_is_named(tiny_bundle: Path, images: list[Path]) -> None:
    with pytest.raises(InputError, match="no bundle at"):
        next(score_images(images, ScoreJob(bundle=tiny_bundle / "absent")))
    with pytest.raises(InputError, match="has no variant 'int4'"):
        next(score_images(images, ScoreJob(bundle=tiny_bundle, variant="int4")))
    (tiny_bundle / "variants/onnx-fp32/model.onnx").write_bytes(b"")
    with pytest.raises(BundleIntegrityError, match="was changed"):
        next(score_images(images, ScoreJob(bundle=tiny_bundle)))
