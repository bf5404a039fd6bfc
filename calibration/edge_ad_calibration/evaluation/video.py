"""Labelled clips: how well frames are told apart, and how long a detection takes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import open_source
from edge_ad.sources.frame_name import FrameName
from edge_ad.stream import sample_of
from edge_ad.thresholds.pixels import hash_pixels
from edge_ad_calibration.evaluation.observe import Observed
from edge_ad_calibration.evaluation.records import Delay, VideoMetrics
from edge_ad_calibration.scoring.measure import PENDING
from edge_ad_calibration.scoring.opened import open_job
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, check_both_classes
from edge_ad_metrics.datasets.frame_labels import read_frame_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge_ad.scoring.scorer import Scorer
    from edge_ad_calibration.evaluation.observe import Scoring
    from edge_ad_calibration.evaluation.records import ScoredRow
    from edge_ad_metrics.datasets.dataset import LabelledClip

__all__ = ["ClipScores", "measure_clips", "observe_clips"]


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One clip: ``frames`` ``(n,)``, which of its frames have a score; ``scores`` float64 ``(n,)`` and ``labels`` bool
    ``(n,)`` of these, and the SHA-256 of their pixels; ``fps`` where it is known. A model of clips has no score for the
    first frames."""

    path: Path
    frames: NDArray[np.intp]
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]
    fps: float | None
    pixel_sha256: tuple[str, ...] = ()


def observe_clips(root: Path, clips: Sequence[LabelledClip], scoring: Scoring) -> Observed:
    """Scores every frame of every clip, in order.

    Raises:
        InputError: a frame cannot be scored, the labels do not fit the clip, frames of one class.
        SourceError: a clip cannot be read to its end.
    """
    scored = []
    with closing(open_job(scoring.job)) as opened, scoring.progress(len(clips)) as advance:
        for clip in clips:
            scored.append(_score(clip, opened.scorer))
            advance(1)
    check_both_classes(root, [bool(label) for clip in scored for label in clip.labels], "frames")
    rows = tuple(row for clip in scored for row in _rows(clip, scoring))
    return Observed(rows, video=measure_clips(scored, scoring.threshold))


def measure_clips(clips: Sequence[ClipScores], threshold: float | None) -> VideoMetrics:
    """Frame-level ROC-AUC, micro and macro (Georgescu et al. 2021), and the delay of detections.

    Args:
        clips: with frames of both classes among them.
        threshold: the calibrated one; without it there is no delay to speak of.
    """
    from sklearn.metrics import roc_auc_score

    both = [clip for clip in clips if clip.labels.any() and not clip.labels.all()]
    areas = [float(roc_auc_score(clip.labels, clip.scores)) for clip in both]
    labels, scores = np.concatenate([clip.labels for clip in clips]), np.concatenate([clip.scores for clip in clips])
    return VideoMetrics(
        clips=len(clips),
        clips_with_both=len(both),
        roc_auc_micro=float(roc_auc_score(labels, scores)),
        roc_auc_macro=float(np.mean(areas)) if areas else None,
        delay=None if threshold is None else _delay(clips, threshold),
    )


def _score(clip: LabelledClip, scorer: Scorer) -> ClipScores:
    scores: list[float] = []
    hashes: list[str] = []
    scorer.reset()
    with closing(open_source(clip.path)) as source:
        for frame in source:
            sample = sample_of(frame, scorer)
            if sample is None:
                raise InputError(f"{frame.source}: cannot be read: {frame.error}")
            hashes.append(hash_pixels(sample))
            try:
                scores.append(scorer.measure(sample).score)
            except FrameError as error:
                if error.reason in PENDING:
                    scores.append(np.nan)
                    continue
                raise InputError(f"{frame.source}: cannot be scored: {error}") from error
        fps = source.fps
    frames, labels = np.flatnonzero(np.isfinite(scores)), read_frame_labels(clip.labels, len(scores))
    of_scored = tuple(hashes[frame] for frame in frames.tolist())
    return ClipScores(clip.path, frames, np.array(scores)[frames], labels[frames], fps, of_scored)


def _rows(clip: ClipScores, scoring: Scoring) -> Iterator[ScoredRow]:
    rows = zip(clip.frames.tolist(), clip.scores.tolist(), clip.labels.tolist(), clip.pixel_sha256, strict=True)
    for index, score, label, pixels in rows:
        frame = LabelledImage(path=Path(str(FrameName(str(clip.path), index))), type="anomaly" if label else GOOD)
        yield scoring.row(frame, score, pixels)


def _delay(clips: Sequence[ClipScores], threshold: float) -> Delay:
    """Over the runs of anomalous frames: from the first frame of a run to the first that is rejected."""
    events, frames, seconds = 0, [], []
    for clip in clips:
        for start, end in _events(clip.labels):
            events += 1
            rejected = np.flatnonzero(clip.scores[start:end] > threshold)
            if rejected.size:
                frames.append(int(clip.frames[start + rejected[0]] - clip.frames[start]))
                seconds.append(frames[-1] / clip.fps if clip.fps else np.nan)
    return Delay(
        events=events,
        detected=len(frames),
        median_frames=float(np.median(frames)) if frames else None,
        longest_frames=max(frames, default=None),
        median_s=float(np.median(seconds)) if frames and not np.isnan(seconds).any() else None,
    )


def _events(labels: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Runs of anomalous frames, ``(events, 2)``: the first frame, and the one after the last."""
    edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2)
