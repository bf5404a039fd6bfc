"""What labelled images say of a model's scores and maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.fidelity.localisation import Aupimo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.fidelity.evaluation import CandidateScores
    from edge_ad_export.samples.labelled import LabelledImage

__all__ = ["LabelledFigures", "labelled_figures"]


@dataclass(frozen=True)
class LabelledFigures:
    """Of labelled images: areas under the ROC curve and average precision. ``pixel_roc_auc`` and ``aupimo``: ``None``
    without maps or masks."""

    roc_auc: float
    average_precision: float
    pixel_roc_auc: float | None
    aupimo: float | None = None


def labelled_figures(scores: CandidateScores, labelled: Sequence[LabelledImage]) -> LabelledFigures | None:
    """What the labels say of the scores; ``None`` without labels."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not labelled:
        return None
    labels = [image.anomalous for image in labelled]
    return LabelledFigures(
        roc_auc=float(roc_auc_score(labels, scores.labelled)),
        average_precision=float(average_precision_score(labels, scores.labelled)),
        pixel_roc_auc=_pixel_roc_auc(scores),
        aupimo=_labelled_aupimo(scores, labelled),
    )


def _pixel_roc_auc(scores: CandidateScores) -> float | None:
    from sklearn.metrics import roc_auc_score

    defect = np.concatenate([np.empty(0, bool), *(pixels.defect for pixels in scores.pixels)])
    if not 0 < defect.sum() < defect.size:
        return None
    return float(roc_auc_score(defect, np.concatenate([pixels.values for pixels in scores.pixels])))


def _labelled_aupimo(scores: CandidateScores, labelled: Sequence[LabelledImage]) -> float | None:
    if not scores.pixels:
        return None
    # Without a map nothing was kept of any image, without a mask nothing of an anomalous one.
    known = [image.anomalous for image in labelled if image.mask or not image.anomalous]
    both = list(zip(known, scores.pixels, strict=True))
    found = Aupimo(known.count(False))
    for pixels in (pixels for anomalous, pixels in both if not anomalous):
        found.add_normal(pixels.values)
    for pixels in (pixels for anomalous, pixels in both if anomalous):
        found.add_defect(pixels.values[pixels.defect])
    return found.mean
