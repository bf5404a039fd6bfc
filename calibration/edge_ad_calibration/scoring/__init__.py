"""Many images through one variant of a bundle: streamed in order, resumable, on this machine or on a cluster.

Some names are loaded when they are first used: the command line must not load NumPy and OpenCV for its options.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edge_ad_calibration.scoring.job import (
    Outcome,
    Progress,
    ScoredImage,
    ScoreJob,
    ScorePlan,
    UnscoredImage,
    no_progress,
)

if TYPE_CHECKING:
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

_HOMES = {
    "MapJournal": "journal",
    "OpenJob": "opened",
    "open_job": "opened",
    "score_frames": "service",
    "score_images": "service",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_calibration.scoring' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad_calibration.scoring.{_HOMES[name]}"), name)
