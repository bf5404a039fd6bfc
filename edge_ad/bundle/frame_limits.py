"""Limits for how a frame may look and how large it may be: a frame outside of them is refused before it is scored.

A calibration learns them from its normal images. Whoever knows better, such as a station's own file, makes
:class:`FrameLimits` of his own and hands them to ``Detector.open``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge_ad.bundle.fields import Record

if TYPE_CHECKING:
    from edge_ad.verdict import FrameStatistics

__all__ = ["FrameLimit", "FrameLimits", "LimitedValue", "listed", "missing_limits"]

LimitedValue = Literal["brightness", "contrast", "sharpness", "colour", "width", "height"]
"""What limits may be about. Brightness, contrast, sharpness and colour are those of ``FrameStatistics``; width and
height are of the frame, or of an object's box, in camera pixels."""


class FrameLimit(Record, frozen=True, kw_only=True):
    """The lowest and the highest value that is taken; ``None``: no limit on that side.

    ``seen_lowest``, ``seen_highest``: what the calibration's normal images had.
    """

    lowest: float | None = None
    highest: float | None = None
    seen_lowest: float | None = None
    seen_highest: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value lies within the limits; both ends are taken."""
        return (self.lowest is None or value >= self.lowest) and (self.highest is None or value <= self.highest)

    @property
    def text(self) -> str:
        """The limits in words, such as ``12 to 236.6`` or ``0.07 or more``."""
        low, high = ("" if end is None else _plain(end) for end in (self.lowest, self.highest))
        if low and high:
            return f"{low} to {high}"
        return (low and f"{low} or more") or (high and f"{high} or less") or "any value"

    @property
    def seen(self) -> str:
        """What the normal images had, in brackets; empty where nobody knows."""
        if self.seen_lowest is None or self.seen_highest is None:
            return ""
        return f" (normal images: {_plain(self.seen_lowest)} to {_plain(self.seen_highest)})"


class FrameLimits(Record, frozen=True, kw_only=True):
    """The limits of each value. ``off``: the values without limits, and why they have none.

    ``outside``: how many of the calibration's observations were counted as rejected because of the limits.
    ``risk``: the part of the promise's risk that the limits use; see ``docs/calibration.md``.
    """

    values: dict[LimitedValue, FrameLimit]
    off: dict[LimitedValue, str] = msgspec.field(default_factory=dict)
    outside: Annotated[int, msgspec.Meta(ge=0)] = 0
    risk: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0

    @property
    def lines(self) -> list[str]:
        """Each value in words, for instance ``brightness 12 to 236.6 (normal images: 49.7 to 222)``."""
        lines = [f"{name} {limit.text}{limit.seen}" for name, limit in self.values.items()]
        return lines + [f"{name}: no limits ({reason})" for name, reason in self.off.items()]

    def size_fault(self, width: int, height: int) -> str | None:
        """What is wrong with a size in camera pixels; ``None``: nothing."""
        return self._fault({"width": width, "height": height})

    def look_fault(self, looks: FrameStatistics) -> str | None:
        """What is wrong with the look of a frame; ``None``: nothing."""
        found: dict[LimitedValue, float] = {
            "brightness": looks.brightness,
            "contrast": looks.contrast,
            "sharpness": looks.sharpness,
        }
        fault = self._fault(found)
        return self._colour_fault(looks.colour) if fault is None and looks.colour is not None else fault

    def _fault(self, found: Mapping[LimitedValue, float]) -> str | None:
        for name, value in found.items():
            limit = self.values.get(name)
            if limit is not None and not limit.holds(value):
                unit = " pixels" if name in {"width", "height"} else ""
                return f"expected a {name} of {limit.text}{unit}, found {_plain(value)}"
        return None

    def _colour_fault(self, found: float) -> str | None:
        limit = self.values.get("colour")
        if limit is None or limit.holds(found):
            return None
        if limit.lowest is not None and found < limit.lowest:
            expected, was = "a frame in colour", "a gray one" if found == 0 else "one of less colour"
        elif limit.seen_highest == 0:
            expected, was = "a gray frame", "one in colour"
        else:
            expected, was = "a frame of less colour", "one of more"
        return f"expected {expected}, found {was} (a colour of {limit.text}, found {_plain(found)})"


def missing_limits(limits: FrameLimits | None) -> str | None:
    """What to say where a calibration of pictures has no limits, or not all of them; ``None``: it has them all."""
    if limits is None:
        return (
            "this calibration was made by an earlier version and has no limits of frames, so a black or white frame "
            "may be accepted: calibrate again"
        )
    older = (
        ""
        if "colour" in {*limits.values, *limits.off}
        else "this calibration was made by an earlier version and has no limits of colour, so a gray frame may be "
        "accepted where the normal images are in colour: calibrate again"
    )
    if not limits.off:
        return older or None
    reasons = {reason: [name for name, why in limits.off.items() if why == reason] for reason in limits.off.values()}
    parts = "; ".join(f"no limits of {listed(names)} ({reason})" for reason, names in reasons.items())
    told = f"frames have {parts}: a frame that is out of the ordinary there may be accepted"
    return f"{told}; {older}" if older else told


def listed(names: Iterable[str]) -> str:
    """``brightness, contrast and sharpness``."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def _plain(value: float) -> str:
    return f"{value:.4g}"
