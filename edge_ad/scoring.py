"""Geometry and engine together: from a frame to a raw score and map. No thresholds here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edge_ad.engines.base import Engine
from edge_ad.errors import FrameError
from edge_ad.geometry import Preprocessor
from edge_ad.verdict import FrameSpan, Reason

__all__ = ["Measurement", "Scorer"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """``score``: raw. ``map``: float32 ``(h', w')``, raw, ``-inf`` in cells that are not inspected; a view that the
    next measurement overwrites; ``None`` where the model has no map. ``covers``: of a clip's score, the frames that it
    is about, counted from the measured one, which is 0."""

    score: float
    map: NDArray[np.float32] | None
    geometry_ms: float
    engine_ms: float
    covers: FrameSpan | None = None


class Scorer:
    """Scores frames with one engine. Not thread-safe.

    A tiled frame scores the largest of its tiles, and where tiles overlap the map keeps the larger value. With an
    ignore mask the score is the largest value of the map outside the mask, since the graph's own score has seen
    what is under it. ``frames_until_score``: how many frames in a row it takes after :meth:`reset` to have a score.
    ``takes_vectors``: its frames are vectors, float32 ``(n,)``, and no pictures.
    """

    takes_vectors = False

    def __init__(self, preprocessor: Preprocessor, engine: Engine) -> None:
        self.preprocessor = preprocessor
        self.engine = engine
        self._joined: NDArray[np.float32] | None = None
        self.frames_until_score = 1

    @property
    def canvas(self) -> NDArray[np.uint8] | None:
        """What the last frame became for the model, uint8 ``[h, w, c]``; a view that the next frame overwrites.

        ``None`` where frames are vectors.
        """
        return self.preprocessor.canvas(self.engine.input[0])

    def measure(self, frame: NDArray[np.uint8]) -> Measurement:
        """The raw score and map of a frame, uint8 ``(H, W)`` gray or ``(H, W, 3)`` BGR.

        Raises:
            FrameError: wrong type or shape, or the model gave a score or map that is not finite.
            EngineError: the engine failed.
        """
        engine_s = 0.0
        start = perf_counter()
        score, heat = -math.inf, None
        for tile in self.preprocessor.tiles(frame, self.engine.input[0]):
            begin = perf_counter()
            output = self.engine.run()
            engine_s += perf_counter() - begin
            score = output.score if output.score > score or math.isnan(output.score) else score
            heat = self._join(frame, output.map, tile.row, tile.column)
        score, heat = self._masked(frame, score, heat)
        # The largest value of a map with a NaN in it is NaN.
        if not math.isfinite(score) or (heat is not None and not math.isfinite(heat.max())):
            raise FrameError(Reason.NOT_FINITE.value, "the model gave a score or map that is no finite number")
        total_s = perf_counter() - start
        return Measurement(score, heat, (total_s - engine_s) * 1e3, engine_s * 1e3)

    def measure_case(self, frames: Sequence[NDArray[np.uint8]]) -> Measurement:
        """The measurement of a golden case: here one frame."""
        (frame,) = frames
        return self.measure(frame)

    def run_bare(self) -> None:
        """Runs the engine on what it was given last: what nobody can be faster than. Raises :class:`EngineError`."""
        self.engine.run()

    def reset(self) -> None:
        """The coming frame is the first of another scene; to a model of single frames it is all the same."""

    def miss(self, count: int = 1) -> None:
        """So many frames did not come; to a model of single frames it is all the same."""

    def close(self) -> None:
        self.engine.close()

    def _join(
        self, frame: NDArray[np.uint8], part: NDArray[np.float32] | None, row: int, column: int
    ) -> NDArray[np.float32] | None:
        layout = self.preprocessor.layout(frame)
        if part is None or layout.tiles == 1:
            return part
        shape = (layout.y.map_length, layout.x.map_length)
        if self._joined is None or self._joined.shape != shape:
            self._joined = np.empty(shape, np.float32)
        if row == column == 0:
            self._joined.fill(-np.inf)
        view = self._joined[row : row + part.shape[0], column : column + part.shape[1]]
        np.maximum(view, part, out=view)
        return self._joined

    def _masked(
        self, frame: NDArray[np.uint8], score: float, heat: NDArray[np.float32] | None
    ) -> tuple[float, NDArray[np.float32] | None]:
        valid = self.preprocessor.valid(frame)
        if heat is None or valid is None:
            return score, heat
        masked = np.where(valid, heat, np.float32(-np.inf))
        return (float(masked.max()) if self.preprocessor.ignore_mask is not None else score), masked
