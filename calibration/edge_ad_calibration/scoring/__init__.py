"""Many images through one variant of a bundle: streamed in order, resumable, on this machine or on a cluster."""

from edge_ad_calibration.scoring.job import (
    Outcome,
    Progress,
    ScoredImage,
    ScoreJob,
    ScorePlan,
    UnscoredImage,
    no_progress,
)
from edge_ad_calibration.scoring.journal import MapJournal
from edge_ad_calibration.scoring.opened import OpenJob, open_job
from edge_ad_calibration.scoring.service import score_frames, score_images

__all__ = [
    "MapJournal",
    "OpenJob",
    "Outcome",
    "Progress",
    "ScoreJob",
    "ScorePlan",
    "ScoredImage",
    "UnscoredImage",
    "no_progress",
    "open_job",
    "score_frames",
    "score_images",
]
