"""From a frame to a sample of a clip: a resized frame, optical flow or a feature vector."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import FrameError
from edge_ad.verdict import Reason

if TYPE_CHECKING:
    from edge_ad.bundle.clip import Clip
    from edge_ad.engines.base import Extractor
    from edge_ad.geometry import Preprocessor
    from edge_ad.scoring.frame_statistics import FrameGuard

__all__ = ["Sampler", "make_sampler"]

_PICTURE = 3


class Sampler(Protocol):
    """Writes samples.

    ``earlier``: how many frames before its own a sample depends on. ``canvas``: the last frame as the model got it,
    uint8 ``[h, w, c]``; ``None`` where the sample itself is that picture, or the frame is a vector. ``engine_s``:
    seconds that an engine took for the last sample.
    """

    @property
    def earlier(self) -> int: ...

    @property
    def engine_s(self) -> float: ...

    @property
    def canvas(self) -> NDArray[np.uint8] | None: ...

    def write(self, frame: NDArray[Any], out: NDArray[Any], *, due: bool = True) -> bool:
        """Writes the frame's sample into ``out``; ``False`` where an earlier frame that it takes is not there.

        ``due``: whether a score will ever need it; else it may be left out, which is ``False`` too.
        Raises :class:`~edge_ad.errors.FrameError`; the frame then counts as missing.
        """
        ...

    def miss(self) -> None:
        """Says that a frame is missing."""
        ...

    def clear(self) -> None:
        """Says that the next frame begins another scene."""
        ...


class FrameSampler:
    """The frame itself, resized once, straight into its place."""

    earlier = 0
    engine_s = 0.0
    canvas: NDArray[np.uint8] | None = None

    def __init__(self, preprocessor: Preprocessor, guard: FrameGuard) -> None:
        self._preprocessor = preprocessor
        self._guard = guard

    def write(self, frame: NDArray[Any], out: NDArray[Any], *, due: bool = True) -> bool:  # noqa: ARG002
        for _ in self._preprocessor.tiles(frame, out):
            pass
        self._guard.check(frame, out)
        return True

    def miss(self) -> None:
        pass

    def clear(self) -> None:
        pass


class FlowSampler:
    """Dense inverse search flow (Kroeger et al. 2016, OpenCV's DIS, preset ``fast``) from the frame ``stride`` earlier.

    Flow is taken between pictures of the model's input size, gray, and given in its pixels.
    """

    engine_s = 0.0

    def __init__(self, preprocessor: Preprocessor, stride: int, guard: FrameGuard) -> None:
        size = preprocessor.model_input
        self.earlier = stride
        self._preprocessor = preprocessor
        self._guard = guard
        self.canvas: NDArray[np.uint8] = np.zeros((size.height, size.width, size.channels), np.uint8)
        self._past: deque[NDArray[np.uint8] | None] = deque(maxlen=stride)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def write(self, frame: NDArray[Any], out: NDArray[Any], *, due: bool = True) -> bool:  # noqa: ARG002
        for _ in self._preprocessor.tiles(frame, self.canvas):
            pass
        self._guard.check(frame, self.canvas)
        gray = self._gray()
        past = self._past[0] if len(self._past) == self.earlier else None
        if past is not None:
            out.fill(0)  # DIS takes what stands there for a first guess
            self._flow.calc(past, gray, out)
        self._past.append(gray)
        return past is not None

    def miss(self) -> None:
        self._past.append(None)

    def clear(self) -> None:
        self._past.clear()

    def _gray(self) -> NDArray[np.uint8]:
        if self.canvas.shape[2] == 1:
            return np.array(self.canvas[:, :, 0])
        return np.asarray(cv2.cvtColor(self.canvas, cv2.COLOR_BGR2GRAY), np.uint8)


class VectorSampler:
    """Vectors that the caller hands in: from another sensor, or from an extractor of his own."""

    earlier = 0
    engine_s = 0.0
    canvas: NDArray[np.uint8] | None = None

    def __init__(self, size: int) -> None:
        self._shape = (size,)

    def write(self, frame: NDArray[Any], out: NDArray[Any], *, due: bool = True) -> bool:  # noqa: ARG002
        if frame.shape != self._shape or frame.dtype.kind != "f":
            raise FrameError(
                Reason.WRONG_SHAPE.value,
                f"expected a vector of {self._shape[0]} floating-point features, found {frame.dtype} "
                f"{list(frame.shape)}",
            )
        _store(frame, out)
        return True

    def miss(self) -> None:
        pass

    def clear(self) -> None:
        pass


class ExtractorSampler:
    """The vector that the bundle's extractor makes of a frame, or of the snippet of frames that ends with it."""

    def __init__(self, preprocessor: Preprocessor, extractor: Extractor, guard: FrameGuard) -> None:
        taken = extractor.input[0]
        # A single frame goes straight into the extractor's input; those of a snippet move up by one as each comes.
        self._window: NDArray[np.uint8] = np.zeros_like(taken) if taken.ndim > _PICTURE else taken[None]
        self.earlier = len(self._window) - 1
        self.canvas: NDArray[np.uint8] = self._window[-1]
        self.engine_s = 0.0
        self._in_a_row = 0
        self._preprocessor = preprocessor
        self._extractor = extractor
        self._guard = guard

    def write(self, frame: NDArray[Any], out: NDArray[Any], *, due: bool = True) -> bool:
        self.engine_s = 0.0
        if not due and not self.earlier:
            return False
        for place in range(self.earlier):
            self._window[place] = self._window[place + 1]
        for _ in self._preprocessor.tiles(frame, self.canvas):
            pass
        self._guard.check(frame, self.canvas)
        self._in_a_row += 1
        if not due or self._in_a_row <= self.earlier:
            return False
        if self.earlier:
            np.copyto(self._extractor.input[0], self._window)
        start = perf_counter()
        self._extractor.run()
        self.engine_s = perf_counter() - start
        _store(self._extractor.features, out)
        return True

    def miss(self) -> None:
        self._in_a_row = 0

    def clear(self) -> None:
        self._in_a_row = 0


def make_sampler(
    preprocessor: Preprocessor, clip: Clip, guard: FrameGuard, extractor: Extractor | None = None
) -> Sampler:
    """What the clip's ``input`` asks for. ``guard``: refuses frames. ``extractor``: of a two-stage variant."""
    if extractor is not None:
        return ExtractorSampler(preprocessor, extractor, guard)
    if clip.input == "flow":
        return FlowSampler(preprocessor, clip.stride, guard)
    if clip.input == "frame":
        return FrameSampler(preprocessor, guard)
    return VectorSampler(preprocessor.model_input.width)


def _store(features: NDArray[Any], out: NDArray[Any]) -> None:
    """Copies a vector into its place, float32. Raises :class:`FrameError` where float32 cannot hold it."""
    with np.errstate(over="ignore"):
        np.copyto(out, features)
    if not np.isfinite(out).all():
        raise FrameError(Reason.NOT_FINITE.value, "the features hold values that are not finite numbers")
