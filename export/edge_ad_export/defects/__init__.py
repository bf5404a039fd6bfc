"""Defects drawn into normal images, where no real ones are at hand: what an export must not lose sight of."""

from edge_ad_export.defects.draw import KINDS, Defect, draw_defect
from edge_ad_export.defects.samples import DefectSet, defects_for

__all__ = ["KINDS", "Defect", "DefectSet", "defects_for", "draw_defect"]
