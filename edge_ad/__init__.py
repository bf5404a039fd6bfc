"""edge-ad on the device: a bundle, a frame, a verdict.

>>> from edge_ad import Detector                                # doctest: +SKIP
>>> with Detector.open("part.bundle") as detector:              # doctest: +SKIP
...     verdict = detector.score(frame)

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.bundle import Bundle
    from edge_ad.detector import Detector, ScoredFrame
    from edge_ad.engines import EngineOptions
    from edge_ad.errors import EdgeAdError
    from edge_ad.sources import Frame, open_source
    from edge_ad.verdict import (
        Box,
        Drift,
        DriftState,
        FrameSpan,
        Latency,
        ObjectVerdict,
        Point,
        Reason,
        Region,
        State,
        Verdict,
    )

__all__ = [
    "Box",
    "Bundle",
    "Detector",
    "Drift",
    "DriftState",
    "EdgeAdError",
    "EngineOptions",
    "Frame",
    "FrameSpan",
    "Latency",
    "ObjectVerdict",
    "Point",
    "Reason",
    "Region",
    "ScoredFrame",
    "State",
    "Verdict",
    "__version__",
    "open_source",
]

_VERDICT = (
    *("Box", "Drift", "DriftState", "FrameSpan", "Latency", "ObjectVerdict"),
    *("Point", "Reason", "Region", "State", "Verdict"),
)
_HOMES = {
    "Bundle": "bundle",
    "Detector": "detector",
    "EdgeAdError": "errors",
    "EngineOptions": "engines",
    "Frame": "sources",
    "ScoredFrame": "detector",
    "open_source": "sources",
} | dict.fromkeys(_VERDICT, "verdict")


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("edge-ad")
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
