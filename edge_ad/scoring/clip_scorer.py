"""From the frames of a stream to the raw scores of its clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import EngineError, FrameError, counted, every
from edge_ad.scoring.clip_memory import ClipRing, ClipState, Smoother
from edge_ad.scoring.clip_samples import make_sampler
from edge_ad.scoring.scorer import Measurement, Scorer
from edge_ad.verdict import FrameSpan, Reason

if TYPE_CHECKING:
    from edge_ad.bundle.clip import Clip
    from edge_ad.engines.base import Engine, EngineInfo, Extractor
    from edge_ad.geometry import Preprocessor

__all__ = ["ClipScorer"]


class ClipScorer(Scorer):
    """Scores the clip that ends with each frame. Not thread-safe.

    Frames must come one by one, in their order: every frame is measured, or reported to :meth:`miss`. Each becomes a
    sample once, when it comes. A frame on which no score falls is a :class:`FrameError` that says why: the clip is
    not full yet, holds a frame that is missing or damaged, or no score is due. ``extractor``: of a two-stage variant,
    which makes the samples; it is closed with the engine.
    """

    def __init__(
        self, preprocessor: Preprocessor, engine: Engine, clip: Clip, extractor: Extractor | None = None
    ) -> None:
        super().__init__(preprocessor, engine)
        self.clip = clip
        self.takes_vectors = clip.input == "features" and extractor is None
        self._extractor = extractor
        self._sampler = make_sampler(preprocessor, clip, self.guard, extractor)
        # Frames that no clip with a score can hold need no extractor.
        self._looked_at = 1 if extractor is None else math.gcd(clip.stride, clip.hop)
        self._ring = ClipRing(clip.length, clip.stride, engine.input.shape[2:], engine.input.dtype)
        self._smoother = Smoother(clip.smoothing)
        self._alone: ClipScorer | None = None
        self.frames_until_score = self._sampler.earlier + clip.reach + 1 + (self._smoother.window - 1) * clip.hop

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        return super().engines if self._extractor is None else (self._extractor.info, *super().engines)

    @property
    def canvas(self) -> NDArray[np.uint8] | None:
        """The last frame as the model, or its extractor, got it: uint8 ``[h, w, c]``; ``None`` of a vector."""
        if self.takes_vectors:
            return None
        return self._ring.newest if self._sampler.canvas is None else self._sampler.canvas

    def preparer(self) -> None:
        """``None``: a clip's frames cannot be prepared one by one."""

    def run_bare(self) -> None:
        """Runs the extractor, where there is one, and the engine on what they were given last."""
        if self._extractor is not None:
            self._extractor.run()
        self.engine.run()

    def _graphs(self) -> tuple[object, ...]:
        return (self._extractor, *super()._graphs())

    def close(self) -> None:
        super().close()
        if self._extractor is not None:
            self._extractor.close()

    def reset(self) -> None:
        """Says that the next frame begins another scene."""
        self._ring.clear()
        self._sampler.clear()
        self._smoother.clear()

    def miss(self, count: int = 1) -> None:
        """Says that ``count`` frames are missing or unusable: the clips that contain them have no score."""
        # More than the ring holds change nothing.
        for _ in range(min(count, self._sampler.earlier + self.clip.length * self.clip.stride)):
            self._sampler.miss()
            self._ring.push(valid=False)

    def measure(self, frame: NDArray[Any]) -> Measurement:
        """The score of the clip that ends with this frame, smoothed as the bundle says; the map is the clip's own.

        Raises:
            FrameError: the frame cannot be used or is outside the limits of the guard, or no score falls on it.
            EngineError: the engine failed.
        """
        start = perf_counter()
        self._take(frame)
        return self._score(frame, start)

    def _score(self, frame: NDArray[Any], start: float) -> Measurement:
        self._require_clip()
        self._ring.copy_to(self.engine.input[0])
        begin = perf_counter()
        try:
            output = self.engine.run()
        except EngineError:
            self._smoother.clear()
            raise
        engine_s = perf_counter() - begin + self._sampler.engine_s
        raw, anomaly_map = output.score, output.map
        if anomaly_map is not None:
            raw, anomaly_map = self._masked(self.preprocessor.valid(frame), raw, anomaly_map)
        if not math.isfinite(raw) or (anomaly_map is not None and not math.isfinite(anomaly_map.max())):
            self._smoother.clear()
            raise FrameError(Reason.NOT_FINITE.value, "the model gave a score or map that is not a finite number")
        score = self._smooth(raw)
        total_s = perf_counter() - start
        return Measurement(score, anomaly_map, (total_s - engine_s) * 1e3, engine_s * 1e3, self._covers())

    def measure_case(self, frames: Sequence[NDArray[Any]]) -> Measurement:
        """The raw score of one clip; the stream that goes on is not touched.

        ``frames``: ``stride`` apart; of a model of snippets those of each sample, or one snippet for all of them.
        """
        if self._alone is None:
            plain = msgspec.structs.replace(self.clip, stride=1, hop=1, smoothing=None)
            self._alone = ClipScorer(self.preprocessor, self.engine, plain, self._extractor)
        self._alone.reset()
        if self.clip.snippet > 1:
            return self._alone._measure_snippets(frames)
        for frame in frames[:-1]:
            self._alone._take(frame)
        return self._alone.measure(frames[-1])

    def _measure_snippets(self, frames: Sequence[NDArray[Any]]) -> Measurement:
        start, size = perf_counter(), self.clip.snippet
        snippets = [frames[first : first + size] for first in range(0, len(frames), size)]
        for snippet in snippets * (self.clip.length if len(snippets) == 1 else 1):
            self._sampler.clear()
            complete = [self._sampler.write(frame, self._ring.slot) for frame in snippet]
            self._ring.push(valid=complete[-1])
        return self._score(frames[-1], start)

    def _take(self, frame: NDArray[Any]) -> None:
        due = self._ring.pushed % self._looked_at == 0
        try:
            complete = self._sampler.write(frame, self._ring.slot, due=due)
        except (FrameError, EngineError):
            self.miss()
            raise
        # Before the first sample there is nothing that a gap could break.
        if complete or self._ring.pushed:
            self._ring.push(valid=complete)

    def _require_clip(self) -> None:
        """Raises :class:`FrameError` where no score falls on the newest frame."""
        state, clip = self._ring.state, self.clip
        if state is ClipState.TOO_SHORT:
            missing = clip.reach + 1 - self._ring.pushed
            raise FrameError(
                Reason.WARMING_UP.value,
                f"the first clip is complete after {counted(missing, 'more frame')}: {clip.length} samples, one "
                f"{every(clip.stride, 'frame')}",
            )
        due = (self._ring.pushed - 1 - clip.reach) % clip.hop
        if due:
            raise FrameError(
                Reason.BETWEEN_SCORES.value, f"scores fall on every {clip.hop}th frame: the next in {clip.hop - due}"
            )
        if state is ClipState.BROKEN:
            self._smoother.clear()
            raise FrameError(Reason.INCOMPLETE_CLIP.value, "the clip holds a frame that is missing or damaged")

    def _smooth(self, raw: float) -> float:
        score = self._smoother.add(raw)
        if score is None:
            raise FrameError(
                Reason.WARMING_UP.value,
                f"smoothing takes {self._smoother.window} scores: {self._smoother.missing} more to the first one",
            )
        return score

    def _covers(self) -> FrameSpan:
        """Relative to the newest frame."""
        clip = self.clip
        middle = -(clip.length // 2) * clip.stride
        first, last = {"clip": (-clip.reach - self._sampler.earlier, 0), "middle": (middle, middle), "last": (0, 0)}[
            clip.covers
        ]
        return FrameSpan(first - (self._smoother.window - 1) * clip.hop, last)
