"""What is known of images before they are scored."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_calibration.scoring.cache import ScoreCache
    from edge_ad_calibration.scoring.job import ScoreJob
    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_calibration.scoring.measure import Find
    from edge_ad_calibration.scoring.opened import Identity

__all__ = ["recall"]


def recall(job: ScoreJob, identity: Identity, cache: ScoreCache | None, journal: MapJournal | None) -> Find | None:
    """Where to look an image up: in the score cache, or where maps are wanted in the journal, which begins here."""
    if not job.maps:
        return None if cache is None else partial(cache.find, identity.digest)
    if journal is None:
        return None
    journal.begin(identity.digest)
    return journal.find
