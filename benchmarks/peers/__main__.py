"""``make bench-peers``: the shared trained models in edge-ad, in the bare engines and in the peer's inferencer."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks import machine
from benchmarks.peers.accuracy import measure_accuracy
from benchmarks.peers.cases import CASES, Case, enter, export
from benchmarks.peers.comparison import Conditions, Result, run_comparison

SHARED = Path(__file__).resolve().parents[3] / "shared"
# What OpenVINO then believes to run on: a CPU of Intel's N series. ONNX Runtime does not listen.
PLAYED_DOWN = {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}
NAMES = tuple(case.name for case in CASES)
OPENVINO = "openvino-fp32,openvino-shortlist,openvino-fp16,openvino-int8"
HEADS = ("latency", "engine", "start", "peak", "size", "image", "pixel")


@dataclass(frozen=True)
class Setting:
    """``peer``: its environment or interpreter, ``None`` where it does not take part."""

    peer: Path | None
    shared: Path
    runs: int
    starts: int
    threads: int


@click.command()
@click.option(
    "--peer",
    envvar="PEER",
    type=click.Path(path_type=Path, exists=True),
    help="Environment with the peer, or its interpreter. Without it only the bare engines take part.",
)
@click.option("--shared", default=SHARED, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--model", "names", multiple=True, type=click.Choice(NAMES), help="All otherwise.")
@click.option("--runs", default=60, show_default=True, help="Timed rounds.")
@click.option("--starts", default=3, show_default=True, help="Cold starts.")
@click.option("--threads", default=0, help="Of every engine; 0, the default, leaves it to them.")
@click.option(
    "--bundles", type=click.Path(path_type=Path), help="Keep the bundles in this folder, and use those that are there."
)
@click.option("--export-options", default="", help="Handed to edge-ad export, such as '--project 256'.")
def main(names: tuple[str, ...], bundles: Path | None, export_options: str, **given: Any) -> None:
    """Print latencies, cold starts, memory, sizes and ROC areas, and the ratios to edge-ad."""
    setting = Setting(**given)
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        kept = bundles or Path(folder)
        for case in (case for case in CASES if not names or case.name in names):
            print(f"\n{case.name}, this CPU as it is")
            _compare(case, setting, kept / case.name, export_options.split(), {})
            print(f"\n{case.name}, OpenVINO played down to AVX2 with VNNI")
            options = ["--variants", OPENVINO, *export_options.split()]
            _compare(case, replace(setting, peer=None), kept / f"{case.name}-avx2-vnni", options, PLAYED_DOWN)


def _compare(
    case: Case, setting: Setting, bundle: Path, options: Sequence[str], environment: Mapping[str, str]
) -> None:
    if not bundle.exists():
        threads = ["--engine-threads", str(setting.threads)] if setting.threads else []
        export(case, setting.shared, bundle, [*options, *threads], environment)
    images = case.images(setting.shared)
    with tempfile.TemporaryDirectory() as folder:
        results = run_comparison(
            enter(case, setting.shared, bundle, setting.peer),
            [image.path for image in images],
            Path(folder),
            runs=setting.runs,
            starts=setting.starts,
            conditions=Conditions(setting.threads, environment),
        )
    print(f"  {'':<28}" + "".join(f"{head:>10}" for head in HEADS))
    for result in results:
        accuracy = measure_accuracy(result, images)
        print(_line(result) + f"{accuracy.image:>10.4f}{accuracy.pixel:>10.4f}")
    for other in results[1:]:
        print(_ratios(results[0], other))


def _line(result: Result) -> str:
    engine = f"{statistics.median(result.engine_ms):.2f} ms" if result.engine_ms else "-"
    return (
        f"  {result.entry.name:<22}{result.precision:>6}{statistics.median(result.total_ms):>7.2f} ms{engine:>10}"
        f"{statistics.median(result.start_s):>8.2f} s{statistics.median(result.peak_mib):>6.0f} MiB"
        f"{result.entry.size_mib:>6.1f} MiB"
    )


def _ratios(ours: Result, other: Result) -> str:
    """Of medians; in brackets of the fastest runs, which a busy machine disturbs least."""
    pairs = {
        "latency": _ratio(other.total_ms, ours.total_ms),
        "engine": _ratio(other.engine_ms, ours.engine_ms),
        "start": _ratio(other.start_s, ours.start_s),
        "memory": f"{statistics.median(other.peak_mib) / statistics.median(ours.peak_mib):.2f}",
        "size": f"{other.entry.size_mib / ours.entry.size_mib:.2f}",
    }
    words = ", ".join(f"{name} {ratio}" for name, ratio in pairs.items() if ratio)
    return f"  {other.entry.name} / edge-ad: {words}"


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    if not theirs or not ours:
        return ""
    return f"{statistics.median(theirs) / statistics.median(ours):.2f} [{min(theirs) / min(ours):.2f}]"


if __name__ == "__main__":
    main()
