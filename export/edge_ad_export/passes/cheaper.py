"""The passes that make a graph cheaper, their order, and what the user gives up for a smaller and faster model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad_export.passes.coarse_product import CoarseProductPass
from edge_ad_export.passes.coreset import CoresetPass
from edge_ad_export.passes.fold_preprocessing import FoldPreprocessingPass
from edge_ad_export.passes.gaussian import GaussianPass
from edge_ad_export.passes.linear_map import LinearMapPass
from edge_ad_export.passes.nearest import NearestPass
from edge_ad_export.passes.neighbour_table import NeighbourTablePass
from edge_ad_export.passes.neutral import NeutralPass
from edge_ad_export.passes.normalized_distance import NormalizedDistancePass
from edge_ad_export.passes.project import ProjectPass
from edge_ad_export.passes.separable_blur import SeparableBlurPass

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Shrink", "cheaper_passes"]


@dataclass(frozen=True)
class Shrink:
    """What makes a head smaller and changes its scores. The defaults change nothing.

    ``coreset``: vectors of a memory bank to keep. ``project``: dimensions to search it in. ``energy``: the part of
    a Gaussian's whitening to keep, above 0 and at most 1.

    Raises:
        InputError: a number is out of its range.
    """

    coreset: int | None = None
    project: int | None = None
    energy: float = 1.0

    def __post_init__(self) -> None:
        for option, number in (("--coreset", self.coreset), ("--project", self.project)):
            if number is not None and number < 1:
                raise InputError(f"{option} {number}: expected at least 1")
        if not 0 < self.energy <= 1:
            raise InputError(f"--energy {self.energy:g}: expected above 0 and at most 1")

    def __str__(self) -> str:
        given = (("--coreset", self.coreset), ("--project", self.project))
        words = [f"{option} {number}" for option, number in given if number is not None]
        return " ".join([*words, *([f"--energy {self.energy:g}"] if self.energy < 1 else [])])

    @property
    def is_asked(self) -> bool:
        return self != Shrink()


def cheaper_passes(shrink: Shrink) -> list[ir.passes.PassBase]:
    """For a graph that follows the contract, simplified. What changes scores comes only if it is asked for."""
    return [
        FoldPreprocessingPass(),
        NeutralPass(),
        *([] if shrink.coreset is None else [CoresetPass(shrink.coreset)]),
        NeighbourTablePass(),
        NearestPass(),
        *([] if shrink.project is None else [ProjectPass(shrink.project)]),
        CoarseProductPass(),
        GaussianPass(shrink.energy),
        NormalizedDistancePass(),
        SeparableBlurPass(),
        LinearMapPass(),
    ]
