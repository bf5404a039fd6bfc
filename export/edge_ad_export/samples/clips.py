"""The normal clips that export measures with. A short source is read once, a longer one whenever it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from edge_ad.bundle.records import Clip
from edge_ad.errors import FrameError, InputError
from edge_ad.sources import open_source
from edge_ad.sources.frame_name import FrameName
from edge_ad_export.model.input_spec import Size
from edge_ad_export.samples.images import IMAGES_MIN, ImageSet
from edge_ad_metrics.sampling import evenly_spaced, evenly_stepped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.geometry import Preprocessor
    from edge_ad.scoring.scorer import Scorer
    from edge_ad_export.model.clip_spec import ClipOptions
    from edge_ad_export.model.imported import ImportedModel
    from edge_ad_export.model.input_spec import InputSpec

__all__ = [
    "CLIP_KINDS",
    "FITTING_CLIP_KINDS",
    "FITTING_VECTOR_KINDS",
    "VECTOR_KINDS",
    "ClipDefects",
    "ClipKind",
    "ClipSet",
    "Frames",
    "collect_clips",
    "collect_pictures",
    "select_clips",
]

_KEPT_BYTES = 256 << 20

ClipKind = Literal["patch", "jump", "freeze", "flash"]
CLIP_KINDS: Final[tuple[ClipKind, ...]] = ("patch", "jump", "freeze")
"""The kinds of defects by which variants are judged."""
FITTING_CLIP_KINDS: Final[tuple[ClipKind, ...]] = ("patch", "jump", "flash")
"""The kinds that a quantizer sees: never a scene that freezes."""
VECTOR_KINDS: Final[tuple[ClipKind, ...]] = ("jump",)
"""Those by which models of vectors are judged."""
FITTING_VECTOR_KINDS: Final[tuple[ClipKind, ...]] = ("freeze",)
# By so many gray levels.
_FLASH = (40, 120)


class Frames:
    """The frames of a video, of a folder of frames or of an ``.npy`` file, as often as they are asked for.

    If all of them take 256 MiB at most, they are kept in memory when they are first read to the end. An export reads
    its clips about fifteen times, and starts a process for the decoder of a video each time.

    Iterating raises:
        InputError: they are not vectors where ``vectors`` says so, or the other way round. ``None`` takes both.
        FrameError: names a frame that cannot be read.
    """

    def __init__(self, source: str, *, vectors: bool | None = None) -> None:
        self._source = source
        self._vectors = vectors
        self._kept: list[NDArray[Any]] | None = None

    def __iter__(self) -> Iterator[NDArray[Any]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[NDArray[Any]] = []
        size = 0
        for frame in self._read():
            size += frame.nbytes
            if size <= _KEPT_BYTES:
                kept.append(frame)
            else:
                kept.clear()
            yield frame
        if size <= _KEPT_BYTES:
            self._kept = kept

    def _read(self) -> Iterator[NDArray[Any]]:
        with closing(open_source(self._source)) as opened:
            for frame in opened:
                sample = frame.sample
                if sample is None:
                    raise frame.error or FrameError("unreadable", f"{frame.source} has no picture")
                if self._vectors is not None and self._vectors != (frame.features is not None):
                    expected = "an .npy file of vectors" if self._vectors else "pictures: a video or a folder of frames"
                    raise InputError(f"--images {self._source}: this model takes {expected}")
                yield sample


@dataclass(frozen=True)
class ClipSet(ImageSet):
    """Clips of a video, of a folder of frames, or of an ``.npy`` file of vectors.

    A clip is uint8 ``(frames, H, W, 3)`` or ``(frames, H, W)``, or float32 ``(frames, n)`` if it is made of vectors.

    ``source``: the frames of the video, folder or file. ``ends``: the number of each clip's last frame, counted from 0.
    ``frames``: how many frames a clip has. ``stride``: the number of frames from one of them to the next in the source.
    ``snippet``: for an extractor that takes several frames, each of the ``frames`` is replaced by this number of frames
    in a row, of which it is the last.
    """

    source: Frames
    ends: tuple[int, ...]
    frames: int
    stride: int
    snippet: int = 1

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Raises :class:`FrameError` that names a frame which cannot be read."""
        reach = (self.frames - 1) * self.stride + self.snippet - 1
        places = [i * self.stride + k for i in range(self.frames) for k in range(self.snippet)]
        wanted = set(self.ends)
        past: deque[NDArray[np.uint8]] = deque(maxlen=reach + 1)
        for index, frame in enumerate(self.source):
            past.append(frame)
            if index in wanted:
                yield np.stack([past[place] for place in places])
            if index >= self.ends[-1]:
                return

    def sizes(self) -> frozenset[Size]:
        """The sizes of the frames that occur. A vector counts as a picture of one row."""
        shapes = {clip.shape[1:3] for clip in self}
        return frozenset(Size(shape[-1], shape[0] if len(shape) > 1 else 1) for shape in shapes)

    def first(self, count: int) -> ClipSet:
        """The first ``count`` clips, or all if there are fewer."""
        return self.chosen(range(len(self.paths))[:count])

    def chosen(self, places: Sequence[int]) -> ClipSet:
        """The clips at these places, which ascend."""
        paths = tuple(self.paths[place] for place in places)
        return replace(self, paths=paths, ends=tuple(self.ends[place] for place in places))

    @property
    def samples(self) -> tuple[ClipSample, ...]:
        """One entry for each clip, as in :class:`~edge_ad_export.samples.defects.DefectSet`."""
        return tuple(ClipSample(path) for path in self.paths)


@dataclass(frozen=True)
class ClipSample:
    """``path``: the name of a clip."""

    path: Path


@dataclass(frozen=True)
class ClipDefects(ClipSet):
    """The same clips with a synthetic defect each; the ``kinds`` take turns.

    ``patch``: a patch of the first frame appears upside down in the last one. ``jump``: the scene jumps back in time.
    ``freeze``: nothing moves. ``flash``: the last frame is brighter. Vectors can only jump or freeze.
    """

    kinds: tuple[ClipKind, ...] = CLIP_KINDS
    seed: int = 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        random = np.random.default_rng(self.seed)
        for index, clip in enumerate(super().__iter__()):
            yield _spoil(clip, self.kinds[index % len(self.kinds)], random, self.snippet)


def clip_record(imported: ImportedModel, asked: ClipOptions | None, snippet: int = 1) -> Clip | None:
    """The manifest's record of the clips; ``None`` for a model of single images.

    ``snippet``: how many frames in a row an extractor takes.
    """
    spec = imported.input.clip
    if spec is None or asked is None:
        return None
    return Clip(
        length=spec.length,
        stride=asked.stride,
        hop=asked.hop,
        covers="last" if spec.taken < spec.length else "clip",
        input=spec.input,
        smoothing=asked.smoothing,
        snippet=snippet,
    )


def select_clips(
    source: str, spec: InputSpec, asked: ClipOptions, *, most: int, snippet: int = 1, vectors: bool = False
) -> ClipSet:
    """At most ``most`` clips of a video, a folder of frames or an ``.npy`` file of vectors, evenly spaced.

    ``snippet``: how many frames in a row an extractor takes. ``vectors``: whether the source must hold feature vectors.

    Raises:
        InputError: there is no such source, or it has too few frames.
        FrameError: a frame cannot be read.
    """
    clip = spec.clip
    if clip is None:
        raise AssertionError("clips are selected for models of clips")
    frames = clip.length + (clip.input == "flow")
    reach = (frames - 1) * asked.stride + snippet - 1
    all_frames = Frames(source, vectors=vectors)
    total = sum(1 for _ in all_frames) - reach
    if total < IMAGES_MIN:
        raise InputError(
            f"{source} has {max(total + reach, 0)} frames: expected at least {reach + IMAGES_MIN}, because a clip has "
            f"{frames} frames that are {asked.stride} apart; 30 more would be better"
        )
    ends = tuple(reach + i for i in evenly_spaced(total, most))
    paths = tuple(Path(str(FrameName(str(source), end))) for end in ends)
    return ClipSet(paths, total, all_frames, ends, frames, asked.stride, snippet)


def collect_clips(scorer: Scorer, clips: ClipSet, limit: int) -> tuple[NDArray[np.uint8], ...]:
    """The inputs that the engine gets for at most ``limit`` clips, evenly spaced over all of them."""
    chosen = evenly_stepped(len(clips), limit)
    inputs = []
    for index, clip in enumerate(clips):
        if index in chosen:
            scorer.measure(clip)
            inputs.append(scorer.engine.input.copy())
    return tuple(inputs)


def collect_pictures(preprocessor: Preprocessor, clips: ClipSet, limit: int) -> tuple[NDArray[np.uint8], ...]:
    """The inputs that an extractor gets for frames of the clips, at most ``limit`` of them.

    They are uint8: pictures ``[1, h, w, c]``, or snippets ``[1, t, h, w, c]``.
    """
    size = preprocessor.model_input
    buffer = np.zeros((clips.snippet, size.height, size.width, size.channels), np.uint8)
    share = max(limit // len(clips), 1)
    pictures: list[NDArray[np.uint8]] = []
    for clip in clips:
        snippets = clip.reshape(-1, clips.snippet, *clip.shape[1:])
        for place in sorted(len(snippets) - 1 - i for i in evenly_spaced(len(snippets), share)):
            for frame, out in zip(snippets[place], buffer, strict=True):
                for _ in preprocessor.tiles(frame, out):
                    pass
            pictures.append(buffer.copy() if clips.snippet == 1 else buffer[None].copy())
    return tuple(pictures[:limit])


def _spoil(clip: NDArray[np.uint8], kind: ClipKind, random: np.random.Generator, last: int) -> NDArray[np.uint8]:
    """A copy of the clip with a defect of that kind. ``last``: how many frames make the last sample."""
    spoilt: NDArray[np.uint8] = clip.copy()
    if kind == "jump":
        spoilt[-last:] = clip[:last]
        spoilt[:-last] = clip[last:]
    elif kind == "freeze":
        spoilt[:] = clip[0]
    elif kind == "flash":
        spoilt[-last:] = np.clip(clip[-last:].astype(np.int16) + int(random.integers(*_FLASH)), 0, 255)
    else:
        height, width = (side // 4 for side in clip.shape[1:3])
        y, x = (int(random.integers(0, side - side // 4)) for side in clip.shape[1:3])
        spoilt[-last:, y : y + height, x : x + width] = 255 - clip[0, :height, :width][::-1]
    return spoilt
