"""Scores the normal images that the user named, and collects the results."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import EngineRecord
from edge_ad.errors import InputError
from edge_ad.scoring.objects import crop
from edge_ad.sources import open_source
from edge_ad.sources.frame_name import FrameName
from edge_ad.sources.listing import is_stream
from edge_ad.thresholds.pixels import hash_of_all
from edge_ad_calibration.normals.objects import object_frames
from edge_ad_calibration.scoring import ScoredImage, score_frames, score_images
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_ad.bundle.records import FrameSize
    from edge_ad.engines import EngineInfo
    from edge_ad.sources import Frame
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad.verdict import FrameStatistics
    from edge_ad_calibration.normals.selection import Thinning
    from edge_ad_calibration.scoring import OpenJob, Outcome, Progress, ScorePlan

__all__ = ["Duplicate", "Normals", "collect_normals", "engine_record", "measure_normals", "read_frame"]


class Duplicate(msgspec.Struct, frozen=True):
    """An image whose pixels are exactly those of another one."""

    image: str
    same_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """What was measured: one entry for each image, in their order; exact copies are left out.

    ``scores``: float64 ``(n,)``, raw.
    ``peaks``: float64 ``(n,)``, for each map the value below which every pixel threshold marks a region; ``None``
    if there are no maps. ``statistics``: brightness, contrast and sharpness of each; ``None`` for vectors. ``sizes``:
    in camera pixels. ``duplicates``: the copies that were left out.
    """

    names: tuple[str, ...]
    pixel_sha256: tuple[str, ...]
    scores: NDArray[np.float64]
    peaks: NDArray[np.float64] | None
    statistics: tuple[FrameStatistics, ...] | None
    sizes: tuple[FrameSize, ...] | None = None
    duplicates: tuple[Duplicate, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def images_sha256(self) -> str:
        """The SHA-256 over the pixels of all images. It does not depend on their names and order."""
        return hash_of_all(self.pixel_sha256)

    def subset(self, which: Sequence[int]) -> Normals:
        """The normals at these indices. The list of duplicates does not change."""
        index = np.asarray(which, dtype=np.intp)
        return Normals(
            names=tuple(self.names[k] for k in which),
            pixel_sha256=tuple(self.pixel_sha256[k] for k in which),
            scores=self.scores[index],
            peaks=None if self.peaks is None else self.peaks[index],
            statistics=None if self.statistics is None else tuple(self.statistics[k] for k in which),
            sizes=None if self.sizes is None else tuple(self.sizes[k] for k in which),
            duplicates=self.duplicates,
        )


def collect_normals(outcomes: Iterable[Outcome]) -> Normals:
    """Collects the results of scoring.

    Exact copies are counted once, because the guarantee counts independent normals and a copy is none.

    All images are looked at before an error is raised, so that one message names all problems. No image is left out
    silently: a calibration without the images that a station cannot score would promise too much.

    Raises:
        InputError: some images cannot be read or scored; the message names the first of them and says how many there
            are. Or there is no image.
    """
    name_of: dict[str, str] = {}
    scores: list[float] = []
    peaks: list[float] = []
    statistics: list[FrameStatistics] = []
    sizes: list[FrameSize] = []
    duplicates: list[Duplicate] = []
    problems: list[str] = []
    total = 0
    for total, outcome in enumerate(outcomes, start=1):  # noqa: B007
        if not isinstance(outcome, ScoredImage):
            problems.append(outcome.error)
            continue
        name = str(outcome.path)
        if outcome.pixel_sha256 in name_of:
            duplicates.append(Duplicate(name, name_of[outcome.pixel_sha256]))
            continue
        name_of[outcome.pixel_sha256] = name
        scores.append(outcome.score)
        sizes.append(outcome.size)
        statistics += [] if outcome.statistics is None else [outcome.statistics]
        if outcome.peak is not None:
            peaks.append(outcome.peak)
    if problems:
        raise _cannot_score(problems, total)
    if not scores:
        raise InputError("there is no picture among the normals: name images, or a video that has frames")
    return Normals(
        names=tuple(name_of.values()),
        pixel_sha256=tuple(name_of),
        scores=np.array(scores, dtype=np.float64),
        peaks=np.array(peaks, dtype=np.float64) if peaks else None,
        statistics=tuple(statistics) or None,
        sizes=tuple(sizes),
        duplicates=tuple(duplicates),
    )


def _cannot_score(problems: list[str], total: int) -> InputError:
    return InputError(
        f"{len(problems)} of {total} images cannot be scored: {named(problems, '; ')}. Repair them or leave "
        "them out of --normal: edge-ad leaves out no image by itself"
    )


_CLIPS = "clips, and single images are no clips: give videos"


def measure_normals(
    paths: Sequence[Path],
    job: OpenJob,
    plan: ScorePlan,
    thinning: Thinning,
    progress: Progress,
    objects: ObjectTable | None = None,
) -> Iterator[Outcome]:
    """Scores the images, then the frames of videos and the vectors of files that are left after thinning.

    ``objects``: where the objects of these frames are. Each object is then scored instead of its frame. This is done
    in this process, and the scores are not cached.

    Raises:
        EdgeAdError: as ``score_images`` and ``score_frames``; :class:`InputError` also where a video's frame rate is
            needed and unknown.
    """
    images = [path for path in paths if not is_stream(path)]
    videos = [path for path in paths if is_stream(path)]
    manifest = Bundle.open(job.job.bundle).manifest
    if manifest.clip is not None:
        if images:
            wanted = "vectors, not images: give .npy files" if manifest.takes_vectors else _CLIPS
            raise InputError(f"{images[0]}: this bundle scores {wanted}")
        yield from _clips(videos, job, thinning)
        return
    if objects is not None:
        frames = chain(_stills(images), _frames(videos, thinning))
        with progress(sum(len(objects.boxes(str(path))) for path in images)) as advance:
            for outcome in score_frames(object_frames(frames, objects), job):
                yield outcome
                advance(1)
        return
    if images:
        yield from score_images(images, job, plan, progress)
    if videos:
        yield from score_frames(_frames(videos, thinning), job)


def read_frame(name: str) -> NDArray[np.uint8]:
    """The picture of an image file, of a frame of a video or folder such as ``clip.avi#12``, or of an object in one.

    Raises:
        FrameError: it cannot be read any more.
    """
    parts = FrameName.parse(name)
    with closing(open_source(Path(parts.file))) as source:
        frame = next(frame for frame in source if frame.index == (parts.index or 0))
    if frame.image is None:
        raise frame.error or ValueError(f"{name} has no picture")
    return frame.image if parts.box is None else crop(frame.image, parts.box)


def engine_record(info: EngineInfo) -> EngineRecord:
    """The engine as the calibration records it."""
    return EngineRecord(
        name=info.name, version=info.version, device=info.device, precision=info.precision, threads=info.threads
    )


def _clips(videos: Sequence[Path], job: OpenJob, thinning: Thinning) -> Iterator[Outcome]:
    """Scores clips, each video by itself. The model sees every frame; the scores are thinned, not the frames."""
    for video in videos:
        with closing(open_source(video)) as source:
            step = thinning.step(str(video), source.fps)
            for place, outcome in enumerate(score_frames(source, job)):
                if place % step == 0 or not isinstance(outcome, ScoredImage):
                    yield outcome


def _stills(images: Sequence[Path]) -> Iterator[Frame]:
    return chain.from_iterable(map(open_source, images))


def _frames(videos: Sequence[Path], thinning: Thinning) -> Iterator[Frame]:
    for video in videos:
        with closing(open_source(video)) as source:
            step = thinning.step(str(video), source.fps)
            yield from (frame for frame in source if frame.index % step == 0 or frame.sample is None)
