"""The manifest's record of a model that scores clips: which frames it takes, and which of them a score is about."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge_ad.bundle.fields import Record

__all__ = ["Clip", "Smoothing"]

# The runtime keeps length x stride frames in memory: a typing error must not ask for a day of them.
Steps = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Smoothing(Record, frozen=True, kw_only=True):
    """How the last ``window`` raw scores, each of a whole clip, become one.

    ``mean``: their mean. ``k_of_n``: the ``k``-th largest of them, so that it lies above a threshold exactly where at
    least ``k`` of the ``window`` scores do.
    """

    kind: Literal["mean", "k_of_n"]
    window: Steps
    k: Steps = 1

    def __post_init__(self) -> None:
        if self.k > self.window:
            raise ValueError(f"{self.k} of {self.window} scores: expected at most as many as there are")


class Clip(Record, frozen=True, kw_only=True):
    """The graph's input is ``[1, length, ...]``: samples in the order of time, the newest last.

    ``stride``: frames from one sample to the next. ``hop``: frames from one score to the next. ``covers``: which
    samples a score is about: all of the clip, its middle one, or the last one, as in a prediction of the next frame.
    ``input``: what a sample is. ``frame``: the picture, uint8 ``[h, w, c]``. ``flow``: the optical flow from the frame
    ``stride`` frames earlier, float32 ``[h, w, 2]`` in pixels of the model's input. ``features``: a float32 vector,
    given by the caller or made by the variant's extractor, of the frame or of a ``snippet`` of so many frames in a row
    that ends with it.
    """

    length: Steps
    stride: Steps = 1
    hop: Steps = 1
    covers: Literal["clip", "middle", "last"] = "clip"
    input: Literal["frame", "flow", "features"] = "frame"
    smoothing: Smoothing | None = None
    snippet: Steps = 1

    @property
    def reach(self) -> int:
        """How many frames the oldest sample lies before the newest."""
        return (self.length - 1) * self.stride

    @property
    def golden_frames(self) -> int:
        """How many frames a golden clip is made of: ``stride`` apart, or one snippet that stands for all of them."""
        return self.snippet if self.snippet > 1 else self.length + (self.input == "flow")
