"""``make bench-peers``: trained models in edge-ad, in the bare engines and in the peer's inferencer, side by side."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks import machine
from benchmarks.peers.accuracy import Accuracy, measure_accuracy
from benchmarks.peers.cases import CASES, MADE, Case, enter, export
from benchmarks.peers.comparison import Conditions, Result, run_comparison
from benchmarks.peers.made import make
from edge_ad_metrics.machine import describe_cpu

SHARED = Path(__file__).resolve().parents[3] / "shared"
NAMES = tuple(case.name for case in (*CASES, *MADE))
HEADS = ("latency", "engine", "start", "peak", "size", "image", "pixel", "AUPIMO", "rank")


@dataclass(frozen=True)
class Setting:
    """``peer``: its interpreter, ``None`` where it does not take part. ``made``: the folder of made models."""

    peer: Path | None
    shared: Path
    made: Path | None
    runs: int
    starts: int
    threads: int


@dataclass(frozen=True)
class Played:
    """A CPU that OpenVINO is made to believe in; the one that is there if nothing is ``environment``."""

    name: str
    title: str
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


AS_IT_IS = Played("own", "this CPU as it is")
AVX2 = Played(
    "avx2",
    "OpenVINO played down to AVX2; ONNX Runtime has no such switch and takes no part",
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    ("--target", "x86-avx2"),
)
AVX2_VNNI = Played(
    "avx2-vnni",
    "OpenVINO played down to AVX2 with VNNI; ONNX Runtime has no such switch and takes no part",
    {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"},
)


def played_cpus(instructions: Sequence[str]) -> tuple[Played, ...]:
    """Those that a CPU with these instructions can play: AVX2 with VNNI on one without means plain AVX2."""
    return (AS_IT_IS, *([AVX2] if "avx2" in instructions else []), *([AVX2_VNNI] if "avx_vnni" in instructions else []))


@click.command()
@click.option(
    "--peer",
    envvar="PEER",
    type=click.Path(path_type=Path, exists=True),
    help="Environment with the peer, or its interpreter. Without it only the bare engines take part.",
)
@click.option("--shared", default=SHARED, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--model", "names", multiple=True, type=click.Choice(NAMES), help="All shared ones otherwise.")
@click.option("--cpu", "cpus", multiple=True, type=click.Choice(["own", "avx2", "avx2-vnni"]), help="All otherwise.")
@click.option("--runs", default=40, show_default=True, help="Timed rounds.")
@click.option("--starts", default=3, show_default=True, help="Cold starts.")
@click.option("--threads", default=0, help="Of every engine; 0, the default, leaves it to them.")
@click.option(
    "--bundles", type=click.Path(path_type=Path), help="Keep the bundles in this folder, and use those that are there."
)
@click.option(
    "--made",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of models that the peer makes, once. They are compared in place of the shared ones.",
)
@click.option("--export-options", default="", help="Handed to edge-ad export, such as '--project 256'.")
def main(
    names: tuple[str, ...], cpus: tuple[str, ...], bundles: Path | None, export_options: str, **given: Any
) -> None:
    """Print latencies, cold starts, memory, sizes and accuracy on images that no export saw, and the ratios."""
    setting, began = _setting(**given), time.perf_counter()
    cases = _cases(names, setting)
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        kept = bundles or Path(folder)
        for case in cases:
            model = _model(case, setting)
            for played in played_cpus(describe_cpu().instructions):
                if not cpus or played.name in cpus:
                    print(f"\n{case.name}, {played.title}")
                    options = [*played.options, *export_options.split()]
                    options += ["--variants", ",".join(case.openvino)] if played.environment else []
                    _compare(case, model, setting, kept / f"{case.name}-{played.name}", options, played)
    print(f"\n{(time.perf_counter() - began) / 60:.0f} minutes")


def _setting(peer: Path | None, **given: Any) -> Setting:
    return Setting(peer / "bin" / "python" if peer is not None and peer.is_dir() else peer, **given)


def _cases(names: Sequence[str], setting: Setting) -> list[Case]:
    """Raises click.UsageError."""
    cases = [case for case in (*CASES, *MADE) if case.name in names]
    cases = cases or list(CASES if setting.made is None else MADE)
    if any(case.recipe for case in cases) and setting.made is None:
        raise click.UsageError("a made model was asked for: name the folder of made models with --made")
    missing = [case.name for case in cases if case.recipe and not _file(case, setting).exists()]
    if missing and setting.peer is None:
        raise click.UsageError(f"{missing[0]} is not in {setting.made}: name the peer that makes it with --peer")
    return cases


def _file(case: Case, setting: Setting) -> Path:
    root = setting.shared / "models" if case.recipe is None or setting.made is None else setting.made
    return root / case.model


def _model(case: Case, setting: Setting) -> Path:
    """Makes it if it is not there.

    Raises click.ClickException.
    """
    file = _file(case, setting)
    if case.recipe is not None and setting.peer is not None and not file.exists():
        start = time.perf_counter()
        try:
            make(case.recipe, file, setting.shared, setting.peer)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            raise click.ClickException(str(error)) from error
        print(f"\n{case.name} made in {time.perf_counter() - start:.0f} s")
    return file


def _compare(case: Case, model: Path, setting: Setting, bundle: Path, options: Sequence[str], played: Played) -> None:
    if not bundle.exists():
        threads = ["--engine-threads", str(setting.threads)] if setting.threads else []
        seconds = export(case, model, setting.shared, bundle, [*options, *threads], played.environment)
        print(f"  exported in {seconds:.0f} s")
    images = case.images(setting.shared).labelled
    with tempfile.TemporaryDirectory() as folder:
        results = run_comparison(
            enter(model, bundle, setting.peer, only_openvino=bool(played.environment)),
            [image.path for image in images],
            Path(folder),
            runs=setting.runs,
            starts=setting.starts,
            conditions=Conditions(setting.threads, played.environment),
        )
    found = [measure_accuracy(result, images, results[-1]) for result in results]
    print(f"  {'':<28}" + "".join(f"{head:>10}" for head in HEADS))
    for result, accuracy in zip(results, found, strict=True):
        print(_line(result) + _figures(accuracy))
    for other in results[1:-1]:
        print(_ratios(results[0], other))
    print(_verdict(results, found))


def _line(result: Result) -> str:
    engine = f"{statistics.median(result.engine_ms):.2f} ms" if result.engine_ms else "-"
    return (
        f"  {result.entry.name:<22}{result.precision:>6}{statistics.median(result.total_ms):>7.2f} ms{engine:>10}"
        f"{statistics.median(result.start_s):>8.2f} s{statistics.median(result.peak_mib):>6.0f} MiB"
        f"{result.entry.size_mib:>6.1f} MiB"
    )


def _figures(accuracy: Accuracy) -> str:
    aupimo = "-" if accuracy.aupimo is None else f"{accuracy.aupimo:.4f}"
    return f"{accuracy.image:>10.4f}{accuracy.pixel:>10.4f}{aupimo:>10}{accuracy.rank:>10.4f}"


def _verdict(results: Sequence[Result], found: Sequence[Accuracy]) -> str:
    """What the aims are about: the time of the untouched graph in the better engine, and what the variant lost."""
    ours, reference = found[0], found[-1]
    better = min((one for one in results[1:-1] if one.engine_ms), key=lambda one: statistics.median(one.engine_ms))
    words = [f"{_ratio(better.engine_ms, results[0].engine_ms)} times as fast as the {better.entry.name}"]
    words.append(f"ROC-AUC {ours.image - reference.image:+.4f}")
    if ours.aupimo is not None and reference.aupimo is not None:
        words.append(f"AUPIMO {ours.aupimo - reference.aupimo:+.4f}")
    return f"  engine {', '.join(words)}, rank {ours.rank:.4f}"


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
