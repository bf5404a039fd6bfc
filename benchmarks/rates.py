"""Does reading and decoding leave the engine fed? Scoring many images beside the engine alone, in turn."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_ad.engines import EngineOptions
from edge_ad.scoring import Scorer
from edge_ad_calibration.scoring import ScoreJob
from edge_ad_calibration.scoring.local import score_with
from edge_ad_calibration.scoring.measure import load
from edge_ad_calibration.scoring.opened import open_job

ROUNDS = 9
ROUND_S = 1.0


@dataclass(frozen=True)
class Rates:
    """Images a second, medians over the rounds.

    ``reading``: of the threads alone. ``ratio``: scoring over the engine, median of what each round gave, so that
    other work on the machine weighs on both.
    """

    engine: float
    scoring: float
    reading: float
    ratio: float


def measure_rates(bundle: Path, images: Sequence[Path], variant: str, options: EngineOptions | None = None) -> Rates:
    """The engine alone, all of scoring, and reading alone with as many threads, on the same images."""
    job = ScoreJob(bundle=bundle, variant=variant, engine=options or EngineOptions())
    with closing(open_job(job)) as opened:
        roads = _roads(opened.scorer, images)
        counts = [_count(road) for road in roads]
        rounds = [[_rate(road, count) for road, count in zip(roads, counts, strict=True)] for _ in range(ROUNDS)]
    engine, scoring, reading = zip(*rounds, strict=True)
    return Rates(
        engine=statistics.median(engine),
        scoring=statistics.median(scoring),
        reading=statistics.median(reading),
        ratio=statistics.median(b / a for a, b in zip(engine, scoring, strict=True)),
    )


def print_rates(bundle: Path, images: Sequence[Path], variants: Iterable[str]) -> None:
    """A table, a line a variant."""
    print(f"{bundle.name}: scoring {len(images)} image files beside the engine alone, in turn, images/s")
    print(f"  {'variant':<16}{'engine':>10}{'scoring':>10}{'ratio':>8}{'reading':>10}")
    for variant in variants:
        found = measure_rates(bundle, images, variant)
        print(f"  {variant:<16}{found.engine:>10.1f}{found.scoring:>10.1f}{found.ratio:>8.3f}{found.reading:>10.1f}")


def _roads(scorer: Scorer, images: Sequence[Path]) -> tuple[Callable[[int], None], ...]:
    def engine(count: int) -> None:
        for _ in range(count):
            scorer.engine.run()

    def scoring(count: int) -> None:
        _exhaust(score_with(scorer, _some(images, count)))

    def reading(count: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            _exhaust(pool.map(load, _some(images, count)))

    return engine, scoring, reading


def _count(road: Callable[[int], None]) -> int:
    """How many images make a round."""
    road(5)
    return max(10, round(_rate(road, 10) * ROUND_S))


def _rate(road: Callable[[int], None], count: int) -> float:
    start = time.perf_counter()
    road(count)
    return count / (time.perf_counter() - start)


def _some(images: Sequence[Path], count: int) -> list[Path]:
    return list(itertools.islice(itertools.cycle(images), count))


def _exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass
