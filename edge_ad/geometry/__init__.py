"""From camera pixels to the model's input and back: exact, and the same at export, calibration and run time."""

from edge_ad.geometry.layout import Layout, plan
from edge_ad.geometry.mapping import find_regions, map_in_camera_pixels
from edge_ad.geometry.preprocess import PreparedFrame, Preprocessor, Tile

__all__ = ["Layout", "PreparedFrame", "Preprocessor", "Tile", "find_regions", "map_in_camera_pixels", "plan"]
