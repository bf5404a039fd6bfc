"""Text in pictures, sized in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Colour", "draw_text", "fit_text", "text_width"]

Colour = tuple[int, int, int]
"""BGR, 0-255."""

_SMALLEST_PX = 9


def text_width(text: str, height_px: int) -> int:
    """How wide ``text`` is, in pixels, when its capitals are ``height_px`` high."""
    import cv2

    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _scale(height_px), _stroke(height_px))
    return int(width)


def fit_text(text: str, height_px: int, width_px: int) -> tuple[str, int]:
    """The text and height that fit into ``width_px``: smaller first, then cut off with ``...``."""
    needed_px = text_width(text, height_px)
    if needed_px > width_px:
        height_px = max(_SMALLEST_PX, height_px * width_px // needed_px)
    while height_px > _SMALLEST_PX and text_width(text, height_px) > width_px:  # thinner strokes are not as narrow
        height_px -= 1
    if text_width(text, height_px) <= width_px:
        return text, height_px
    while text and text_width(text + "...", height_px) > width_px:
        text = text[:-1]
    return text + "...", height_px


def draw_text(canvas: NDArray[np.uint8], text: str, left: int, base: int, *, height_px: int, colour: Colour) -> None:
    """Draw into ``canvas``; ``left`` and ``base`` are the pixel where the first letter stands."""
    import cv2

    where, font = (left, base), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, where, font, _scale(height_px), colour, _stroke(height_px), cv2.LINE_AA)


def _stroke(height_px: int) -> int:
    return max(1, round(height_px / 12))


def _scale(height_px: int) -> float:
    import cv2

    return float(cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height_px, _stroke(height_px)))
