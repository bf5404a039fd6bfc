"""``make bench-peers``: the shared trained models in edge-ad, in the bare engines and in the peer's inferencer."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks import machine
from benchmarks.peers.accuracy import measure_accuracy
from benchmarks.peers.cases import CASES, Case, enter, export
from benchmarks.peers.contest import Result, run_contest

SHARED = Path(__file__).resolve().parents[3] / "shared"
# What OpenVINO then believes to run on: a CPU of Intel's N series. ONNX Runtime does not listen.
PLAYED_DOWN = {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}
NAMES = tuple(case.name for case in CASES)
HEADS = ("latency", "engine", "start", "peak", "size", "image", "pixel")


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
@click.option("--export-options", default="", help="Handed to edge-ad export, such as '--project 256'.")
def main(peer: Path | None, shared: Path, names: tuple[str, ...], runs: int, starts: int, export_options: str) -> None:
    """Print latencies, cold starts, memory, sizes and ROC areas, and the ratios to edge-ad."""
    print(machine.describe())
    for case in (case for case in CASES if not names or case.name in names):
        print(f"\n{case.name}, this CPU as it is")
        _contest(case, peer, shared, export_options.split(), (runs, starts), {})
        print(f"\n{case.name}, OpenVINO played down to AVX2 with VNNI")
        options = ["--variants", "openvino-fp32,openvino-fp16,openvino-int8", *export_options.split()]
        _contest(case, None, shared, options, (runs, starts), PLAYED_DOWN)


def _contest(
    case: Case,
    peer: Path | None,
    shared: Path,
    options: Sequence[str],
    counts: tuple[int, int],
    environment: Mapping[str, str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export(case, shared, bundle, options, environment)
        photographs = case.photographs(shared)
        results = run_contest(
            enter(case, shared, bundle, peer),
            [photograph.path for photograph in photographs],
            Path(folder),
            runs=counts[0],
            starts=counts[1],
            environment=environment,
        )
        print(f"  {'':<26}" + "".join(f"{head:>10}" for head in HEADS))
        for result in results:
            accuracy = measure_accuracy(result, photographs)
            print(_line(result) + f"{accuracy.image:>10.4f}{accuracy.pixel:>10.4f}")
        for other in results[1:]:
            print(_ratios(results[0], other))


def _line(result: Result) -> str:
    engine = result.engine_latency_ms
    return (
        f"  {result.entry.name:<26}{result.latency_ms:>7.2f} ms{'-' if engine is None else f'{engine:.2f} ms':>10}"
        f"{statistics.median(result.start_s):>8.2f} s{statistics.median(result.peak_mib):>6.0f} MiB"
        f"{result.entry.size_mib:>6.1f} MiB"
    )


def _ratios(ours: Result, other: Result) -> str:
    engine = ""
    if ours.engine_latency_ms and other.engine_latency_ms:
        engine = f", engine {other.engine_latency_ms / ours.engine_latency_ms:.2f}"
    return (
        f"  {other.entry.name} / edge-ad: latency {other.latency_ms / ours.latency_ms:.2f}{engine}, "
        f"start {statistics.median(other.start_s) / statistics.median(ours.start_s):.2f}, "
        f"memory {statistics.median(other.peak_mib) / statistics.median(ours.peak_mib):.2f}, "
        f"size {other.entry.size_mib / ours.entry.size_mib:.2f}"
    )


if __name__ == "__main__":
    main()
