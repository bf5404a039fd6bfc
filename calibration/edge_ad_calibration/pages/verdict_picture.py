"""A picture of a page with its verdict in words below it, where it can be read, searched and copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from edge_ad.outputs.annotate import caption_of
from edge_ad.verdict import Reason, State
from edge_ad_report import Picture, image_data_uri

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.verdict import Verdict

__all__ = ["verdict_picture"]

_LONGEST_PX: Final = 640
_TONES: Final[dict[State, Literal["good", "bad", "unsure"]]] = {
    State.ACCEPT: "good",
    State.REJECT: "bad",
    State.INVALID: "unsure",
}


def verdict_picture(
    annotated: NDArray[np.uint8], verdict: Verdict, what: str, *, remark: str = "", detail: str = ""
) -> Picture:
    """The annotated frame with its verdict.

    Args:
        annotated: uint8 BGR, (H, W, 3), from ``annotate`` without a caption.
        verdict: what was said about the frame.
        what: what the picture shows, for readers who cannot see it.
        remark: what else to say beside the verdict.
        detail: a line in small letters, such as the path of the image.
    """
    caption = caption_of(verdict)
    words = (caption.figures, caption.remark, remark)
    return Picture(
        uri=image_data_uri(annotated, longest_px=_LONGEST_PX),
        alt=f"{what}, {caption.tag}",
        # With a hyphen that no line is broken at.
        caption=" · ".join(word.replace("   ", ", ").replace("p-value", "p\u2011value") for word in words if word),
        tag=caption.tag,
        tone="" if verdict.reason is Reason.UNCALIBRATED else _TONES[verdict.state],
        detail=detail,
    )
