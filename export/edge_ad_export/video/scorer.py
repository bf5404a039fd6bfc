"""A scorer whose frames are whole clips: what export measures with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.clips import ClipScorer
from edge_ad.scoring import Measurement, Scorer
from edge_ad_export.video.extractor_running import RememberingExtractor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Clip
    from edge_ad.engines import Engine, Extractor
    from edge_ad.geometry import Preprocessor

__all__ = ["WholeClipScorer"]


class WholeClipScorer(Scorer):
    """Takes clips as :class:`~edge_ad_export.video.clips.ClipSet` gives them; scores them as the device does.

    ``extractor``: of a two-stage variant, run once for each different frame.
    """

    def __init__(
        self, preprocessor: Preprocessor, engine: Engine, clip: Clip, extractor: Extractor | None = None
    ) -> None:
        super().__init__(preprocessor, engine)
        self._extractor = extractor
        remembering = None if extractor is None else RememberingExtractor(extractor)
        self._scorer = ClipScorer(preprocessor, engine, clip, remembering)

    def measure(self, frame: NDArray[np.uint8]) -> Measurement:
        return self._scorer.measure_case(list(frame))

    def run_bare(self) -> None:
        # Not through the clip's scorer, whose extractor remembers.
        if self._extractor is not None:
            self._extractor.run()
        self.engine.run()

    def close(self) -> None:
        self._scorer.close()
