"""What the user says about the head."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from edge_ad.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_export.model.input_spec import Size

__all__ = [
    "Combine",
    "FeatureDistance",
    "FeatureLayout",
    "FeaturePool",
    "HeadOptions",
    "Interpolation",
    "Likelihood",
    "MapScore",
    "PixelError",
    "parse_map_score",
]

Combine = Literal["product", "sum", "mean"]
"""How the anomaly maps of several levels become one."""

FeatureDistance = Literal["cosine", "l2"]
"""Between the features of student and teacher."""

FeatureLayout = Literal["nchw", "nhwc", "ncwh", "nwhc", "nlc", "ncl"]
"""The order of the axes of features: batch, channels, height, width, and the tokens of a transformer (l)."""

FeaturePool = Literal["none", "3x3", "global"]
"""What is averaged before features are read."""

Interpolation = Literal["linear", "nearest"]
"""How feature maps are brought to one size."""

Likelihood = Literal["log", "probability"]
"""What the outputs of a normalizing flow hold."""

PixelError = Literal["squared", "absolute", "ssim", "psnr"]
"""Between a picture and what the model made of it."""


@dataclass(frozen=True)
class MapScore:
    """``max``; ``top``: the mean of the ``amount`` largest cells; ``quantile``: the smallest cell that a share of at
    least ``amount`` of all cells does not exceed."""

    kind: Literal["max", "top", "quantile"] = "max"
    amount: float = 1.0

    def largest(self, cells: int) -> int:
        """How many of the largest cells decide the score. Raises :class:`InputError`: more than there are."""
        count = cells - math.ceil(self.amount * cells) + 1 if self.kind == "quantile" else int(self.amount)
        if count > cells:
            raise InputError(f"--map-score top:{count}: the map has {cells} cells, expected a number up to that")
        return count


def parse_map_score(text: str) -> MapScore:
    """Reads ``max``, ``top:K`` or ``quantile:Q``. Raises :class:`ValueError` for anything else."""
    kind, _, amount = text.partition(":")
    if text == "max":
        return MapScore()
    if kind == "top" and amount.isdecimal() and int(amount) > 0:
        return MapScore("top", int(amount))
    if kind == "quantile" and 0 < float(amount) <= 1:
        return MapScore("quantile", float(amount))
    raise ValueError(text)


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
    feature_layout: FeatureLayout | None = None
    feature_grid: Size | None = None
    feature_skip: int | None = None
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
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "family"}
        return tuple(name for name, value in said.items() if value not in (None, ()) and value is not False)
