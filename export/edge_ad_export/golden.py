"""Chooses the golden frames and what each variant must score on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad.bundle.records import Golden
from edge_ad.errors import OutputError
from edge_ad.golden import Expectation
from edge_ad.sources import read_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.scoring import Scorer
    from edge_ad_export.images import ImageSet

__all__ = ["GoldenFrame", "expectation", "expected_name", "golden_record", "pick_golden", "write_golden"]


@dataclass(frozen=True)
class GoldenFrame:
    """One of the given images, stored in the bundle as ``name``."""

    name: str
    source: Path


def pick_golden(images: ImageSet, scores: NDArray[np.float64]) -> tuple[GoldenFrame, ...]:
    """The images with the lowest, the median and the highest score."""
    order = np.argsort(scores, kind="stable")
    chosen = (("lowest", order[0]), ("median", order[len(order) // 2]), ("highest", order[-1]))
    return tuple(GoldenFrame(f"golden/{name}.png", images.paths[int(index)]) for name, index in chosen)


def write_golden(frames: Sequence[GoldenFrame], root: Path) -> None:
    """Stores the frames without loss. Raises :class:`OutputError`."""
    (root / "golden").mkdir()
    for frame in frames:
        encoded, data = cv2.imencode(".png", read_image(frame.source))
        if not encoded:
            raise OutputError(f"{frame.source} cannot be stored as PNG")
        (root / frame.name).write_bytes(data.tobytes())


def expectation(frames: Sequence[GoldenFrame], scorer: Scorer) -> Expectation:
    """What the variant scores on the frames, and its maps."""
    found = []
    maps = []
    for frame in frames:
        measured = scorer.measure(read_image(frame.source))
        found.append(measured.score)
        if measured.map is not None:
            maps.append(measured.map.copy())
    return Expectation(np.array(found, np.float32), np.stack(maps) if maps else None)


def golden_record(frames: Sequence[GoldenFrame], variants: Sequence[str]) -> Golden:
    """The manifest's record of them."""
    return Golden(
        frames=tuple(frame.name for frame in frames),
        expected={variant: expected_name(variant) for variant in variants},
    )


def expected_name(variant: str) -> str:
    """Where a variant's golden scores lie in the bundle."""
    return f"golden/{variant}.npz"
