"""What the user says about the head."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_export.heads.combine import Combine
    from edge_ad_export.heads.features import FeaturePool, Interpolation
    from edge_ad_export.heads.flow import Likelihood
    from edge_ad_export.heads.reconstruction import PixelError
    from edge_ad_export.heads.student_teacher import FeatureDistance
    from edge_ad_export.heads.tail import MapScore

__all__ = ["HeadOptions"]


@dataclass(frozen=True)
class HeadOptions:
    """``None``, empty or false: not said. Which of them a family takes is written at its head.

    ``blur``: standard deviation in pixels of the model's input, 0 for none. ``head_data`` and ``fit`` are two ways to
    the same, what the embedding models learn from normal images: a file of it, or the images (folder, file or glob).
    """

    family: str | None = None
    feature_output: tuple[str, ...] = ()
    predicted_output: tuple[str, ...] = ()
    anomalous_class: int | None = None
    normal_class: int | None = None
    error: PixelError | None = None
    distance: FeatureDistance | None = None
    combine: Combine | None = None
    likelihood: Likelihood | None = None
    feature_pool: FeaturePool | None = None
    feature_resize: Interpolation | None = None
    neighbours: int | None = None
    blur: float | None = None
    map_score: MapScore | None = None
    head_data: Path | None = None
    fit: str | Path | None = None
    fit_channels: int | None = None
    fit_shared: bool = False
    fit_bank: int | None = None

    def given(self) -> tuple[str, ...]:
        """The names of what was said beside the family."""
        return tuple(
            f.name for f in fields(self) if f.name != "family" and getattr(self, f.name) not in (None, (), False)
        )
