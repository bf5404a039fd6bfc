"""Rewrites of the graph on its way to the contract, one pass a file, each ``(model, modified)``.

The order in which they run is written down in :mod:`edge_ad_export.lowering.contract`.
"""

from edge_ad_export.graph.static_shape import StaticShapePass
from edge_ad_export.passes.batch import RebatchPass, RepeatPass
from edge_ad_export.passes.coarse_product import CoarseProductPass
from edge_ad_export.passes.contract import ContractPass, SelectOutputsPass
from edge_ad_export.passes.coreset import CoresetPass
from edge_ad_export.passes.explicit_softmax import ExplicitSoftmaxPass
from edge_ad_export.passes.fold_preprocessing import FoldPreprocessingPass
from edge_ad_export.passes.gaussian import GaussianPass
from edge_ad_export.passes.half_storage import HalfStoragePass
from edge_ad_export.passes.late_transpose import LateTransposePass
from edge_ad_export.passes.linear_map import LinearMapPass
from edge_ad_export.passes.nearest import NearestPass
from edge_ad_export.passes.neighbour_table import NeighbourTablePass
from edge_ad_export.passes.neutral import NeutralPass
from edge_ad_export.passes.normalized_distance import NormalizedDistancePass
from edge_ad_export.passes.oldest_versions import OldestVersionsPass
from edge_ad_export.passes.pointwise import PointwisePass
from edge_ad_export.passes.preprocessing import PreprocessingPass
from edge_ad_export.passes.project import ProjectPass
from edge_ad_export.passes.separable_blur import SeparableBlurPass
from edge_ad_export.passes.separate_sums import SeparateSumsPass
from edge_ad_export.passes.shortlist import ShortlistPass
from edge_ad_export.passes.simplify import SimplifyPass
from edge_ad_export.passes.unused_channels import UnusedChannelsPass
from edge_ad_export.passes.winograd import WinogradPass

__all__ = [
    "CoarseProductPass",
    "ContractPass",
    "CoresetPass",
    "ExplicitSoftmaxPass",
    "FoldPreprocessingPass",
    "GaussianPass",
    "HalfStoragePass",
    "LateTransposePass",
    "LinearMapPass",
    "NearestPass",
    "NeighbourTablePass",
    "NeutralPass",
    "NormalizedDistancePass",
    "OldestVersionsPass",
    "PointwisePass",
    "PreprocessingPass",
    "ProjectPass",
    "RebatchPass",
    "RepeatPass",
    "SelectOutputsPass",
    "SeparableBlurPass",
    "SeparateSumsPass",
    "ShortlistPass",
    "SimplifyPass",
    "StaticShapePass",
    "UnusedChannelsPass",
    "WinogradPass",
]
