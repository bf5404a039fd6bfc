"""Does reading leave the engine fed? Scoring many images beside the engine alone and reading alone, in turn.

Each alone has all cores. Where both must share few of them, no arrangement is quicker than one after the other on all
cores, ``1 / (1 / engine + 1 / reading)``, except by what the engine leaves idle; where the cores suffice for both, the
slower one is the limit.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle import Bundle
from edge_ad.engines.base import Engine
from edge_ad.scoring.opening import open_scorer
from edge_ad.scoring.scorer import Scorer
from edge_ad_calibration.scoring import ScoredImage, ScoreJob
from edge_ad_calibration.scoring.journal import MapJournal
from edge_ad_calibration.scoring.measure import Want, load, score_with
from edge_ad_calibration.scoring.opened import open_job
from edge_ad_metrics.machine import core_count

ROUNDS = 7
ROUND_S = 1.0


@dataclass(frozen=True)
class Rates:
    """Images a second in one round.

    ``engine``: runs alone, opened as on the device. ``reading``: reading, decoding, hashing and geometry alone.
    ``scoring``: all of it, as in calibration. ``mapping``: with the maps kept, as in evaluation.
    """

    engine: float
    reading: float
    scoring: float
    mapping: float

    @property
    def in_turn(self) -> float:
        """Reading and engine one after the other."""
        return 1 / (1 / self.engine + 1 / self.reading)


def measure_rates(bundle: Path, images: Sequence[Path], variant: str) -> tuple[Rates, ...]:
    """A round after the other, so that other work on the machine weighs on all of them."""
    opened = Bundle.open(bundle)
    with (
        closing(open_scorer(opened, opened.variant(variant))) as device,
        closing(open_job(ScoreJob(bundle=bundle, variant=variant))) as job,
        MapJournal(None) as journal,
    ):
        journal.begin(job.identity.digest)
        roads = _roads(device.engine, job.scorer, journal, images)
        counts = [_count(road) for road in roads]
        return tuple(
            Rates(*(_rate(road, count) for road, count in zip(roads, counts, strict=True))) for _ in range(ROUNDS)
        )


def print_rates(bundle: Path, images: Sequence[Path], variants: Iterable[str]) -> None:
    """A table, a line a variant: medians over the rounds, of the rates and of their ratios."""
    print(f"{bundle.name}: {len(images)} image files on {core_count()} cores, images/s, one column after the other")
    ratios = ("/engine", "/slower", "/in turn")
    heads = ("engine", "reading", "scoring", *ratios, "+ maps", *ratios)
    print(f"  {'variant':<16}" + "".join(f"{head:>9}" for head in heads))
    for variant in variants:
        rounds = measure_rates(bundle, images, variant)
        cells = [_median(rounds, lambda one: one.engine), _median(rounds, lambda one: one.reading)]
        cells += _against(rounds, lambda one: one.scoring) + _against(rounds, lambda one: one.mapping)
        print(f"  {variant:<16}" + "".join(f"{cell:>9.{1 if cell >= 10 else 3}f}" for cell in cells))


def _against(rounds: Sequence[Rates], of: Callable[[Rates], float]) -> list[float]:
    """A rate, and what part it is of the engine's, of the slower one's and of both in turn."""
    return [
        _median(rounds, of),
        _median(rounds, lambda one: of(one) / one.engine),
        _median(rounds, lambda one: of(one) / min(one.engine, one.reading)),
        _median(rounds, lambda one: of(one) / one.in_turn),
    ]


def _median(rounds: Sequence[Rates], of: Callable[[Rates], float]) -> float:
    return statistics.median(map(of, rounds))


def _roads(
    device: Engine, scorer: Scorer, journal: MapJournal, images: Sequence[Path]
) -> tuple[Callable[[int], None], ...]:
    def engine(count: int) -> None:
        for _ in range(count):
            device.run()

    def reading(count: int) -> None:
        cores, some = core_count(), _some(images, count)
        with ThreadPoolExecutor(cores) as pool:
            _exhaust(pool.map(lambda first: _read(scorer, some[first::cores]), range(cores)))

    def scoring(count: int) -> None:
        _exhaust(score_with(scorer, _some(images, count)))

    def mapping(count: int) -> None:
        for outcome in score_with(scorer, _some(images, count), Want(map=True)):
            if isinstance(outcome, ScoredImage) and outcome.map is not None:
                journal.add(outcome)

    return engine, reading, scoring, mapping


def _read(scorer: Scorer, images: Iterable[Path]) -> None:
    preparer = scorer.preparer()
    for path in images:
        load(path, preparer)


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
