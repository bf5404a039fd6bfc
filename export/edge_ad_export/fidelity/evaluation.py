"""What scorers make of the same frames, one frame at a time: normals, synthetic defects, labelled images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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

__all__ = ["Candidate", "CandidateScores", "EvaluationData", "evaluate_candidates"]

Kind = Literal["normals", "defects", "labelled"]

# Grid points a side on which maps are looked at: neighbouring pixels say the same.
_SIDE = 256
# Those of labelled images are kept, so that of many images there are fewer, but no fewer than this.
_LEAST_SIDE = 128
_KEPT_PIXELS = 8_000_000


@dataclass(frozen=True)
class EvaluationData:
    """What variants are judged by. ``labelled`` is empty without ``--labelled``."""

    images: ImageSet
    defects: DefectSet | ClipDefects
    labelled: tuple[LabelledImage, ...] = ()


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
    """A variant on trial: what has been seen of it so far. ``failed`` says why it was given up."""

    id: str
    scorer: Scorer
    seen: CandidateScores = field(default_factory=CandidateScores)
    correlations: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failed: str | None = None


@dataclass(frozen=True)
class _EvaluationFrame:
    """One frame. ``truth``: which pixels are a defect, ``None`` where that is not asked or not known."""

    kind: Kind
    path: Path
    frame: NDArray[np.uint8]
    truth: NDArray[np.bool_] | None = None
    type: str = ""
    side: int = _SIDE


def evaluate_candidates(
    reference: Scorer, candidates: Sequence[Candidate], evidence: EvaluationData
) -> CandidateScores:
    """Scores every frame with the reference, whose scores are returned, and with every candidate.

    Raises:
        InputError: the imported model cannot score an image.
        ModelError: it scores all normals the same.
    """
    expected = CandidateScores()
    for seen in (expected, *(candidate.seen for candidate in candidates)):
        seen.localisation = Aupimo(len(evidence.images))
    for shot in _shots(evidence):
        try:
            found = reference.measure(shot.frame)
        except FrameError as error:
            raise InputError(f"the imported model cannot score {shot.path}: {error}") from None
        _note(expected, shot, found, reference)
        for candidate in candidates:
            if candidate.failed is None:
                _measure(candidate, shot, found.map)
    scores = expected.normals
    if np.ptp(scores) == 0:
        raise ModelError(
            f"the model scores all {len(scores)} images {scores[0]:g}: it tells nothing apart; "
            "check which output is the score, and scale, mean and colour order of the input"
        )
    return expected


def _shots(evidence: EvaluationData) -> Iterator[_EvaluationFrame]:
    defects = evidence.defects
    drawn = isinstance(defects, DefectSet)
    for path, image in zip(evidence.images.paths, evidence.images, strict=True):
        yield _EvaluationFrame("normals", path, image, np.zeros(image.shape[:2], bool) if drawn else None)
    if isinstance(defects, DefectSet):
        for sample in defects.samples:
            defect = defects.draw(sample)
            yield _EvaluationFrame("defects", sample.path, defect.image, defect.mask)
    else:
        for clip, spoilt in zip(defects.samples, defects, strict=True):
            yield _EvaluationFrame("defects", clip.path, spoilt)
    side = int(np.clip(np.sqrt(_KEPT_PIXELS / max(len(evidence.labelled), 1)), _LEAST_SIDE, _SIDE))
    for one in evidence.labelled:
        frame = read_image(one.path)
        yield _EvaluationFrame("labelled", one.path, frame, read_defect(one, *frame.shape[:2]), one.type, side)


def _measure(candidate: Candidate, shot: _EvaluationFrame, heat: NDArray[np.float32] | None) -> None:
    try:
        found = candidate.scorer.measure(shot.frame)
    except (FrameError, EngineError) as error:
        candidate.failed = f"cannot score {shot.path.name}: {error}"
        return
    _note(candidate.seen, shot, found, candidate.scorer)
    if heat is not None and found.map is not None and shot.kind != "labelled":
        candidate.correlations.append(correlate(found.map, heat))


def _note(seen: CandidateScores, shot: _EvaluationFrame, found: Measurement, scorer: Scorer) -> None:
    seen.of(shot.kind).append(found.score)
    if shot.truth is None or found.map is None:
        return
    pixels = sample_pixels(found.map, shot.truth, scorer.preprocessor.layout(shot.frame), shot.side, shot.type)
    if shot.kind == "normals":
        seen.localisation.add_normal(pixels.anomaly_map)
    elif shot.kind == "defects":
        seen.localisation.add_defect(pixels.anomaly_map[pixels.mask])
    elif pixels.mask.any() == shot.truth.any():  # else the defect lies between the grid's points
        seen.pixels.append(pixels)
