"""One picture for people: the frame, its anomaly map, its regions, its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.outputs.anomaly_map import ColourRange, overlay
from edge_ad.outputs.draw_text import Colour, draw_text, fit_text, text_width
from edge_ad.verdict import ObjectVerdict, Reason, Region, State, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLANK", "Caption", "annotate", "caption_of"]

_GREEN: Colour = (80, 160, 40)
_RED: Colour = (48, 48, 214)
_AMBER: Colour = (0, 168, 245)
_GRAY: Colour = (140, 140, 140)
_DARK: Colour = (28, 26, 24)
_WHITE: Colour = (245, 245, 245)
_FAINT: Colour = (190, 190, 190)
_STATES = {State.ACCEPT: _GREEN, State.REJECT: _RED, State.INVALID: _AMBER}

_MIN_SIDE_PX = 360
_MIN_TEXT_PX = 13
_MAX_TEXT_PX = 96
_SIDE_PER_TEXT = 48

BLANK: NDArray[np.uint8] = np.full((360, 480, 3), 60, np.uint8)
"""Stands for the picture of a frame that has none."""
BLANK.flags.writeable = False


def annotate(
    image: NDArray[np.uint8],
    verdict: Verdict,
    anomaly_map: NDArray[np.float32] | None = None,
    colour_range: ColourRange | None = None,
    *,
    captioned: bool = True,
) -> NDArray[np.uint8]:
    """The frame under its anomaly map and boxes, framed in the verdict's colour, with a caption below.

    Green accepts, red rejects, amber is invalid, gray has no verdict because nothing is calibrated. The
    result's size depends on the frame's size alone. Frames under 360 px are enlarged to stay legible.

    Args:
        image: uint8, (H, W, 3) BGR or (H, W) gray; not changed.
        anomaly_map: float32 (H, W) in camera pixels, raw; NaN where nothing was inspected, which is darkened.
        colour_range: what the colours stand for; without it no map is drawn.
        captioned: whether the caption is drawn into the picture; a page writes :func:`caption_of` below it instead.

    Returns:
        uint8 BGR, larger than the frame by frame line and caption.

    Raises:
        ValueError: ``anomaly_map`` is not of the frame's size.
    """
    import cv2

    if anomaly_map is not None and anomaly_map.shape != image.shape[:2]:
        raise ValueError(f"expected an anomaly map of the frame's {image.shape[:2]} pixels, found {anomaly_map.shape}")
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
    if anomaly_map is not None and colour_range is not None:
        picture = overlay(picture, anomaly_map, colour_range)
    layout = _Layout.of(*image.shape[:2], captioned=captioned)
    canvas = np.full((layout.height, layout.width, 3), _DARK, np.uint8)
    area = canvas[layout.top : layout.top + layout.picture_height, layout.left : layout.left + layout.picture_width]
    area[:] = picture.repeat(layout.enlarge, axis=0).repeat(layout.enlarge, axis=1)
    for one in verdict.objects:
        _draw_object(area, one, layout, _GRAY if _is_uncalibrated(verdict) else _STATES[one.state])
    for region in verdict.regions:
        _draw_region(area, region, layout)
    if captioned:
        _draw_caption(canvas, verdict, layout)
    colour = _colour(verdict)
    cv2.rectangle(canvas, (0, 0), (layout.width - 1, layout.height - 1), colour, 2 * layout.line - 1)
    return canvas


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things go, in pixels of the result."""

    enlarge: int
    picture_height: int
    picture_width: int
    text: int
    line: int
    left: int
    width: int
    captioned: bool

    @classmethod
    def of(cls, height: int, width: int, *, captioned: bool) -> _Layout:
        enlarge = max(1, math.ceil(_MIN_SIDE_PX / max(height, width)))
        picture_height, picture_width = enlarge * height, enlarge * width
        side = max(picture_height, picture_width)
        text = min(max(side // _SIDE_PER_TEXT, _MIN_TEXT_PX), _MAX_TEXT_PX)
        line = max(2, text // 6)
        total = max(picture_width, _MIN_SIDE_PX) + 2 * line
        return cls(enlarge, picture_height, picture_width, text, line, (total - picture_width) // 2, total, captioned)

    @property
    def top(self) -> int:
        return self.line

    @property
    def caption(self) -> int:
        return self.top + self.picture_height

    @property
    def height(self) -> int:
        return self.caption + (5 * self.text if self.captioned else 0) + self.line


def _draw_region(area: NDArray[np.uint8], region: Region, layout: _Layout) -> None:
    """A box around the region's pixels, light on dark so that it shows on any picture."""
    import cv2

    box, enlarge, line = region.box, layout.enlarge, max(1, layout.line // 2)
    margin = 3 * line  # OpenCV's thick lines are a little thicker than they say
    first = (box.x * enlarge - margin, box.y * enlarge - margin)
    last = ((box.x + box.width) * enlarge + margin - 1, (box.y + box.height) * enlarge + margin - 1)
    cv2.rectangle(area, first, last, _DARK, 3 * line)
    cv2.rectangle(area, first, last, _WHITE, line)


def _draw_object(area: NDArray[np.uint8], one: ObjectVerdict, layout: _Layout, colour: Colour) -> None:
    """The object's box and score in the colour of its own state."""
    import cv2

    box, enlarge, line = one.box, layout.enlarge, layout.line
    first = (box.x * enlarge, box.y * enlarge)
    last = ((box.x + box.width) * enlarge - 1, (box.y + box.height) * enlarge - 1)
    cv2.rectangle(area, first, last, colour, line)
    text, height = f"{one.score:.4g}", max(10, 3 * layout.text // 4)
    width = text_width(text, height) + 4 * line
    if width <= box.width * enlarge:
        area[first[1] : first[1] + height + 4 * line, first[0] : first[0] + width] = colour
        draw_text(area, text, first[0] + 2 * line, first[1] + 2 * line + height, height_px=height, colour=_WHITE)


def _draw_caption(canvas: NDArray[np.uint8], verdict: Verdict, layout: _Layout) -> None:
    text, gap = layout.text, layout.text // 2
    caption = caption_of(verdict)
    left = layout.line + gap
    right = left + text_width(caption.tag, text) + 2 * gap
    base = layout.caption + 2 * text
    canvas[base - text - gap : base + gap, left:right] = _colour(verdict)
    draw_text(
        canvas,
        caption.tag,
        left + gap,
        base,
        height_px=text,
        colour=_DARK if verdict.state is State.INVALID else _WHITE,
    )
    room = layout.width - layout.line - gap
    line, height = fit_text(caption.figures, text, room - right - gap)
    draw_text(canvas, line, right + gap, base, height_px=height, colour=_WHITE)
    line, height = fit_text(caption.remark, max(10, 3 * text // 4), room - left)
    draw_text(canvas, line, left, base + 2 * text, height_px=height, colour=_FAINT)


@dataclass(frozen=True, slots=True)
class Caption:
    """A verdict in words. ``tag``: its state. ``figures``: score and limit. ``remark``: what else there is to say."""

    tag: str
    figures: str
    remark: str


def caption_of(verdict: Verdict) -> Caption:
    """What stands below an annotated picture."""
    return Caption(_tag(verdict), _figures(verdict), _remark(verdict))


def _is_uncalibrated(verdict: Verdict) -> bool:
    return verdict.reason is Reason.UNCALIBRATED


def _colour(verdict: Verdict) -> Colour:
    return _GRAY if _is_uncalibrated(verdict) else _STATES[verdict.state]


def _tag(verdict: Verdict) -> str:
    return "NO VERDICT" if _is_uncalibrated(verdict) else verdict.state.value


def _figures(verdict: Verdict) -> str:
    if verdict.score is None:
        return verdict.reason.value.replace("_", " ") if verdict.reason else ""
    if verdict.threshold is None:
        return f"score {verdict.score:.4g}"
    return f"score {verdict.score:.4g}   limit {verdict.threshold:.4g}"


def _remark(verdict: Verdict) -> str:
    if _is_uncalibrated(verdict):
        return "not calibrated: colours are relative to this picture"
    if verdict.state is State.INVALID:
        return verdict.detail or ""
    regions = f"{len(verdict.regions)} region{'s' if len(verdict.regions) != 1 else ''}"
    if verdict.objects:
        rejected = sum(one.state is State.REJECT for one in verdict.objects)
        regions += f"   {rejected} of {len(verdict.objects)} object{'s' if len(verdict.objects) != 1 else ''} rejected"
    return regions if verdict.p_value is None else f"p-value {verdict.p_value:.3g}   {regions}"
