"""A scorer whose frames are whole clips: what export measures with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.clips import ClipScorer
from edge_ad.scoring import Measurement, Scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Clip
    from edge_ad.engines import Engine
    from edge_ad.geometry import Preprocessor

__all__ = ["WholeClipScorer"]


class WholeClipScorer(Scorer):
    """Takes clips as :class:`~edge_ad_export.video.clips.ClipSet` gives them; scores them as the device does."""

    def __init__(self, preprocessor: Preprocessor, engine: Engine, clip: Clip) -> None:
        super().__init__(preprocessor, engine)
        self._scorer = ClipScorer(preprocessor, engine, clip)

    def measure(self, frame: NDArray[np.uint8]) -> Measurement:
        return self._scorer.measure_case(list(frame))
