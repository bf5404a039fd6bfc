"""Labelled data through a variant of a bundle: scored rows, and what only maps and clips can say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import InputError
from edge_ad.geometry import map_in_camera_pixels, plan
from edge_ad_calibration.evaluation.records import ScoredRow
from edge_ad_calibration.scoring import ScoreJob, UnscoredImage, score_images
from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.masks import read_defect, unmarked_note
from edge_ad_metrics.pixels import PixelSample, measure_pixels
from edge_ad_metrics.ranking import Scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_ad.bundle import Bundle, FrameLimits, Variant
    from edge_ad.bundle.records import FrameSize
    from edge_ad.geometry import Layout
    from edge_ad_calibration.evaluation.records import VideoMetrics
    from edge_ad_calibration.scoring import MapJournal, Outcome, Progress, ScoredImage, ScorePlan
    from edge_ad_metrics.datasets.dataset import LabelledImage
    from edge_ad_metrics.pixels import PixelAreas

__all__ = ["Observed", "Scoring", "decided_scores", "observations", "observe_images", "scores_of"]

_WAITING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """With what is scored, where and how. ``threshold``: the calibrated one, if there is one; ``limits``: the limits of
    frames that go with it.

    ``journal``: keeps the maps, where the job wants them.
    """

    bundle: Bundle
    variant: Variant
    job: ScoreJob
    plan: ScorePlan
    progress: Progress
    threshold: float | None
    journal: MapJournal
    limits: FrameLimits | None = None

    def refuses(self, outcome: ScoredImage) -> bool:
        """Whether the device would refuse this image for its look or size, whatever it scores."""
        if self.limits is None:
            return False
        size, looks = outcome.size, outcome.statistics
        fault = self.limits.size_fault(size.width, size.height)
        return bool(fault or (looks is not None and self.limits.look_fault(looks)))

    def row(self, image: LabelledImage, score: float, pixel_sha256: str, *, refused: bool = False) -> ScoredRow:
        return ScoredRow(
            path=str(image.path),
            label=int(image.anomalous),
            type=image.type,
            part=image.part,
            score=score,
            rejected=None if self.threshold is None else refused or score > self.threshold,
            pixel_sha256=pixel_sha256,
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """``areas``: by type of defect, ``None`` for all; empty without maps or masks."""

    rows: tuple[ScoredRow, ...]
    areas: dict[str | None, PixelAreas] = field(default_factory=dict)
    video: VideoMetrics | None = None
    notes: tuple[str, ...] = ()


def observations(rows: tuple[ScoredRow, ...]) -> tuple[ScoredRow, ...]:
    """What is counted: each part once, as the frame of it that scores highest, anomalous if any frame of it is."""
    parts: dict[str, ScoredRow] = {}
    for index, row in enumerate(rows):
        key = f"frame {index}" if row.part is None else f"part {row.part}"
        held = parts.setdefault(key, row)
        highest = max(held, row, key=lambda one: one.score)
        worst = max(held, row, key=lambda one: one.label)
        rejected = held.rejected or row.rejected
        parts[key] = msgspec.structs.replace(highest, label=worst.label, type=worst.type, rejected=rejected)
    return tuple(parts.values())


def scores_of(rows: tuple[ScoredRow, ...], kind: str | None = None) -> Scores:
    """The scores of the normals, and of the anomalies of one kind or, for ``None``, of all."""
    return Scores(
        normal=np.array([row.score for row in rows if row.label == 0]),
        anomalous=np.array([row.score for row in rows if row.label == 1 and kind in (None, row.type)]),
    )


def decided_scores(rows: tuple[ScoredRow, ...], kind: str | None = None) -> Scores:
    """As :func:`scores_of`, but infinite for what is rejected for another reason than its score too."""
    decided = (msgspec.structs.replace(row, score=np.inf) if row.rejected else row for row in rows)
    return scores_of(tuple(decided), kind)


def observe_images(images: Sequence[LabelledImage], scoring: Scoring) -> Observed:
    """Every image is looked at before an error is raised, so that all that is wrong is said at once.

    Raises:
        InputError: images cannot be scored or masks do not fit them; names the first and says how many.
    """
    if not scoring.job.maps:
        return Observed(_score(images, scoring, None))
    maps = MapStore(scoring.journal)
    rows, notes = _score(images, scoring, maps), []
    if maps.unmarked:
        notes.append(unmarked_note(len(maps.unmarked)))
    if maps.normals in (0, len(maps)):
        return Observed(rows, notes=tuple(notes))
    areas = measure_pixels(lambda: maps, images=len(maps), normals=maps.normals)
    if areas[None].aupimo is None:
        notes.append(
            "no AUPIMO: the normal images have too few pixels to tell false-positive rates of 1e-5 and 1e-4 apart"
        )
    return Observed(rows, areas, notes=tuple(notes))


def _score(images: Sequence[LabelledImage], scoring: Scoring, maps: MapStore | None) -> tuple[ScoredRow, ...]:
    rows, problems = [], []
    outcomes = score_images(
        [image.path for image in images], scoring.job, scoring.plan, scoring.progress, scoring.journal
    )
    intake = _Intake(scoring, maps)
    # Beside the engine: masks are decoded and maps written while it has the next image.
    with ThreadPoolExecutor(1, "edge-ad keeps") as pool:
        pairs = zip(images, outcomes, strict=True)
        for taken in in_order(pairs, lambda pair: pool.submit(intake.take, *pair), ahead=_WAITING):
            if isinstance(taken, str):
                problems.append(taken)
            else:
                rows.append(taken)
    if problems:
        raise InputError(
            f"{len(problems)} of {len(images)} images cannot be evaluated: {named(problems)}. Repair them or "
            "remove them from the data: edge-ad leaves out no image by itself"
        )
    return tuple(rows)


class _Intake:
    """Takes outcomes in, in a thread of its own."""

    def __init__(self, scoring: Scoring, maps: MapStore | None) -> None:
        self._scoring = scoring
        self._maps = maps
        self._layouts: dict[FrameSize, Layout] = {}

    def take(self, image: LabelledImage, outcome: Outcome) -> ScoredRow | str:
        """The image's row, or what is wrong with it."""
        if isinstance(outcome, UnscoredImage):
            return outcome.error
        try:
            self._keep(image, outcome)
        except InputError as error:
            return str(error)
        refused = self._scoring.refuses(outcome)
        return self._scoring.row(image, outcome.score, outcome.pixel_sha256, refused=refused)

    def _keep(self, image: LabelledImage, outcome: ScoredImage) -> None:
        """Keeps the map, and has it measured where there is a mask for it, or the image is normal."""
        if self._maps is None or outcome.map is None:
            return
        place = self._scoring.journal.add(outcome)
        if image.masks or not image.anomalous:
            self._maps.add(image, place, self._layout(outcome.size))

    def _layout(self, size: FrameSize) -> Layout:
        if size not in self._layouts:
            manifest, heat = self._scoring.bundle.manifest, self._scoring.variant.map
            self._layouts[size] = plan(manifest.geometry, manifest.input, heat, size.height, size.width)
        return self._layouts[size]


@dataclass(frozen=True, slots=True)
class _MapEntry:
    image: LabelledImage
    layout: Layout
    place: int


class MapStore:
    """Which maps of a journal are measured, beside the masks of their images. One map in memory at a time."""

    def __init__(self, journal: MapJournal) -> None:
        self._journal = journal
        self._entries: list[_MapEntry] = []
        self.unmarked: list[LabelledImage] = []
        """Anomalous images whose mask marks no pixel: they are left out."""

    def add(self, image: LabelledImage, place: int, layout: Layout) -> None:
        """Takes the map at a place of the journal in, with the mask of its image checked.

        Raises:
            InputError: the mask is unreadable or not of the image's size.
        """
        if read_defect(image, layout.height, layout.width) is None:
            self.unmarked.append(image)
        else:
            self._entries.append(_MapEntry(image, layout, place))

    @property
    def normals(self) -> int:
        return sum(not entry.image.anomalous for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PixelSample]:
        """Each map in camera pixels, through the geometry that made it, beside its mask."""
        for entry in self._entries:
            layout = entry.layout
            mask = read_defect(entry.image, layout.height, layout.width)
            if mask is None:
                raise InputError(f"{entry.image.masks[0]}: marked a defect when it was first read, and marks none now")
            yield PixelSample(map_in_camera_pixels(self._journal.read(entry.place), layout), mask, entry.image.type)
