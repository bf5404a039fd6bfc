"""Rewrites of the graph on its way to the contract, one pass a file, each ``(model, modified)``.

The order in which they run is written down in :mod:`edge_ad_export.lowering`.
"""

from edge_ad_export.passes.contract import ContractPass
from edge_ad_export.passes.front import FrontPass
from edge_ad_export.passes.rebatch import RebatchPass
from edge_ad_export.passes.repeat import RepeatPass
from edge_ad_export.passes.select import SelectOutputsPass
from edge_ad_export.passes.simplify import SimplifyPass
from edge_ad_export.passes.static_shape import StaticShapePass

__all__ = [
    "ContractPass",
    "FrontPass",
    "RebatchPass",
    "RepeatPass",
    "SelectOutputsPass",
    "SimplifyPass",
    "StaticShapePass",
]
