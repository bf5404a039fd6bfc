"""Many images through one variant of a bundle: streamed in order, resumable, on this machine or on a cluster."""

from edge_ad_calibration.scoring.job import Outcome, ScoredImage, ScoreJob, ScorePlan, Track, UnscoredImage, untracked
from edge_ad_calibration.scoring.journal import MapJournal
from edge_ad_calibration.scoring.service import score_frames, score_images

__all__ = [
    "MapJournal",
    "Outcome",
    "ScoreJob",
    "ScorePlan",
    "ScoredImage",
    "Track",
    "UnscoredImage",
    "score_frames",
    "score_images",
    "untracked",
]
