"""The table: what each part of each variant has to do, how fast it could be here, and how fast it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.roofline.counting import PARTS, Work, count, total
from benchmarks.roofline.limits import Limits, measure_limits
from benchmarks.roofline.profiles import profile
from edge_ad.bundle import Bundle
from edge_ad.errors import one_line

__all__ = ["report"]

HEADS = {"MMAC": 8, "int8": 7, "MB": 8, "limit": 10, "measured": 11, "times": 8}


def report(bundles: Iterable[Path], *, runs: int = 40, threads: int = 1) -> None:
    """Measures the machine, then every variant of the bundles. The extractor of two stages is not counted.

    ``threads``: one, as a station has unless its file says otherwise: what else runs on the machine disturbs it least.
    """
    limits = measure_limits(threads)
    print(f"limits of this machine, {limits}")
    for bundle in bundles:
        print(f"{bundle.name}: the least time that these limits allow, and the engine's; the parts by its profiler")
        print(f"  {'variant':<16}{'part':<10}" + "".join(f"{head:>{width}}" for head, width in HEADS.items()))
        for variant in Bundle.open(bundle).manifest.variants:
            _print_variant(bundle / variant.model, variant.id, variant.engine, limits, runs)


def _print_variant(model: Path, name: str, engine: str, limits: Limits, runs: int) -> None:
    import openvino as ov

    try:
        counted = count(ov.Core().read_model(model))
    except RuntimeError as error:
        print(f"  {name:<16}cannot be counted: {one_line(error)}")
        return
    parts = {op: part for op, (part, _) in counted.items()}
    measured = profile(model, engine, parts, threads=limits.threads, runs=runs)
    for part in PARTS:
        works = [work for its_part, work in counted.values() if its_part == part]
        _print_line(name, part, works, limits, measured.parts.get(part, 0.0))
    _print_line(name, "all", [work for _, work in counted.values()], limits, measured.whole)


def _print_line(name: str, part: str, works: list[Work], limits: Limits, measured: float) -> None:
    work, least = total(works), limits.seconds(works)
    share = f"{100 * work.int8_macs / work.macs:.0f} %" if work.macs else "-"
    times = f"{measured / least:.1f}" if least > 0 else "-"
    print(
        f"  {name:<16}{part:<10}{work.macs / 1e6:>8.1f}{share:>7}{work.bytes / 1e6:>8.1f}{least * 1e3:>7.2f} ms"
        f"{measured * 1e3:>8.2f} ms{times:>8}"
    )
