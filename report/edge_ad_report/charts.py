"""Charts: one look for all pages, and drawing them into HTML that needs no other file."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Final

from edge_ad_report.page import Chart

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "ANOMALY",
    "FAINT",
    "INK",
    "LIMIT",
    "NORMAL",
    "figure_png",
    "figure_svg",
    "image_data_uri",
    "new_figure",
    "outline",
    "strip",
]

# Told apart by people who see no red or green (Okabe and Ito 2008), and legible on white and on black.
NORMAL: Final = "#2f83c0"
ANOMALY: Final = "#d9791e"
LIMIT: Final = "#c8457a"
FAINT: Final = "#8a8f98"
INK: Final = "#1f2428"
"""Lines and letters. In a page they take the colour of the page's text, so that they show in the dark too."""

_DPI = 144
_WIDE_IN = 6.5
_CYAN = (255, 255, 0)
_OUTLINE_PER_PX = 250
_SVG_STYLE = {
    "svg.fonttype": "none",  # letters stay letters: they can be searched, copied and read aloud
    "svg.id": "chart",
    "svg.hashsalt": "edge-ad",  # the same figure gives the same bytes
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
}


def new_figure(width_in: float = 5.2, height_in: float = 3.8) -> Figure:
    """An empty figure without background, in inches of which a screen shows 96 pixels; not known to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")


def strip(axes: Axes) -> None:
    """Takes away what says nothing, and puts the rest into :data:`INK`. Call it when all else is drawn."""
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    legend = axes.get_legend()
    if legend is not None:
        legend.set_frame_on(False)
        for label in legend.get_texts():
            label.set_color(INK)


def figure_svg(figure: Figure, *, alt: str, caption: str = "") -> Chart:
    """A chart of lines and letters, sharp at every size. With more than some thousand marks use ``figure_png``.

    Args:
        alt: what the chart shows, for readers who cannot see it.
    """
    from markupsafe import escape
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context(_SVG_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = drawing.replace("'DejaVu Sans'", "var(--chart-font)").replace(INK, "currentColor")
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    return Chart(markup=drawing, caption=caption, wide=_is_wide(figure))


def figure_png(figure: Figure, *, alt: str, caption: str = "") -> Chart:
    """A chart of very many marks, as pixels on white."""
    from markupsafe import escape

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    uri = _data_uri("image/png", buffer.getvalue())
    return Chart(markup=f'<img class="paper" src="{uri}" alt="{escape(alt)}">', caption=caption, wide=_is_wide(figure))


def image_data_uri(image: NDArray[np.uint8], *, longest_px: int = 640, quality: int = 85) -> str:
    """A photograph as a ``data:`` URI (JPEG), shrunk until no side is longer than ``longest_px``.

    Args:
        image: uint8, (H, W, 3) BGR or (H, W) gray; not changed.
    """
    import cv2

    shrink = longest_px / max(image.shape[:2])
    if shrink < 1:
        size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"expected an image that JPEG can hold, found {image.shape} {image.dtype}")
    return _data_uri("image/jpeg", data.tobytes())


def outline(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of the photograph in which the edge of what is marked is drawn in cyan, no colour of an anomaly map.

    Args:
        image: uint8, (H, W, 3) BGR or (H, W) gray; not changed.
        mask: bool, (H, W).

    Returns:
        uint8 BGR, (H, W, 3).
    """
    import cv2

    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    contours, _ = cv2.findContours(mask.view("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(colour, contours, -1, _CYAN, max(1, max(image.shape[:2]) // _OUTLINE_PER_PX))
    outlined: NDArray[np.uint8] = colour.astype("uint8", copy=False)
    return outlined


def _is_wide(figure: Figure) -> bool:
    return float(figure.get_figwidth()) > _WIDE_IN


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
