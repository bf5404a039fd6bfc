"""From a frame to a raw score and an anomaly map: geometry and engine together, without thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edge_ad.engines.base import CompilingEngine, Engine, EngineInfo
from edge_ad.errors import FrameError, InputError
from edge_ad.geometry import Layout, PreparedFrame, Preprocessor, Tile, find_regions, map_in_camera_pixels
from edge_ad.scoring.frame_statistics import FrameGuard, frame_statistics
from edge_ad.verdict import Box, FrameSpan, FrameStatistics, Reason, Region

__all__ = ["MeasuredObject", "Measurement", "Scorer"]


@dataclass(frozen=True, slots=True)
class MeasuredObject:
    """One of the objects of a frame, in camera pixels, and its raw score."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the model says of a frame, before any threshold.

    ``score``: raw, higher is more anomalous. ``map``: float32 ``(h', w')``, raw, ``-inf`` in cells that are not
    inspected; a view that the next measurement overwrites; ``None`` where the model has no map. ``covers``: the frames
    that a clip's score is about, relative to the measured frame, which is 0. ``objects``: where objects are scored,
    each of them; ``score`` is then the largest of their scores, and ``map`` is ``(k, h', w')``, one for each.
    """

    score: float
    map: NDArray[np.float32] | None
    geometry_ms: float
    engine_ms: float
    covers: FrameSpan | None = None
    objects: tuple[MeasuredObject, ...] = ()


class Scorer:
    """Scores frames with one engine. Not thread-safe.

    A tiled frame scores the largest of its tiles, and where tiles overlap the map keeps the larger value. With an
    ignore mask the score is the largest value of the map outside the mask, since the graph's own score has seen
    what is under it. ``frames_until_score``: how many frames in a row it takes after :meth:`reset` to have a score.
    ``guard``: refuses frames outside of its limits, before the engine runs; it has none until somebody sets them.
    ``takes_vectors``: its frames are vectors, float32 ``(n,)``, and no pictures. ``takes_objects``: it scores the
    objects of a frame, see :meth:`measure_objects`.
    """

    takes_vectors = False
    takes_objects = False

    def __init__(self, preprocessor: Preprocessor, engine: Engine) -> None:
        self.preprocessor = preprocessor
        self.engine = engine
        self._joined: NDArray[np.float32] | None = None
        self._canvas: NDArray[np.uint8] = engine.input[0]
        self.frames_until_score = 1
        self.guard = FrameGuard()

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """The engines that score a frame: one, and before it that of the extractor of a two-stage variant."""
        return (self.engine.info,)

    @property
    def canvas(self) -> NDArray[np.uint8] | None:
        """The last frame as the model got it, uint8 ``[h, w, c]``; a view that the next frame overwrites.

        ``None`` where frames are vectors.
        """
        return self._canvas

    def preparer(self) -> Preprocessor | None:
        """A second preprocessor of the same geometry, for another thread; :meth:`measure_prepared` takes its frames.

        ``None`` where a frame cannot be prepared without the frames before it.
        """
        own = self.preprocessor
        return Preprocessor(own.geometry, own.model_input, own.ignore_mask, map_size=own.map_size)

    def measure(self, frame: NDArray[np.uint8]) -> Measurement:
        """The raw score and map of a frame, uint8 ``(H, W)`` gray or ``(H, W, 3)`` BGR.

        Raises:
            FrameError: wrong type or shape, outside the limits of the guard, or the model gave a score or map that is
                not finite.
            EngineError: the engine failed.
        """
        start, out = perf_counter(), self.engine.input[0]
        prepared = self.preprocessor.prepare(frame, out)
        self.guard.check(frame, prepared.canvas)
        return self._run(prepared, out, start)

    def measure_prepared(self, frame: PreparedFrame) -> Measurement:
        """Measures a frame that :meth:`preparer` has prepared: bit for bit as :meth:`measure` does, but unguarded."""
        self.guard.looks = None
        return self._run(frame, self.engine.input[0], perf_counter())

    def measure_objects(self, frame: NDArray[np.uint8], objects: Sequence[Box]) -> Measurement:  # noqa: ARG002
        """The raw scores and maps of the objects in a frame. Only a bundle that scores objects can do this.

        Raises:
            InputError: this bundle scores whole frames.
        """
        raise InputError("this bundle scores whole frames: expected no objects; export with --level object for them")

    def regions(
        self, frame: NDArray[np.uint8], measured: Measurement, threshold: float, *, min_area_px: int
    ) -> tuple[Region, ...]:
        """Where the map of the frame just measured lies above the threshold; see ``find_regions``."""
        if measured.map is None:
            return ()
        return find_regions(measured.map, threshold, self.preprocessor.layout(frame), min_area_px=min_area_px)

    def map_in_camera_pixels(
        self,
        anomaly_map: NDArray[np.float32],
        frame: NDArray[np.uint8],
        objects: Sequence[Box] = (),  # noqa: ARG002  of a scorer of objects
    ) -> NDArray[np.float32]:
        """The map of a measured frame in camera pixels: float32 ``(H, W)``, NaN where nothing is inspected."""
        return map_in_camera_pixels(anomaly_map, self.preprocessor.layout(frame))

    def statistics(self) -> tuple[FrameStatistics | None, ...]:
        """Brightness, contrast and sharpness of the frame just measured, as the model got it.

        One entry, or one for each object where objects are scored; ``None`` for a vector.
        """
        canvas = self.canvas
        return (None if canvas is None else self.guard.looks or frame_statistics(canvas),)

    def measure_case(self, frames: Sequence[NDArray[np.uint8]]) -> Measurement:
        """Measures a golden case: here one frame."""
        (frame,) = frames
        return self.measure(frame)

    def run_bare(self) -> None:
        """Runs the engine alone, on the input that it was given last. Raises :class:`EngineError`."""
        self.engine.run()

    def reset(self) -> None:
        """Says that the next frame begins another scene; this changes nothing for a model of single frames."""

    def miss(self, count: int = 1) -> None:
        """Says that ``count`` frames are missing; this changes nothing for a model of single frames."""

    def keep_compiled(self) -> None:
        """Keeps what its engines compiled when they were opened: only where the golden frames were replayed."""
        for graph in self._graphs():
            if isinstance(graph, CompilingEngine):
                graph.keep_compiled()

    def _graphs(self) -> tuple[object, ...]:
        return (self.engine,)

    def close(self) -> None:
        self.engine.close()

    def _run(self, frame: PreparedFrame, out: NDArray[np.uint8], start: float) -> Measurement:
        engine_s = 0.0
        self._canvas = frame.canvas
        score, anomaly_map = -math.inf, None
        for tile in frame.tiles(out):
            begin = perf_counter()
            output = self.engine.run()
            engine_s += perf_counter() - begin
            score = output.score if output.score > score or math.isnan(output.score) else score
            anomaly_map = self._join(frame.layout, output.map, tile)
        score, anomaly_map = self._masked(frame.valid, score, anomaly_map)
        # The largest value of a map with a NaN in it is NaN.
        if not math.isfinite(score) or (anomaly_map is not None and not math.isfinite(anomaly_map.max())):
            raise FrameError(Reason.NOT_FINITE.value, "the model gave a score or map that is not a finite number")
        total_s = perf_counter() - start
        return Measurement(score, anomaly_map, (total_s - engine_s) * 1e3, engine_s * 1e3)

    def _join(self, layout: Layout, part: NDArray[np.float32] | None, tile: Tile) -> NDArray[np.float32] | None:
        if part is None or layout.tiles == 1:
            return part
        shape = (layout.y.map_length, layout.x.map_length)
        if self._joined is None or self._joined.shape != shape:
            self._joined = np.empty(shape, np.float32)
        if tile.row == tile.column == 0:
            self._joined.fill(-np.inf)
        view = self._joined[tile.row : tile.row + part.shape[0], tile.column : tile.column + part.shape[1]]
        np.maximum(view, part, out=view)
        return self._joined

    def _masked(
        self, valid: NDArray[np.bool_] | None, score: float, anomaly_map: NDArray[np.float32] | None
    ) -> tuple[float, NDArray[np.float32] | None]:
        if anomaly_map is None or valid is None:
            return score, anomaly_map
        masked = np.where(valid, anomaly_map, np.float32(-np.inf))
        return (float(masked.max()) if self.preprocessor.ignore_mask is not None else score), masked
