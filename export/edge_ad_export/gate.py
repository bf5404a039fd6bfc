"""Which variants may be shipped, and how closely a device must give their scores again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edge_ad_export.fidelity import Agreement

__all__ = ["PARITY", "Gate", "golden_tolerance"]

PARITY = 1e-3
"""The largest relative error of a score that a float32 variant may have against the imported model."""

# The part of the normals' spread by which another CPU may differ, see golden_tolerance.
_SPREAD_SHARE = {"fp32": 0.01, "fp16": 0.01, "int8": 0.1}


@dataclass(frozen=True)
class Gate:
    """What a variant must reach on the given images."""

    min_spearman: float = 0.99
    min_map_correlation: float = 0.99

    def refuses(self, agreement: Agreement, precision: str) -> str | None:
        """Why the variant may not be shipped, ``None`` when it may."""
        if precision == "fp32" and not agreement.max_rel <= PARITY:
            return f"relative score error {agreement.max_rel:.2g} above {PARITY:g}"
        if not agreement.spearman >= self.min_spearman:
            return f"rank correlation {agreement.spearman:.4f} below {self.min_spearman:g}"
        heat = agreement.map_correlation_min
        if heat is not None and not heat >= self.min_map_correlation:
            return f"map correlation {heat:.4f} below {self.min_map_correlation:g}"
        return None


def golden_tolerance(agreement: Agreement, precision: str) -> float:
    """By how much a golden score may differ on another device, in score units.

    A thousandth of the largest score, for sums in another order, and a share of the normals' spread: 1 % in float.
    For int8 it is 10 %: CPUs with other instructions round intermediate sums differently, and one step of an
    activation's 256 shows.
    """
    largest = float(np.abs(agreement.scores).max())
    return PARITY * largest + _SPREAD_SHARE[precision] * agreement.spread
