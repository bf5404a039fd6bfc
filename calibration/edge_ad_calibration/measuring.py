"""From the files that a user named to what they score."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import EngineRecord
from edge_ad.errors import InputError
from edge_ad.objects import crop
from edge_ad.sources import open_source
from edge_ad_calibration.objects import object_frames, split_object
from edge_ad_calibration.scoring import ScoredImage, score_frames, score_images
from edge_ad_calibration.selection import is_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.engines import EngineInfo
    from edge_ad.sources import Frame
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad_calibration.scoring import Outcome, ScoreJob, ScorePlan, Track
    from edge_ad_calibration.selection import Thinning

__all__ = ["engine_record", "measure_normals", "read_frame"]

_CLIPS = "clips, which images are not: give videos"


def measure_normals(
    paths: Sequence[Path],
    job: ScoreJob,
    plan: ScorePlan,
    thinning: Thinning,
    track: Track,
    objects: ObjectTable | None = None,
) -> Iterator[Outcome]:
    """Scores images, and of videos and files of vectors the frames that thinning leaves; images come first.

    ``objects``: where the objects of these frames are. Each is scored, in place of its frame; in this process and
    uncached.

    Raises:
        EdgeAdError: as ``score_images`` and ``score_frames``; :class:`InputError` also where a video's frame rate is
            needed and unknown.
    """
    images = [path for path in paths if not is_stream(path)]
    videos = [path for path in paths if is_stream(path)]
    manifest = Bundle.open(job.bundle).manifest
    if manifest.clip is not None:
        if images:
            wanted = "vectors, which images are not: give .npy files" if manifest.takes_vectors else _CLIPS
            raise InputError(f"{images[0]}: this bundle scores {wanted}")
        yield from _clips(videos, job, thinning)
        return
    if objects is not None:
        frames = chain(_stills(images), _frames(videos, thinning))
        with track(sum(len(objects.boxes(str(path))) for path in images)) as advance:
            for outcome in score_frames(object_frames(frames, objects), job):
                yield outcome
                advance(1)
        return
    if images:
        yield from score_images(images, job, plan, track)
    if videos:
        yield from score_frames(_frames(videos, thinning), job)


def read_frame(name: str) -> NDArray[np.uint8]:
    """The picture of an image file, of a video's frame such as ``clip.avi#12``, or of an object in either.

    Raises:
        FrameError: it cannot be read any more.
    """
    of, box = split_object(name)
    if box is not None:
        return crop(read_frame(of), box)
    file, _, index = name.rpartition("#")
    if index.isdecimal() and is_stream(Path(file)):
        with closing(open_source(Path(file))) as source:
            frame = next(frame for frame in source if frame.index == int(index))
    else:
        frame = next(iter(open_source(Path(name))))
    if frame.image is None:
        raise frame.error or ValueError(f"{name} has no picture")
    return frame.image


def engine_record(info: EngineInfo) -> EngineRecord:
    """What the calibration says of the engine."""
    return EngineRecord(
        name=info.name, version=info.version, device=info.device, precision=info.precision, threads=info.threads
    )


def _clips(videos: Sequence[Path], job: ScoreJob, thinning: Thinning) -> Iterator[Outcome]:
    """A model of clips sees every frame, each video by itself; what is thinned is the scores."""
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
