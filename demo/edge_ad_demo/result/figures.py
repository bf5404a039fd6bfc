"""What the demo ends with, in numbers: false rejects, defects caught, ROC-AUC, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edge_ad.errors import GateError
from edge_ad.verdict import State, Verdict
from edge_ad_demo.line.defects import Kind

__all__ = ["GOOD", "Asked", "Caught", "DemoResult", "Figures", "FrameVerdict", "read_verdicts", "summarise"]

GOOD = "good"


class FrameVerdict(Verdict, frozen=True, kw_only=True):
    """One line of ``edge-ad score --json``."""

    source: str

    @property
    def folder(self) -> str:
        """The folder that the picture lies in: ``good`` or the kind of defect."""
        return Path(self.source).parent.name


class Asked(msgspec.Struct, frozen=True):
    """The guarantee: at most ``fpr`` of good parts are rejected, with this ``confidence``."""

    fpr: float
    confidence: float


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of defect fared against the good parts."""

    kind: Kind
    caught: int
    parts: int
    roc_auc: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The whole result. Latencies are medians over all scored frames.

    ``chance`` is how probable it is to see as many false rejects or more where the true rate is ``asked.fpr``.
    """

    good_parts: int
    false_rejects: int
    chance: float
    asked: Asked
    threshold: float
    defects: tuple[Caught, ...]
    roc_auc: float
    latency_ms: float
    engine_ms: float
    variant: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The figures, and the files that show them."""

    figures: Figures
    sheet: Path
    histogram: Path
    figures_file: Path
    rejects: Path


def read_verdicts(lines: bytes) -> tuple[FrameVerdict, ...]:
    """Decode what ``edge-ad score --json`` printed."""
    return tuple(msgspec.json.decode(line, type=FrameVerdict) for line in lines.splitlines())


def summarise(frames: Sequence[FrameVerdict], asked: Asked) -> Figures:
    """Count and compare the verdicts on good and on defective parts.

    Raises:
        GateError: a frame has no valid verdict, so that counting would hide it.
    """
    from scipy.stats import binom

    for frame in frames:
        if frame.state is State.INVALID:
            raise GateError(f"expected a verdict on every frame, found {frame.source} INVALID: {frame.detail}")
    good = [frame for frame in frames if frame.folder == GOOD]
    bad = [frame for frame in frames if frame.folder != GOOD]
    return Figures(
        good_parts=len(good),
        false_rejects=_rejected(good),
        chance=float(binom.sf(_rejected(good) - 1, len(good), asked.fpr)),
        asked=asked,
        threshold=float(_threshold(frames)),
        defects=tuple(_caught(kind, good, bad) for kind in Kind),
        roc_auc=_roc_auc(good, bad),
        latency_ms=float(np.median([frame.latency_ms.total for frame in frames])),
        engine_ms=float(np.median([frame.latency_ms.engine for frame in frames])),
        variant=frames[0].variant,
    )


def _caught(kind: Kind, good: Sequence[FrameVerdict], bad: Sequence[FrameVerdict]) -> Caught:
    parts = [frame for frame in bad if frame.folder == kind.value]
    return Caught(kind=kind, caught=_rejected(parts), parts=len(parts), roc_auc=_roc_auc(good, parts))


def _rejected(frames: Sequence[FrameVerdict]) -> int:
    return sum(not frame.accepted for frame in frames)


def _threshold(frames: Sequence[FrameVerdict]) -> float:
    (threshold,) = {frame.threshold for frame in frames}
    assert threshold is not None  # noqa: S101  # a frame without one is INVALID
    return threshold


def _roc_auc(good: Sequence[FrameVerdict], bad: Sequence[FrameVerdict]) -> float:
    """The share of (bad, good) pairs that the scores put in the right order; ties count half."""
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu([frame.score for frame in bad], [frame.score for frame in good], method="asymptotic")
    return float(test.statistic) / (len(bad) * len(good))
