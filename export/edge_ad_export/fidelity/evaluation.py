"""Scores the imported model and its variants on the same frames: normals, synthetic defects, labelled images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.errors import EngineError, FrameError, InputError, ModelError
from edge_ad.scoring.golden import correlate
from edge_ad.sources import read_image
from edge_ad_export.fidelity.localisation import sample_pixels
from edge_ad_export.samples.defects import DefectSet
from edge_ad_metrics.aupimo import Aupimo
from edge_ad_metrics.datasets.masks import read_defect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad.scoring.scorer import Measurement, Scorer
    from edge_ad_export.samples.clips import ClipDefects
    from edge_ad_export.samples.images import ImageSet
    from edge_ad_metrics.datasets.dataset import LabelledImage
    from edge_ad_metrics.pixels import PixelSample

__all__ = [
    "Candidate",
    "CandidateScores",
    "EvaluationData",
    "Reference",
    "Watch",
    "evaluate_candidates",
    "evaluate_reference",
]

Kind = Literal["normals", "defects", "labelled"]

_FRAMES_AT_ONCE = 8

# Grid points a side on which maps are looked at: neighbouring pixels say the same.
_SIDE = 256
# Those of labelled images are kept, so that of many images there are fewer, but no fewer than this.
_LEAST_SIDE = 128
_KEPT_PIXELS = 8_000_000


@dataclass(frozen=True)
class Watch:
    """What is told while frames are scored. ``announce``: once, how many seconds that will take. ``advance``: of how
    many frames more that is done."""

    announce: Callable[[float], object] = lambda _seconds: None
    advance: Callable[[int], object] = lambda _count: None


@dataclass(frozen=True)
class EvaluationData:
    """What variants are judged by. ``labelled`` is empty without ``--labelled``. ``groups``: to which part each of the
    images belongs; without it each is a part."""

    images: ImageSet
    defects: DefectSet | ClipDefects
    labelled: tuple[LabelledImage, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The part of each image and that of each synthetic defect, which is that of the image underneath."""
        of = np.array(self.groups or range(len(self.images)), np.intp)
        places = {path: place for place, path in enumerate(self.images.paths)}
        return of, of[[places[sample.path] for sample in self.defects.samples]]

    @property
    def total(self) -> int:
        """How many frames are scored."""
        return len(self.images) + len(self.defects.samples) + len(self.labelled)


@dataclass
class CandidateScores:
    """Scores in the order of the frames; ``pixels``: of labelled images whose masks are known. ``localisation``: how
    well the maps mark the synthetic defects."""

    normals: list[float] = field(default_factory=list)
    defects: list[float] = field(default_factory=list)
    labelled: list[float] = field(default_factory=list)
    pixels: list[PixelSample] = field(default_factory=list)
    localisation: Aupimo = field(default_factory=lambda: Aupimo(1))

    def of(self, kind: Kind) -> list[float]:
        """The list of that kind."""
        return {"normals": self.normals, "defects": self.defects, "labelled": self.labelled}[kind]


@dataclass
class Candidate:
    """A variant that is evaluated, and what was found so far. ``failed`` says why it is not scored any further."""

    id: str
    scorer: Scorer
    scores: CandidateScores = field(default_factory=CandidateScores)
    map_correlations: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failed: str | None = None


_NOBODY = Watch()


class Reference:
    """Scores and maps of the imported model, computed once, which all candidates are compared with.

    The maps lie in a temporary file, because those of many images may not fit into memory: close it in the end.
    """

    def __init__(self) -> None:
        self.scores = CandidateScores()
        self._file = TemporaryFile()  # noqa: SIM115 - closed by close()
        self._offsets: list[int | None] = []

    def add_map(self, anomaly_map: NDArray[np.float32] | None) -> None:
        """Keeps the map of the next frame, ``None`` where it has none."""
        self._offsets.append(None if anomaly_map is None else self._file.seek(0, os.SEEK_END))
        if anomaly_map is not None:
            np.save(self._file, anomaly_map)

    def map(self, index: int) -> NDArray[np.float32] | None:
        """The map of a frame, float32 ``(h, w)``."""
        offset = self._offsets[index]
        if offset is None:
            return None
        self._file.seek(offset)
        found: NDArray[np.float32] = np.load(self._file)
        return found

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class _EvaluationFrame:
    """One frame. ``truth``: which pixels are a defect, ``None`` where that is not asked or not known."""

    kind: Kind
    path: Path
    frame: NDArray[np.uint8]
    truth: NDArray[np.bool_] | None = None
    type: str = ""
    side: int = _SIDE


def evaluate_reference(scorer: Scorer, data: EvaluationData, watch: Watch = _NOBODY) -> Reference:
    """Scores every frame with the imported model.

    Raises:
        InputError: the imported model cannot score an image.
        ModelError: it scores all normals the same.
    """
    reference = Reference()
    reference.scores.localisation = Aupimo(len(data.images))
    try:
        for frames in _groups(data, watch):
            for _, frame in frames:
                _add_to_reference(reference, frame, scorer)
        _check_spread(reference.scores.normals)
    except BaseException:
        reference.close()
        raise
    return reference


def _add_to_reference(reference: Reference, frame: _EvaluationFrame, scorer: Scorer) -> None:
    try:
        found = scorer.measure(frame.frame)
    except FrameError as error:
        raise InputError(f"the imported model cannot score {frame.path}: {error}") from None
    _note(reference.scores, frame, found, scorer)
    reference.add_map(None if frame.kind == "labelled" else found.map)


def _check_spread(scores: Sequence[float]) -> None:
    if np.ptp(scores) == 0:
        raise ModelError(
            f"the model scores all {len(scores)} images {scores[0]:g}: it tells nothing apart; "
            "check which output is the score, and scale, mean and colour order of the input"
        )


def evaluate_candidates(
    candidates: Sequence[Candidate],
    data: EvaluationData,
    reference: Reference,
    watch: Watch = _NOBODY,
    *,
    least_map_correlation: float = -np.inf,
) -> None:
    """Scores every frame with every candidate and compares the maps with the reference's.

    Args:
        watch: is told how long that will take, and how far it is.
        least_map_correlation: a candidate fails at the first map that correlates less.
    """
    for candidate in candidates:
        candidate.scores.localisation = Aupimo(len(data.images))
    for frames in _groups(data, watch):
        for candidate in candidates:
            for index, frame in frames:
                if candidate.failed is None:
                    _measure(candidate, frame, reference.map(index), least_map_correlation)
        if all(candidate.failed for candidate in candidates):
            return


def _groups(data: EvaluationData, watch: Watch) -> Iterator[list[tuple[int, _EvaluationFrame]]]:
    """The frames, numbered, a few at a time: ONNX Runtime's threads keep the cores busy for a while after a run, which
    slows another engine's next run. After the first group the time for all of them is told."""
    frames = enumerate(_frames(data))
    start = perf_counter()
    while group := list(islice(frames, _FRAMES_AT_ONCE)):
        yield group
        if group[0][0] == 0 and len(group) < data.total:
            watch.announce((perf_counter() - start) * data.total / len(group))
        watch.advance(len(group))


def _frames(data: EvaluationData) -> Iterator[_EvaluationFrame]:
    defects = data.defects
    drawn = isinstance(defects, DefectSet)
    for path, image in zip(data.images.paths, data.images, strict=True):
        yield _EvaluationFrame("normals", path, image, np.zeros(image.shape[:2], bool) if drawn else None)
    if isinstance(defects, DefectSet):
        for sample in defects.samples:
            defect = defects.draw(sample)
            yield _EvaluationFrame("defects", sample.path, defect.image, defect.mask)
    else:
        for clip, spoilt in zip(defects.samples, defects, strict=True):
            yield _EvaluationFrame("defects", clip.path, spoilt)
    side = int(np.clip(np.sqrt(_KEPT_PIXELS / max(len(data.labelled), 1)), _LEAST_SIDE, _SIDE))
    for one in data.labelled:
        frame = read_image(one.path)
        yield _EvaluationFrame("labelled", one.path, frame, read_defect(one, *frame.shape[:2]), one.type, side)


def _measure(candidate: Candidate, frame: _EvaluationFrame, expected: NDArray[np.float32] | None, least: float) -> None:
    try:
        found = candidate.scorer.measure(frame.frame)
    except (FrameError, EngineError) as error:
        candidate.failed = f"cannot score {frame.path.name}: {error}"
        return
    _note(candidate.scores, frame, found, candidate.scorer)
    if expected is None or found.map is None or frame.kind == "labelled":
        return
    correlation = correlate(found.map, expected)
    candidate.map_correlations.append(correlation)
    if correlation < least:
        candidate.failed = f"map correlation {correlation:.4f} of {frame.path.name} below {least:g}"


def _note(scores: CandidateScores, frame: _EvaluationFrame, found: Measurement, scorer: Scorer) -> None:
    scores.of(frame.kind).append(found.score)
    if frame.truth is None or found.map is None:
        return
    pixels = sample_pixels(found.map, frame.truth, scorer.preprocessor.layout(frame.frame), frame.side, frame.type)
    if frame.kind == "normals":
        scores.localisation.add_normal(pixels.anomaly_map)
    elif frame.kind == "defects":
        scores.localisation.add_defect(pixels.anomaly_map[pixels.mask])
    elif pixels.mask.any() == frame.truth.any():  # else the defect lies between the grid's points
        scores.pixels.append(pixels)
