"""Chooses the golden frames or clips of a bundle, and stores the scores that each variant must give for them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad.bundle.records import Golden
from edge_ad.errors import OutputError
from edge_ad.scoring.golden import Expectation
from edge_ad.sources import read_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.scoring.scorer import Scorer
    from edge_ad_export.preparation.prepare import Setup
    from edge_ad_export.samples.images import ImageSet
    from edge_ad_export.variants.result import VariantResult

__all__ = [
    "GoldenFrame",
    "expectation",
    "expected_name",
    "golden_record",
    "pick_golden",
    "write_golden",
    "write_golden_clips",
]


@dataclass(frozen=True)
class GoldenFrame:
    """``source``: one of the images that were given. ``name``: the file in the bundle that it becomes."""

    name: str
    source: Path


def pick_golden(images: ImageSet, scores: NDArray[np.float64]) -> tuple[GoldenFrame, ...]:
    """The images with the lowest, the median and the highest score."""
    order = np.argsort(scores, kind="stable")
    chosen = (("lowest", order[0]), ("median", order[len(order) // 2]), ("highest", order[-1]))
    return tuple(GoldenFrame(f"golden/{name}.png", images.paths[int(index)]) for name, index in chosen)


def write_golden(frames: Sequence[GoldenFrame], root: Path) -> None:
    """Stores the frames without loss. Raises :class:`OutputError` if one cannot be stored."""
    (root / "golden").mkdir()
    for frame in frames:
        encoded, data = cv2.imencode(".png", read_image(frame.source))
        if not encoded:
            raise OutputError(f"{frame.source} cannot be stored as PNG")
        (root / frame.name).write_bytes(data.tobytes())


def expectation(frames: Sequence[GoldenFrame], scorer: Scorer) -> Expectation:
    """The variant's scores and maps for the golden frames."""
    found = []
    maps = []
    for frame in frames:
        measured = scorer.measure(read_image(frame.source))
        found.append(measured.score)
        if measured.map is not None:
            maps.append(measured.map.copy())
    return Expectation(np.array(found, np.float32), np.stack(maps) if maps else None)


def golden_record(frames: Sequence[GoldenFrame], variants: Sequence[str]) -> Golden:
    """The manifest's record of the golden frames."""
    return Golden(
        frames=tuple(frame.name for frame in frames),
        expected={variant: expected_name(variant) for variant in variants},
    )


def expected_name(variant: str) -> str:
    """The file in the bundle that holds a variant's golden scores."""
    return f"golden/{variant}.npz"


_NAMES = ("lowest", "median", "highest")


def write_golden_clips(
    setup: Setup, shipped: Sequence[VariantResult], scores: NDArray[np.float64], root: Path
) -> Golden:
    """Stores the clips with the lowest, the median and the highest score, frame by frame and without loss.

    Raises:
        OutputError: a frame cannot be stored.
    """
    order = np.argsort(scores, kind="stable")
    chosen = [int(order[place]) for place in (0, len(order) // 2, -1)]
    clips = {index: clip for index, clip in enumerate(setup.split.judging) if index in chosen}
    # If an extractor takes snippets, the last one of a clip is enough.
    frames = 0 if setup.clip is None else setup.clip.golden_frames
    cases = [clips[index][-frames:] for index in chosen]
    names = []
    for case, name in zip(cases, _NAMES, strict=True):
        (root / "golden" / name).mkdir(parents=True)
        names += [_store(root, f"golden/{name}/{place:03d}", sample) for place, sample in enumerate(case)]
    for one in shipped:
        with closing(setup.scorer(one.recipe, root)) as scorer:
            (root / expected_name(one.recipe.id)).write_bytes(_expectation(cases, scorer).dump())
    return Golden(frames=tuple(names), expected={one.recipe.id: expected_name(one.recipe.id) for one in shipped})


def _store(root: Path, name: str, sample: NDArray[np.uint8]) -> str:
    if sample.ndim == 1:
        np.save(root / f"{name}.npy", sample)
        return f"{name}.npy"
    encoded, data = cv2.imencode(".png", sample)
    if not encoded:
        raise OutputError(f"{name} cannot be stored as PNG")
    (root / f"{name}.png").write_bytes(data.tobytes())
    return f"{name}.png"


def _expectation(cases: Sequence[NDArray[np.uint8]], scorer: Scorer) -> Expectation:
    scores, maps = [], []
    for case in cases:
        measured = scorer.measure(case)
        scores.append(measured.score)
        maps += [] if measured.map is None else [measured.map.copy()]
    return Expectation(np.array(scores, np.float32), np.stack(maps) if maps else None)
