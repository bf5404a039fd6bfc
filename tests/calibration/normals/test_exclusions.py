"""Which normals are taken out, by their names and by what they repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.calibrating import normals_of

from edge_ad.errors import InputError
from edge_ad_calibration.normals.exclusions import Exclude, exclude_leaks, exclude_named
from edge_ad_calibration.normals.leaks import Leak
from edge_ad_calibration.normals.measured import Duplicate

NAMES = ["parts/a.png", "parts/b.png", "clip.avi#0", "clip.avi#7"]
NORMALS = normals_of([0.1, 0.4, 0.2, 0.3], [1.0, 4.0, 2.0, 3.0], NAMES)


@pytest.mark.parametrize(
    ("image", "gone"),
    [
        pytest.param("parts/b.png", "parts/b.png", id="as named"),
        pytest.param("parts/../parts/b.png", "parts/b.png", id="another way to say it"),
        pytest.param(str(Path("parts/b.png").resolve()), "parts/b.png", id="absolute"),
        pytest.param("clip.avi#7", "clip.avi#7", id="a video's frame"),
    ],
)
def test_a_named_image_is_taken_out_with_all_that_is_known_of_it(image: str, gone: str) -> None:
    kept = exclude_named(NORMALS, [Exclude(image, " scratched ")])
    place = NAMES.index(gone)
    rest = [index for index in range(4) if index != place]
    assert kept.normals.names == tuple(NAMES[index] for index in rest)
    assert kept.normals.scores.tolist() == NORMALS.scores[rest].tolist()
    assert kept.normals.peaks is not None
    assert kept.normals.peaks.tolist() == pytest.approx([10 * score for score in kept.normals.scores])
    assert kept.normals.images_sha256 != NORMALS.images_sha256
    (exclusion,) = kept.exclusions
    assert (exclusion.image, exclusion.reason, exclusion.by) == (gone, "scratched", "person")
    assert exclusion.pixel_sha256 == NORMALS.pixel_sha256[place]
    assert exclusion.score == NORMALS.scores[place]


def test_naming_a_copy_takes_out_what_it_is_a_copy_of() -> None:
    normals = replace(NORMALS, duplicates=(Duplicate("again.png", "parts/b.png"),))
    assert exclude_named(normals, [Exclude("again.png", "scratched")]).exclusions[0].image == "parts/b.png"


def test_without_exclusions_all_stay() -> None:
    kept = exclude_named(NORMALS, [])
    assert (kept.normals.names, kept.exclusions) == (tuple(NAMES), ())


def test_the_last_normal_cannot_be_taken_out() -> None:
    with pytest.raises(InputError, match="all 4 normals are left out"):
        exclude_named(NORMALS, [Exclude(name, "scratched") for name in NAMES])


def test_leaks_are_taken_out_with_the_pair_as_the_reason() -> None:
    leak = Leak(image="parts/a.png", training_image="train/x.png", correlation=0.98, hash_distance=5)
    (exclusion,) = exclude_leaks(NORMALS, [leak]).exclusions
    assert exclusion.by == "leak-check"
    assert exclusion.reason == "looks like the training image train/x.png (correlation 0.98)"
