"""A few frames on which many candidates can be compared with the float graph in seconds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.engines import Artefact, Engine, EngineOptions, open_engine, open_extractor
from edge_ad.scoring.golden import correlate
from edge_ad_export.reference.two_stage import FrozenClipEngine
from edge_ad_metrics.rank_correlation import spearman, spearman_low
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Probe", "Probes", "Runner"]


@dataclass(frozen=True)
class Runner:
    """The engine that a candidate is made for, as the device opens it. ``scorer``: the file of the second stage, where
    the candidate is an extractor."""

    engine: Literal["onnxruntime", "openvino"]
    threads: int | None
    scorer: Path | None = None

    def open(self, path: Path) -> Engine:
        """A candidate's file, ready to score frames. Raises :class:`EngineError`."""
        options = EngineOptions(threads=self.threads)
        if self.scorer is None:
            return open_engine(self.engine, Artefact(path), options)
        extractor = open_extractor(self.engine, Artefact(path), options)
        return FrozenClipEngine(extractor, open_engine(self.engine, Artefact(self.scorer), options))


@dataclass(frozen=True)
class Probe:
    """How a candidate did: float64 ``scores`` in the order of the probes, and the worst map's correlation."""

    scores: NDArray[np.float64]
    maps: tuple[NDArray[np.float32], ...]


class Probes:
    """Frames ``pixels``, uint8 ``[1, h, w, c]`` each, and what the float graph in the file ``path`` makes of them."""

    def __init__(self, pixels: Sequence[NDArray[np.uint8]], path: Path, runner: Runner) -> None:
        self._pixels = tuple(pixels)
        self.expected = self.run(path, runner)
        self._score_spread = float(np.std(self.expected.scores)) or 1.0
        stacked = np.concatenate([one.ravel() for one in self.expected.maps]) if self.expected.maps else np.ones(1)
        self._map_spread = float(np.std(stacked[np.isfinite(stacked)])) or 1.0

    def few(self, count: int) -> Probes:
        """Evenly spaced ones of them."""
        chosen = evenly_spaced(len(self._pixels), count)
        fewer = object.__new__(Probes)
        fewer._pixels = tuple(self._pixels[i] for i in chosen)
        maps = tuple(self.expected.maps[i] for i in chosen) if self.expected.maps else ()
        fewer.expected = Probe(self.expected.scores[chosen], maps)
        fewer._score_spread, fewer._map_spread = self._score_spread, self._map_spread
        return fewer

    def run(self, path: Path, runner: Runner) -> Probe:
        """Scores the probes with the model in a file. Raises :class:`EngineError`."""
        engine = runner.open(path)
        scores, maps = [], []
        with closing(engine):
            for frame in self._pixels:
                engine.input[:] = frame
                found = engine.run()
                scores.append(found.score)
                if found.map is not None:
                    maps.append(found.map.copy())
        return Probe(np.array(scores), tuple(maps))

    def damage(self, found: Probe) -> float:
        """The error of scores and maps, each the root of its mean square over the spread of the float graph's.

        Infinite where something is no finite number.
        """
        score = float(np.sqrt(np.mean((found.scores - self.expected.scores) ** 2))) / self._score_spread
        errors = [float(np.mean((a - b) ** 2)) for a, b in zip(found.maps, self.expected.maps, strict=True)]
        maps = float(np.sqrt(np.mean(errors))) / self._map_spread if errors else 0.0
        return score + maps if np.isfinite(score + maps) else np.inf

    def spearman(self, found: Probe) -> float:
        """The rank correlation of the scores; 0 for scores that are all the same."""
        return 0.0 if np.ptp(self.expected.scores) == 0 else spearman(found.scores, self.expected.scores)

    def spearman_low(self, found: Probe) -> float:
        """The lower end of its interval, each probe taken for a part of its own."""
        return 0.0 if np.ptp(self.expected.scores) == 0 else spearman_low(found.scores, self.expected.scores)

    def worst_map(self, found: Probe) -> float:
        """The correlation of the worst map; 1 without maps."""
        pairs = zip(found.maps, self.expected.maps, strict=True)
        return min((correlate(a, b) for a, b in pairs), default=1.0)
