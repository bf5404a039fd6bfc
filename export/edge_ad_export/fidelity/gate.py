"""Which variants may be shipped, and how closely a device must give their scores again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.fidelity.agreement import Agreement

__all__ = ["PARITY", "Gate", "golden_tolerance", "parity_for"]

PARITY = 1e-3
"""The largest relative error of a score that a float32 variant may have against the imported model."""

# Areas under a curve are sums of fractions.
_ROUNDING = 1e-9

# A relative error of scores that sums in another order leave in float32.
_SCORE_ROUNDING = 1e-5

# The part of the normals' spread by which another CPU may differ, see golden_tolerance.
_SPREAD_SHARE = {"fp32": 0.01, "fp16": 0.01, "bf16": 0.05, "int8": 0.05}

# How many roundings of a narrower type than float32 add up in a score, measured: 3.
_ROUNDINGS = 8
_EPSILON = {"FLOAT16": 2.0**-11, "BFLOAT16": 2.0**-8}  # by the name of the type: the help loads this, but not ONNX
_NAMES = {10: "FLOAT16", 16: "BFLOAT16"}  # by ONNX's number of the type


def parity_for(model: ir.Model) -> float:
    """:data:`PARITY`, or more for a model that calculates in 16 bits: each engine rounds elsewhere."""
    nodes = [
        *model.graph.all_nodes(),
        *(node for function in model.functions.values() for node in function.all_nodes()),
    ]
    calculating = [node for node in nodes if node.op_type not in ("Cast", "Constant")]
    values = [value for node in calculating for value in (*node.inputs, *node.outputs) if value is not None]
    return max(PARITY, _ROUNDINGS * max((_epsilon(value) for value in values), default=0.0))


def _epsilon(value: ir.Value) -> float:
    """Of the value's type, which a file need not state; 0 for every other type than those of 16 bits."""
    node = value.producer()
    if value.dtype is None and node is not None and node.op_type == "Cast":
        return _EPSILON.get(_NAMES.get(node.attributes.get_int("to", 0), ""), 0.0)
    dtype = value.dtype or (value.const_value.dtype if value.const_value is not None else None)
    return 0.0 if dtype is None else _EPSILON.get(dtype.name, 0.0)


@dataclass(frozen=True)
class Gate:
    """What a variant must reach on the given images and on copies of them with a synthetic defect.

    ``min_spearman``: rank correlation over both together, held against the lower end of its interval, which is
    corrected where one of several forms is taken; in float32, which nothing was fitted in, against itself. Among
    normals alone the scores hardly spread, so that changes of their order may mean nothing; what counts is that a
    larger anomaly keeps scoring higher.
    ``min_map_correlation``: of the worst map. ``max_roc_auc_lost``: on synthetic defects, and on labelled images
    where there are any. ``max_aupimo_lost``: of what the maps mark of the synthetic defects at few false alarms, see
    :mod:`edge_ad_metrics.aupimo`; not asked where the imported model has none, as the normals have too few pixels, and
    refused where the variant alone has none. ``max_more_false_rejects``: the part of the normals by which false
    rejects may rise after both were calibrated anew; one image more is never held against a variant.
    ``parity``: of float32 scores; ``None`` for a head that was made smaller on purpose.
    """

    min_spearman: float = 0.99
    min_map_correlation: float = 0.99
    parity: float | None = PARITY
    max_roc_auc_lost: float = 0.005
    max_more_false_rejects: float = 0.05
    max_aupimo_lost: float = 0.01

    def refuses(self, agreement: Agreement, precision: str) -> str | None:
        """Why the variant may not be shipped, ``None`` when it may."""
        if precision == "fp32" and self.parity is not None and not agreement.max_rel <= self.parity:
            return f"relative score error {agreement.max_rel:.2g} above {self.parity:g}"
        # Scores that are equal but for rounding may be in any order where the model itself gives almost one score.
        is_equal = precision == "fp32" and agreement.max_rel <= _SCORE_ROUNDING
        if not is_equal and (unlike := self._refuses_ranks(agreement, precision)):
            return unlike
        correlation = agreement.map_correlation_min
        if correlation is not None and not correlation >= self.min_map_correlation:
            below = _below(correlation, self.min_map_correlation)
            return f"map correlation {below} below {self.min_map_correlation:g}"
        if agreement.aupimo_reference is not None and agreement.aupimo is None:
            return "AUPIMO on synthetic defects cannot be measured: too many normal pixels have the maps' highest value"
        lost = agreement.aupimo_lost
        if lost is not None and not lost <= self.max_aupimo_lost + _ROUNDING:
            return f"AUPIMO on synthetic defects lower by {lost:.4f}, more than {self.max_aupimo_lost:g}"
        return None if is_equal else self._refuses_detection(agreement)

    def _refuses_ranks(self, agreement: Agreement, precision: str) -> str | None:
        if not agreement.spearman >= self.min_spearman:
            return f"rank correlation {_below(agreement.spearman, self.min_spearman)} below {self.min_spearman:g}"
        # Nothing in float32 was chosen by images, and its parity holds every score by itself.
        if precision == "fp32":
            return None
        if not agreement.spearman_low >= self.min_spearman:
            return (
                f"rank correlation {agreement.spearman:.4f}, on so few images certain only to be above "
                f"{_below(agreement.spearman_low, self.min_spearman)}, which is below {self.min_spearman:g}"
            )
        return None

    def _refuses_detection(self, agreement: Agreement) -> str | None:
        for what, lost in (
            ("synthetic defects", agreement.roc_auc_lost),
            ("the labelled images", agreement.labelled_roc_auc_lost),
        ):
            if lost is not None and not lost <= self.max_roc_auc_lost + _ROUNDING:
                return f"ROC-AUC on {what} lower by {lost:.4f}, more than {self.max_roc_auc_lost:g}"
        normals, more = len(agreement.scores), agreement.more_false_rejects
        if more > max(self.max_more_false_rejects * normals, 1):
            return f"{more} more of {normals} normals rejected, more than {self.max_more_false_rejects:.0%}"
        return None


def _below(correlation: float, limit: float) -> str:
    """Four digits as in the table of variants, but rounded down where it would read like the limit."""
    rounded = f"{correlation:.4f}"
    return f"{math.floor(correlation * 1e4) / 1e4:.4f}" if float(rounded) >= limit else rounded


def golden_tolerance(agreement: Agreement, precision: str, parity: float = PARITY) -> float:
    """By how much a golden score may differ on another device, in score units.

    The part ``parity`` of the largest score, for sums in another order, and a share of the normals' spread: 1 % in
    float. For int8 it is 5 %. Measured with OpenVINO on three kinds of model: CPUs with VNNI, of AVX2 and of AVX-512,
    agree to 1e-6; on CPUs without it eight-bit sums saturate, scores are off by 13 to 36 % of the spread, and the
    golden frames have to say so.
    """
    largest = float(np.abs(agreement.scores).max())
    return parity * largest + _SPREAD_SHARE[precision] * agreement.spread
