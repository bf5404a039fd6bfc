"""Where frames come from: images, videos, cameras, network streams."""

from __future__ import annotations

from edge_ad.sources.frame import Frame, FrameSource
from edge_ad.sources.image_file import read_image
from edge_ad.sources.listing import list_images
from edge_ad.sources.opening import open_source

__all__ = ["Frame", "FrameSource", "list_images", "open_source", "read_image"]
