"""The synthetic defects of an export: as many as there are normals, made again from the seed whenever asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.geometry import heatmap
from edge_ad.sources import read_image
from edge_ad_export.defects.draw import KINDS, Defect, Kind, draw_defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.geometry import Preprocessor

__all__ = ["DefectSet", "Sample", "defects_for"]

# More would say little more, and every variant scores them all.
_COUNT_MAX = 60


@dataclass(frozen=True)
class Sample:
    """A normal image, the one its texture comes from, and what is to be drawn into it."""

    path: Path
    donor: Path
    kind: Kind
    seed: int


@dataclass(frozen=True)
class DefectSet:
    """``preprocessor``: says which pixels the model gets to see."""

    samples: tuple[Sample, ...]
    preprocessor: Preprocessor

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The images, the same ones every time. Raises :class:`FrameError` that names the one underneath."""
        return (self.draw(sample).image for sample in self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, sample: Sample) -> Defect:
        """One of the samples."""
        image, donor = read_image(sample.path), read_image(sample.donor)
        if donor.ndim != image.ndim:
            donor = image
        seen = self._seen(image)
        return draw_defect(sample.kind, image, donor, seen, np.random.default_rng(sample.seed))

    def _seen(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool ``(H, W)``: the pixels that reach the model and are not ignored."""
        layout = self.preprocessor.layout(image)
        cells = np.zeros((layout.y.map_length, layout.x.map_length), np.float32)
        seen = np.isfinite(heatmap(cells, layout))
        ignored = self.preprocessor.ignore_mask
        return seen if ignored is None else seen & (ignored <= 127)


def defects_for(paths: Sequence[Path], preprocessor: Preprocessor, seed: int = 0) -> DefectSet:
    """As many defects as images, at most 60, evenly spaced over them; the kinds in turn."""
    count = min(len(paths), _COUNT_MAX)
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    seeds = np.random.SeedSequence(seed).generate_state(count)
    samples = (
        Sample(path, chosen[(i + count // 2) % count], KINDS[i % len(KINDS)], int(seeds[i]))
        for i, path in enumerate(chosen)
    )
    return DefectSet(tuple(samples), preprocessor)
