"""Scores the frames of a source and gives frames and verdicts to the sinks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_ad.detector import Detector, ScoredFrame
from edge_ad.errors import InputError
from edge_ad.outputs.sink import Sink
from edge_ad.sources import Frame
from edge_ad.verdict import Reason, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.drift import DriftWatch
    from edge_ad.scoring.scorer import Scorer
    from edge_ad.sources.object_table import ObjectTable

__all__ = ["Tally", "sample_of", "score_frames"]


@dataclass
class Tally:
    """How many frames ended in which state."""

    counts: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))

    @property
    def frames(self) -> int:
        return sum(self.counts.values())


def score_frames(
    detector: Detector,
    frames: Iterable[Frame],
    sinks: Sequence[Sink],
    tally: Tally,
    watch: DriftWatch | None = None,
    objects: ObjectTable | None = None,
) -> None:
    """Scores every frame of one source and hands it to every sink; ``tally`` goes on counting, frame ids too.

    A frame that cannot be read or scored is ``INVALID`` and the stream goes on. With a ``watch`` of this detector
    every verdict says whether the stream has drifted. ``objects``: where the frames' objects are, for a bundle that
    scores objects.

    Raises:
        InputError: the source gives vectors to a bundle of pictures, or pictures to one of vectors.
        SourceError: the source failed for good; what came before has been written.
        OutputError: a sink failed, or the watch's state cannot be saved.
    """
    wants_map = any(sink.needs_map for sink in sinks)
    detector.reset()
    following: int | None = None
    for frame in frames:
        if following is not None and frame.index > following:
            detector.skip(frame.index - following)
        following = frame.index + 1
        scored = _score(detector, frame, tally.frames, objects)
        verdict = scored.verdict if watch is None else watch.observe(scored.verdict)
        anomaly_map = None
        if wants_map and frame.image is not None and scored.map is not None:
            anomaly_map = detector.map_in_camera_pixels(scored.map, frame.image, verdict.objects)
        for sink in sinks:
            sink.write(frame, verdict, anomaly_map)
        tally.counts[verdict.state] += 1


def sample_of(frame: Frame, scorer: Scorer) -> NDArray[Any] | None:
    """The frame's picture or vector, ``None`` where it has neither.

    Raises:
        InputError: a picture for a bundle that scores vectors, or a vector for one that scores pictures.
    """
    sample = frame.sample
    if sample is not None and scorer.takes_vectors != (frame.features is not None):
        found, expected = ("a picture", "vectors") if scorer.takes_vectors else ("a vector", "pictures")
        what = "give an .npy file of them" if scorer.takes_vectors else "give images or videos"
        raise InputError(f"{frame.source} is {found}, and this bundle scores {expected}: {what}")
    return sample


def _score(detector: Detector, frame: Frame, frame_id: int, objects: ObjectTable | None) -> ScoredFrame:
    sample = sample_of(frame, detector.scorer)
    if sample is not None:
        boxes = None if objects is None else objects.boxes(frame.source)
        return detector.score_with_map(sample, objects=boxes, frame_id=frame_id, captured_at=frame.captured_at)
    reason = Reason(frame.error.reason) if frame.error else Reason.UNREADABLE
    detail = str(frame.error or "no picture")
    return ScoredFrame(detector.invalid(reason, detail, frame_id=frame_id, captured_at=frame.captured_at), None)
