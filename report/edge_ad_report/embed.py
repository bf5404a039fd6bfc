"""Charts and pictures as HTML that needs no other file."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

from edge_ad_report.charts import INK
from edge_ad_report.page import Chart

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["figure_png", "figure_svg", "image_data_uri"]

_DPI = 144
_WIDE_IN = 6.5
_SVG_STYLE = {
    "svg.fonttype": "none",  # letters stay letters: they can be searched, copied and read aloud
    "svg.id": "chart",
    "svg.hashsalt": "edge-ad",  # the same figure gives the same bytes
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
}


def figure_svg(figure: Figure, *, alt: str, caption: str = "") -> Chart:
    """A chart of lines and letters, sharp at every size. With more than some thousand marks use ``figure_png``.

    Args:
        alt: what the chart shows, for who cannot see it.
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


def _is_wide(figure: Figure) -> bool:
    return float(figure.get_figwidth()) > _WIDE_IN


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
