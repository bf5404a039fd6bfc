"""A disk image that a device boots from, and the signed updates of its system."""

from edge_ad_deploy.image.build import BuiltImage, ImageRequest, build_image
from edge_ad_deploy.image.update import BuiltUpdate, UpdateRequest, build_update

__all__ = ["BuiltImage", "BuiltUpdate", "ImageRequest", "UpdateRequest", "build_image", "build_update"]
