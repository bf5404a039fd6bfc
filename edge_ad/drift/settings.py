"""How sure the watch has to be."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.errors import InputError

__all__ = ["DriftSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """What is promised about false alarms.

    ``run_length``: frames that pass on average, at least, before ``RECALIBRATE`` where nothing has drifted.
    ``defect_rate``: the share of parts that may really be defective. Held-out normals know nothing of those, and
    without this allowance every defect would count as drift.

    Raises:
        InputError: a figure is out of range.
    """

    run_length: int = 1_000_000
    defect_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.run_length < 10_000:
            raise InputError(
                f"a run length of {self.run_length} frames without a false alarm is too short to tell drift from "
                "chance: expected 10000 or more"
            )
        if not 0 <= self.defect_rate < 0.5:
            raise InputError(
                f"expected a share of defective parts from 0 to below 0.5, such as 0.01, found {self.defect_rate:g}"
            )
