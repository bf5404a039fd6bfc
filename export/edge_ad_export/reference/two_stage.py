"""Extractors as export runs them, and a scorer whose frames are whole clips."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.scoring.clip_scorer import ClipScorer
from edge_ad.scoring.scorer import Measurement, Scorer
from edge_ad_export.reference.engine import ReferenceEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Clip
    from edge_ad.engines import Engine, EngineOutput, Extractor
    from edge_ad.geometry import Preprocessor
    from edge_ad_export.importers.extractor import ImportedExtractor

__all__ = ["CachingExtractor", "FrozenClipEngine", "ReferenceExtractor", "WholeClipScorer"]


# Clips overlap: enough for several of them in a row.
_CACHED_VECTORS = 2048


class ReferenceExtractor:
    """The imported extractor as its file has it, what the rewritten graph does in nodes in NumPy. An ``Extractor``.

    Raises:
        ModelError: the engine refuses the graph.
    """

    def __init__(self, extractor: ImportedExtractor, threads: int | None = None) -> None:
        self._engine = ReferenceEngine(extractor.model, threads)
        self._output = extractor.output
        self.info = self._engine.info
        self.input: NDArray[Any] = self._engine.input
        self.features: NDArray[np.float32] = np.zeros(extractor.size, np.float32)

    def run(self) -> None:
        """Raises :class:`ModelError`."""
        (found,) = self._engine.values()
        self.features[:] = self._output.reference(found).mean(axis=(1, 2))

    def close(self) -> None:
        self._engine.close()


class CachingExtractor:
    """Keeps the vectors of the latest frames: the clips of an export share most of their frames."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.info = extractor.info
        self.input: NDArray[Any] = extractor.input
        self.features: NDArray[np.float32] = np.zeros_like(extractor.features)
        self._cache: dict[bytes, NDArray[np.float32]] = {}

    def run(self) -> None:
        """Raises :class:`EngineError`."""
        key = hashlib.blake2b(np.ascontiguousarray(self.input).data).digest()
        if key not in self._cache:
            self._extractor.run()
            if len(self._cache) >= _CACHED_VECTORS:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = self._extractor.features.copy()
        self.features[:] = self._cache[key]

    def close(self) -> None:
        self._extractor.close()


class FrozenClipEngine:
    """Scores a picture as a clip in which nothing moves: what a quantized extractor is judged by. An ``Engine``."""

    def __init__(self, extractor: Extractor, scorer: Engine) -> None:
        self._extractor = extractor
        self._scorer = scorer
        self.info = scorer.info
        self.input: NDArray[Any] = extractor.input

    def run(self) -> EngineOutput:
        self._extractor.run()
        self._scorer.input[:] = self._extractor.features
        return self._scorer.run()

    def close(self) -> None:
        self._extractor.close()
        self._scorer.close()


class WholeClipScorer(Scorer):
    """Takes clips as :class:`~edge_ad_export.samples.clips.ClipSet` gives them; scores them as the device does.

    ``extractor``: of a two-stage variant, run once for each different frame.
    """

    def __init__(
        self, preprocessor: Preprocessor, engine: Engine, clip: Clip, extractor: Extractor | None = None
    ) -> None:
        super().__init__(preprocessor, engine)
        self._extractor = extractor
        caching = None if extractor is None else CachingExtractor(extractor)
        self._scorer = ClipScorer(preprocessor, engine, clip, caching)

    def measure(self, frame: NDArray[np.uint8]) -> Measurement:
        return self._scorer.measure_case(list(frame))

    def run_bare(self) -> None:
        # Not through the clip's scorer, whose extractor caches.
        if self._extractor is not None:
            self._extractor.run()
        self.engine.run()

    def close(self) -> None:
        self._scorer.close()
