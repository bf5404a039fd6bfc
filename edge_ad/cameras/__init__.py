"""Cameras of a station: each captured in a process of its own, its frames in memory that scorers share."""

from __future__ import annotations

from edge_ad.cameras.checks import FrameChecks, FrameFault, sample_digest
from edge_ad.cameras.messages import NO_SLOT, CameraEnded, CameraEvent, CameraState, CameraStatus, FrameInfo
from edge_ad.cameras.process import CameraProcess
from edge_ad.cameras.ring import FrameRing
from edge_ad.cameras.settings import CameraSettings

__all__ = [
    "NO_SLOT",
    "CameraEnded",
    "CameraEvent",
    "CameraProcess",
    "CameraSettings",
    "CameraState",
    "CameraStatus",
    "FrameChecks",
    "FrameFault",
    "FrameInfo",
    "FrameRing",
    "sample_digest",
]
