"""What runs in the capture process of a camera: the kinds of cameras, and the loop that takes their frames."""

from __future__ import annotations

from edge_ad.capture.backends.fake import FakeCall, FakeCamera, FakeScript

__all__ = ["FakeCall", "FakeCamera", "FakeScript"]
