"""How far each variant is from the imported model, through the same runtime that the device has."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_metrics.pixels import PixelAreas, measure_pixels
from edge_ad_metrics.rank_correlation import spearman, spearman_low
from edge_ad_metrics.ranking import Scores, average_precision, roc_auc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_ad_export.fidelity.evaluation import Candidate, CandidateScores, EvaluationData, Reference
    from edge_ad_metrics.datasets.dataset import LabelledImage
    from edge_ad_metrics.pixels import PixelSample

__all__ = ["ROUGH_ROUNDS", "ROUNDS", "Agreement", "LabelledFigures", "agree", "measure_latency", "relative_error"]

ROUNDS = 12
"""So many rounds of :func:`measure_latency` tell which of several engines is faster."""

ROUGH_ROUNDS = 4
"""So many tell which is much faster, and how long one takes by itself."""

# Below this part of the scores' spread a score counts as near zero, where a relative error means nothing.
_NEAR_ZERO = 0.01
# Fast models are timed in more rounds: after the fewest, the rounds go on until this time is over.
_ROUNDS_MIN, _ROUNDS_S = 5, 6.0
_WARM_UP_RUNS = 1
_TIMED_RUNS = 3


@dataclass(frozen=True)
class LabelledFigures:
    """Of labelled images: areas under the ROC curve and average precision. ``pixel_roc_auc``: ``None`` without maps or
    masks. ``aupimo``: likewise, and where the normal images have too few pixels, see :mod:`edge_ad_metrics.aupimo`."""

    roc_auc: float
    average_precision: float
    pixel_roc_auc: float | None
    aupimo: float | None = None


@dataclass(frozen=True)
class Agreement:
    """``reference`` and ``scores`` float64 ``(n,)``: of the normals, in the order of the images. ``defect_reference``
    and ``defect_scores`` ``(m,)``: of the synthetic defects. ``map_correlation_min`` is Pearson's, of the worst of
    all these images; ``None`` without a map. ``aupimo_reference`` and ``aupimo``: of the synthetic defects, see
    :mod:`edge_ad_metrics.aupimo`; ``None`` without maps, of clips, and where the normals have too few pixels.
    ``labelled_reference`` and ``labelled``: ``None`` without labels. ``parts`` and ``defect_parts``: intp ``(n,)`` and
    ``(m,)``, which scores belong to the same part, an image and its copy with a defect among them; ``None``: each is
    one. ``looks``: of so many variants at most one is taken by these images, for which the interval of the rank
    correlation is corrected."""

    reference: NDArray[np.float64]
    scores: NDArray[np.float64]
    map_correlation_min: float | None
    latency_ms: float
    defect_reference: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    defect_scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    aupimo_reference: float | None = None
    aupimo: float | None = None
    labelled_reference: LabelledFigures | None = None
    labelled: LabelledFigures | None = None
    parts: NDArray[np.intp] | None = None
    defect_parts: NDArray[np.intp] | None = None
    looks: int = 1

    @property
    def max_abs(self) -> float:
        return float(np.abs(self._scores - self._reference).max())

    @property
    def max_rel(self) -> float:
        return relative_error(self._scores, self._reference)

    @cached_property
    def spearman(self) -> float:
        """Spearman's rank correlation over normals and synthetic defects together."""
        return spearman(self._scores, self._reference)

    @cached_property
    def spearman_low(self) -> float:
        """The lower end of its interval, see :mod:`edge_ad_metrics.rank_correlation`."""
        known = self.parts is not None and self.defect_parts is not None
        parts = np.concatenate([self.parts, self.defect_parts]) if known else None
        return spearman_low(self._scores, self._reference, parts, looks=self.looks)

    @cached_property
    def spearman_normals(self) -> float:
        """Spearman's rank correlation over the normals alone."""
        return spearman(self.scores, self.reference)

    @cached_property
    def roc_auc_lost(self) -> float | None:
        """By how much worse synthetic defects are told from the normals; negative: better."""
        if not self.defect_scores.size:
            return None
        return roc_auc(Scores(self.reference, self.defect_reference)) - roc_auc(Scores(self.scores, self.defect_scores))

    @property
    def aupimo_lost(self) -> float | None:
        """By how much less of the synthetic defects the maps mark; negative: more."""
        return _lost(self.aupimo_reference, self.aupimo)

    @property
    def labelled_aupimo_lost(self) -> float | None:
        """By how much less of the real anomalies the maps mark; negative: more."""
        if self.labelled is None or self.labelled_reference is None:
            return None
        return _lost(self.labelled_reference.aupimo, self.labelled.aupimo)

    @property
    def labelled_roc_auc_lost(self) -> float | None:
        """By how much worse the real anomalies are told from the real normals; negative: better."""
        if self.labelled is None or self.labelled_reference is None:
            return None
        return self.labelled_reference.roc_auc - self.labelled.roc_auc

    @property
    def more_false_rejects(self) -> int:
        """How many more of the normals than with the imported model are rejected after each was calibrated anew:
        either half of them scores against the other half's largest score."""
        return _false_rejects(self.scores) - _false_rejects(self.reference)

    @property
    def spread(self) -> float:
        """Between the smallest and the largest score of the normals."""
        return float(np.ptp(self.scores))

    @property
    def _scores(self) -> NDArray[np.float64]:
        return np.concatenate([self.scores, self.defect_scores])

    @property
    def _reference(self) -> NDArray[np.float64]:
        return np.concatenate([self.reference, self.defect_reference])


def relative_error(scores: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """The largest ``|score - reference| / |reference|``, the denominator at least 1 % of the references' spread."""
    floor = max(_NEAR_ZERO * float(np.ptp(reference)), np.finfo(np.float32).tiny)
    return float((np.abs(scores - reference) / np.maximum(np.abs(reference), floor)).max())


def agree(candidate: Candidate, reference: Reference, data: EvaluationData, looks: int = 1) -> Agreement | None:
    """The candidate's scores beside the reference's; ``None`` for one that failed. ``looks``: see
    :class:`Agreement`."""
    if candidate.failed:
        return None
    labelled = data.labelled
    parts, defect_parts = data.parts
    expected, found = reference.scores, candidate.scores
    return Agreement(
        reference=np.array(expected.normals),
        scores=np.array(found.normals),
        map_correlation_min=min(candidate.map_correlations, default=None),
        latency_ms=statistics.median(candidate.latencies_ms or [math.inf]),
        defect_reference=np.array(expected.defects),
        defect_scores=np.array(found.defects),
        aupimo_reference=expected.localisation.mean,
        aupimo=found.localisation.mean,
        labelled_reference=_labelled_figures(expected, labelled),
        labelled=_labelled_figures(found, labelled),
        parts=parts,
        defect_parts=defect_parts,
        looks=looks,
    )


def measure_latency(runs: Sequence[Callable[[], object]], most: int = ROUNDS) -> tuple[list[float], ...]:
    """Times the bare engines in turn, on the last image, each warm before it is timed: milliseconds, by round.

    Of every round the fastest run counts: whatever else the machine does makes runs slower, never faster.

    Args:
        most: so many rounds at most; fewer where the runs take long.
    """
    found: tuple[list[float], ...] = tuple([] for _ in runs)
    start = perf_counter()
    for done in range(most):
        if done >= _ROUNDS_MIN and perf_counter() - start > _ROUNDS_S:
            break
        for run, latencies in zip(runs, found, strict=True):
            # ONNX Runtime's threads go on spinning for a while after a run, at the cost of whoever comes next.
            timed = [_timed(run) for _ in range(_WARM_UP_RUNS + _TIMED_RUNS)]
            latencies.append(min(timed[_WARM_UP_RUNS:]))
    return found


def _lost(reference: float | None, found: float | None) -> float | None:
    return None if reference is None or found is None else reference - found


def _timed(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return (perf_counter() - start) * 1e3


def _labelled_figures(seen: CandidateScores, labelled: Sequence[LabelledImage]) -> LabelledFigures | None:
    if not labelled:
        return None
    anomalous, found = np.array([image.anomalous for image in labelled]), np.array(seen.labelled)
    scores = Scores(found[~anomalous], found[anomalous])
    pixels = _pixel_areas(seen.pixels)
    return LabelledFigures(
        roc_auc=roc_auc(scores),
        average_precision=average_precision(scores),
        pixel_roc_auc=pixels.roc_auc if pixels else None,
        aupimo=float(pixels.aupimo.mean()) if pixels and pixels.aupimo is not None else None,
    )


def _pixel_areas(samples: list[PixelSample]) -> PixelAreas | None:
    normals = sum(not sample.mask.any() for sample in samples)
    if normals in (0, len(samples)):
        return None
    return measure_pixels(lambda: samples, images=len(samples), normals=normals)[None]


def _false_rejects(normals: NDArray[np.float64]) -> int:
    halves = normals[::2], normals[1::2]
    return sum(int((tested > fitted.max()).sum()) for fitted, tested in (halves, halves[::-1]))
