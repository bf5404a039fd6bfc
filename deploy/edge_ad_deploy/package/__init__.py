"""A Debian package for a device: the runtime with all of its libraries, the service, bundles and what they trust."""

from edge_ad_deploy.package.build import BuiltPackage, PackageRequest, build_package
from edge_ad_deploy.package.lock import EXTRAS, Lock, Pin, make_lock
from edge_ad_deploy.package.target import PYTHONS, PackageTarget

__all__ = [
    "EXTRAS",
    "PYTHONS",
    "BuiltPackage",
    "Lock",
    "PackageRequest",
    "PackageTarget",
    "Pin",
    "build_package",
    "make_lock",
]
