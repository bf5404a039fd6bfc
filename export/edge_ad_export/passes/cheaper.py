"""The passes that make a graph cheaper, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad_export.passes.coarse_product import CoarseProductPass
from edge_ad_export.passes.coreset import CoresetPass
from edge_ad_export.passes.fold_preprocessing import FoldPreprocessingPass
from edge_ad_export.passes.gaussian import GaussianPass
from edge_ad_export.passes.linear_map import LinearMapPass
from edge_ad_export.passes.nearest import NearestPass
from edge_ad_export.passes.neighbour_table import NeighbourTablePass
from edge_ad_export.passes.neutral import NeutralPass
from edge_ad_export.passes.normalized_distance import NormalizedDistancePass
from edge_ad_export.passes.pointwise import PointwisePass
from edge_ad_export.passes.project import ProjectPass
from edge_ad_export.passes.separable_blur import SeparableBlurPass
from edge_ad_export.passes.shortlist import ShortlistPass
from edge_ad_export.passes.unused_channels import UnusedChannelsPass

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.model.shrink import Shrink

__all__ = ["cheaper_passes"]


def cheaper_passes(shrink: Shrink, *, shortlist: bool = False) -> list[ir.passes.PassBase]:
    """For a graph that follows the contract, simplified. What changes scores comes only if it is asked for.

    ``shortlist``: the nearest vectors of a memory bank are looked for in fewer dimensions, which changes maps.
    """
    return [
        FoldPreprocessingPass(),
        NeutralPass(),
        PointwisePass(),
        *([] if shrink.coreset is None else [CoresetPass(shrink.coreset)]),
        NeighbourTablePass(),
        NearestPass(),
        *([ShortlistPass()] if shortlist and shrink.project is None else []),
        *([] if shrink.project is None else [ProjectPass(shrink.project)]),
        CoarseProductPass(),
        GaussianPass(shrink.energy),
        UnusedChannelsPass(),
        NormalizedDistancePass(),
        SeparableBlurPass(),
        LinearMapPass(),
    ]
