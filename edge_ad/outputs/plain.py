"""A line a frame for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from edge_ad.outputs.lines import LineWriter, printable
from edge_ad.outputs.sink import Sink
from edge_ad.verdict import FrameSpan, State, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame

__all__ = ["TextSink"]


class TextSink(Sink):
    """``REJECT  score 71.2  p 0.067  2 regions  drift OK  shots/a.png``; uncalibrated: the score and the source."""

    needs_heat = False

    def __init__(self, target: BinaryIO, *, verdicts: bool) -> None:
        self._lines = LineWriter(target)
        self._verdicts = verdicts

    def write(self, frame: Frame, verdict: Verdict, heat: NDArray[np.float32] | None) -> None:  # noqa: ARG002
        parts = [verdict.state.value.ljust(7)] if self._verdicts else []
        parts += _found(verdict) if verdict.score is not None else []
        parts += [_objects(verdict)] if verdict.objects else []
        parts += [_covered(verdict.covers)] if verdict.covers else []
        parts += [f"drift {verdict.drift.state.value:<5}"] if verdict.drift else []
        parts.append(printable(frame.source))
        if verdict.score is None:
            parts.append(
                f"({verdict.reason.value if verdict.reason else 'invalid'}: {printable(verdict.detail or '')})"
            )
        self._lines.write("  ".join(parts).encode() + b"\n")

    def close(self) -> None:
        self._lines.close()


def _objects(verdict: Verdict) -> str:
    count = len(verdict.objects)
    objects = f"{count} object{'' if count == 1 else 's'}"
    if verdict.threshold is None:
        return objects
    return f"{sum(one.state is State.REJECT for one in verdict.objects)} of {objects} rejected"


def _covered(span: FrameSpan) -> str:
    return f"frame {span.last}" if span.first == span.last else f"frames {span.first}-{span.last}"


def _found(verdict: Verdict) -> list[str]:
    parts = [f"score {verdict.score:<10.6g}"]
    if verdict.p_value is not None:
        parts.append(f"p {verdict.p_value:<7.4g}")
    if verdict.pixel_threshold is not None:
        count = len(verdict.regions)
        parts.append(f"{count:>2} region{' ' if count == 1 else 's'}")
    return parts
