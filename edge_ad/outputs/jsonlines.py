"""One JSON object per frame and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from edge_ad.outputs.sink import Sink
from edge_ad.outputs.text_lines import LineWriter, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame
    from edge_ad.verdict import Verdict

__all__ = ["CALIBRATED_FIELDS", "JsonLinesSink"]

CALIBRATED_FIELDS = frozenset({"state", "reason", "p_value", "threshold", "pixel_threshold", "regions", "drift"})
"""The fields of a verdict that mean something only after calibration."""


class JsonLinesSink(Sink):
    """``source``, then the fields of the verdict, one object per line.

    ``verdicts=False`` is for a bundle without calibration: its frames have scores and no verdicts, so the fields
    in ``CALIBRATED_FIELDS`` are left out; ``detail`` still says why a frame has no score.
    """

    needs_map = False

    def __init__(self, target: Path | BinaryIO, *, verdicts: bool) -> None:
        self._lines = LineWriter(target)
        self._left_out = frozenset() if verdicts else CALIBRATED_FIELDS

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:  # noqa: ARG002
        fields = msgspec.structs.asdict(verdict)
        fields["detail"] = verdict.detail and printable(verdict.detail)
        if self._left_out:
            fields["objects"] = [{"box": one.box, "score": one.score} for one in verdict.objects]
        kept = {name: value for name, value in fields.items() if name not in self._left_out}
        self._lines.write(msgspec.json.encode({"source": printable(frame.source), **kept}) + b"\n")

    def close(self) -> None:
        self._lines.close()
