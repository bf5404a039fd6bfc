"""What scorers make of the same frames, one frame at a time: normals, synthetic defects, labelled images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.errors import EngineError, FrameError, InputError, ModelError
from edge_ad.golden import correlate
from edge_ad.sources import read_image
from edge_ad_export.labelled import LabelledImage, pixel_values, read_truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad.scoring import Measurement, Scorer
    from edge_ad_export.defects import DefectSet
    from edge_ad_export.images import ImageSet
    from edge_ad_export.video.clips import ClipDefects

__all__ = ["Contender", "Evidence", "Seen", "observe"]

Kind = Literal["normals", "defects", "labelled"]


@dataclass(frozen=True)
class Evidence:
    """What variants are judged by. ``labelled`` is empty without ``--labelled``."""

    images: ImageSet
    defects: DefectSet | ClipDefects
    labelled: tuple[LabelledImage, ...] = ()


@dataclass
class Seen:
    """Scores in the order of the frames; ``pixels``: of labelled images whose masks are known."""

    normals: list[float] = field(default_factory=list)
    defects: list[float] = field(default_factory=list)
    labelled: list[float] = field(default_factory=list)
    pixels: list[NDArray[np.float32]] = field(default_factory=list)

    def of(self, kind: Kind) -> list[float]:
        """The list of that kind."""
        return {"normals": self.normals, "defects": self.defects, "labelled": self.labelled}[kind]


@dataclass
class Contender:
    """A variant on trial: what has been seen of it so far. ``failed`` says why it was given up."""

    id: str
    scorer: Scorer
    seen: Seen = field(default_factory=Seen)
    correlations: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failed: str | None = None


@dataclass(frozen=True)
class _Shot:
    """One frame. ``truth``: which pixels are a defect, ``None`` where that is not asked or not known."""

    kind: Kind
    path: Path
    frame: NDArray[np.uint8]
    truth: NDArray[np.bool_] | None = None


def observe(reference: Scorer, contenders: Sequence[Contender], evidence: Evidence) -> Seen:
    """Scores every frame with the reference, whose scores are returned, and with every contender.

    Raises:
        InputError: the imported model cannot score an image.
        ModelError: it scores all normals the same.
    """
    expected = Seen()
    for shot in _shots(evidence):
        try:
            found = reference.measure(shot.frame)
        except FrameError as error:
            raise InputError(f"the imported model cannot score {shot.path}: {error}") from None
        _note(expected, shot, found, reference)
        for contender in contenders:
            if contender.failed is None:
                _measure(contender, shot, found.map)
    scores = expected.normals
    if np.ptp(scores) == 0:
        raise ModelError(
            f"the model scores all {len(scores)} images {scores[0]:g}: it tells nothing apart; "
            "check which output is the score, and scale, mean and colour order of the input"
        )
    return expected


def _shots(evidence: Evidence) -> Iterator[_Shot]:
    for path, image in zip(evidence.images.paths, evidence.images, strict=True):
        yield _Shot("normals", path, image)
    paths = [sample.path for sample in evidence.defects.samples]
    for path, spoilt in zip(paths, evidence.defects, strict=True):
        yield _Shot("defects", path, spoilt)
    for one in evidence.labelled:
        frame = read_image(one.path)
        yield _Shot("labelled", one.path, frame, read_truth(one, frame.shape))


def _measure(contender: Contender, shot: _Shot, heat: NDArray[np.float32] | None) -> None:
    try:
        found = contender.scorer.measure(shot.frame)
    except (FrameError, EngineError) as error:
        contender.failed = f"cannot score {shot.path.name}: {error}"
        return
    _note(contender.seen, shot, found, contender.scorer)
    if heat is not None and found.map is not None and shot.kind != "labelled":
        contender.correlations.append(correlate(found.map, heat))


def _note(seen: Seen, shot: _Shot, found: Measurement, scorer: Scorer) -> None:
    seen.of(shot.kind).append(found.score)
    if shot.truth is not None and found.map is not None:
        seen.pixels.append(pixel_values(found.map, shot.truth, scorer.preprocessor, shot.frame))
