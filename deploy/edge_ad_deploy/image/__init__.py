"""A disk image that a device boots from, and the signed updates of its system."""

from edge_ad_deploy.image.build import BuiltImage, ImageRequest, build_image
from edge_ad_deploy.image.update import BuiltUpdate, SystemUpdateRequest, build_update

__all__ = ["BuiltImage", "BuiltUpdate", "ImageRequest", "SystemUpdateRequest", "build_image", "build_update"]
