"""What a device builder runs on a workstation: keys and signatures."""

from edge_ad_deploy.keys import KeyFolder
from edge_ad_deploy.signing import sign_bundle

__all__ = ["KeyFolder", "sign_bundle"]
