"""How far each variant is from the imported model, through the same runtime that the device has."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import EngineError, FrameError, InputError, ModelError
from edge_ad.golden import correlate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad.scoring import Scorer
    from edge_ad_export.images import ImageSet

__all__ = ["Agreement", "Contender", "compare", "measure_latency", "relative_error"]

# Below this part of the scores' spread a score counts as near zero, where a relative error means nothing.
_NEAR_ZERO = 0.01
_ROUNDS = 12
_WARM_UP_RUNS = 1
_TIMED_RUNS = 3


@dataclass
class Contender:
    """A variant on trial: what has been seen of it so far. ``failed`` says why it was given up."""

    id: str
    scorer: Scorer
    scores: list[float] = field(default_factory=list)
    correlations: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failed: str | None = None


@dataclass(frozen=True)
class Agreement:
    """``reference`` and ``scores`` float64 ``(n,)``, in the order of the images. ``map_correlation_min`` is
    Pearson's, of the worst image; ``None`` without a map."""

    reference: NDArray[np.float64]
    scores: NDArray[np.float64]
    map_correlation_min: float | None
    latency_ms: float

    @property
    def max_abs(self) -> float:
        return float(np.abs(self.scores - self.reference).max())

    @property
    def max_rel(self) -> float:
        return relative_error(self.scores, self.reference)

    @property
    def spearman(self) -> float:
        """Spearman's rank correlation, ties by average ranks; 0 for scores that are all the same."""
        from scipy.stats import spearmanr

        if np.ptp(self.scores) == 0:
            return 0.0
        return float(spearmanr(self.scores, self.reference).statistic)

    @property
    def spread(self) -> float:
        """Between the smallest and the largest score of the normals."""
        return float(np.ptp(self.scores))


def relative_error(scores: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """The largest ``|score - reference| / |reference|``, the denominator at least 1 % of the references' spread."""
    floor = max(_NEAR_ZERO * float(np.ptp(reference)), np.finfo(np.float32).tiny)
    return float((np.abs(scores - reference) / np.maximum(np.abs(reference), floor)).max())


def compare(reference: Scorer, contenders: Sequence[Contender], images: ImageSet) -> tuple[Agreement | None, ...]:
    """Scores every image with the imported model and with every contender; ``None`` for one that failed.

    Raises:
        InputError: the imported model cannot score an image.
        ModelError: it scores all images the same.
    """
    expected = []
    for path, image in zip(images.paths, images, strict=True):
        try:
            found = reference.measure(image)
        except FrameError as error:
            raise InputError(f"the imported model cannot score {path}: {error}") from None
        expected.append(found.score)
        for contender in _alive(contenders):
            _measure(contender, image, found.map, path)
    scores = np.array(expected)
    if np.ptp(scores) == 0:
        raise ModelError(
            f"the model scores all {len(scores)} images {scores[0]:g}: it tells nothing apart; "
            "check which output is the score, and scale, mean and colour order of the input"
        )
    measure_latency(contenders)
    return tuple(None if c.failed else _agreement(c, scores) for c in contenders)


def measure_latency(contenders: Sequence[Contender]) -> None:
    """Times the bare engines in turn, on the last image, each warm before it is timed.

    Of every round the fastest run counts: whatever else the machine does makes runs slower, never faster.
    """
    for _ in range(_ROUNDS):
        for contender in _alive(contenders):
            # ONNX Runtime's threads go on spinning for a while after a run, at the cost of whoever comes next.
            runs = [_timed(contender.scorer) for _ in range(_WARM_UP_RUNS + _TIMED_RUNS)]
            contender.latencies_ms.append(min(runs[_WARM_UP_RUNS:]))


def _alive(contenders: Sequence[Contender]) -> Iterator[Contender]:
    return (contender for contender in contenders if contender.failed is None)


def _measure(contender: Contender, image: NDArray[np.uint8], heat: NDArray[np.float32] | None, path: Path) -> None:
    try:
        found = contender.scorer.measure(image)
    except (FrameError, EngineError) as error:
        contender.failed = f"cannot score {path.name}: {error}"
        return
    contender.scores.append(found.score)
    if heat is not None and found.map is not None:
        contender.correlations.append(correlate(found.map, heat))


def _timed(scorer: Scorer) -> float:
    start = perf_counter()
    scorer.engine.run()
    return (perf_counter() - start) * 1e3


def _agreement(contender: Contender, reference: NDArray[np.float64]) -> Agreement:
    return Agreement(
        reference=reference,
        scores=np.array(contender.scores),
        map_correlation_min=min(contender.correlations, default=None),
        latency_ms=statistics.median(contender.latencies_ms),
    )
