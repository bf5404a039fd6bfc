"""``make bench``: what the runtime costs beside the bare engine. Prints ratios taken in one process."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from benchmarks import drift, machine, memory, startup
from edge_ad.benchmark import bench_bundle
from edge_ad.bundle import Bundle
from edge_ad.cli import main as edge_ad

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_MODELS = {
    "cookies/patchcore": "cookies/train/good",
    "cookies/padim": "cookies/train/good",
    "cookies/stfpm": "cookies/train/good",
    "magnetic_tile/patchcore": "magnetic_tile/train/good",
}
FRAME = (1920, 1080)


@click.command()
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=200, show_default=True)
@click.option("--long/--short", default=True, help="Whether to run 10,000 frames for the memory's sake.")
def main(bundles: tuple[Path, ...], runs: int, long: bool) -> None:
    """Measure BUNDLES; without any, the demo's and those of the shared models where they are present."""
    print(machine.describe())
    print(f"import edge_ad: {startup.import_seconds() * 1e3:.0f} ms\n")
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(bundles) or _make(Path(folder))
        for bundle in chosen:
            _latency(bundle, runs)
        for bundle in chosen:
            _start(bundle)
        drift.report()
        if long:
            variant = Bundle.open(chosen[0]).manifest.default_variant
            grown = memory.growth_kib(chosen[0], variant)
            print(f"memory grown over 10,000 frames ({chosen[0].name}, {variant}): {grown} KiB")


def _make(folder: Path) -> list[Path]:
    edge_ad(["demo", "-o", str(folder / "demo")], standalone_mode=False)
    made = [next(path.parent for path in (folder / "demo").rglob("manifest.json"))]
    if not SHARED.is_dir():
        print("the shared models are not on this machine: the demo's bundle alone", file=sys.stderr)
        return made
    for model, images in SHARED_MODELS.items():
        made.append(folder / model.replace("/", "-"))
        arguments = [str(SHARED / "models" / f"{model}.onnx"), "--images", str(SHARED / "data" / images)]
        edge_ad(["export", *arguments, "-o", str(made[-1])], standalone_mode=False)
    return made


def _latency(bundle: Path, runs: int) -> None:
    print(f"{bundle.name}: from a {FRAME[0]}x{FRAME[1]} frame in memory to the verdict, the bare engine in turn")
    heads = {"verdict p50": 12, "p99": 9, "bare p50": 10, "bare p99": 10, "geometry": 10, "fps": 8, "ratio": 7}
    print(f"  {'variant':<16}" + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for variant in Bundle.open(bundle).manifest.variants:
        r = bench_bundle(bundle, variant.id, frame_size=FRAME, runs=runs)
        print(
            f"  {variant.id:<16}{r.verdict.p50:>9.2f} ms{r.verdict.p99:>9.2f}{r.bare.p50:>10.2f}{r.bare.p99:>10.2f}"
            f"{r.geometry.p50:>10.2f}{r.frames_per_second:>8.1f}{r.ratio:>7.3f}"
        )


def _start(bundle: Path) -> None:
    print(f"{bundle.name}: from the start of a process to its first verdict, self-test included")
    for variant in Bundle.open(bundle).manifest.variants:
        ours, bare = startup.first_verdict(bundle, variant.id)
        print(
            f"  {variant.id:<16}{ours.seconds:>6.2f} s {ours.peak_mib:>6.0f} MiB   "
            f"bare {bare.seconds:>5.2f} s {bare.peak_mib:>6.0f} MiB"
        )


if __name__ == "__main__":
    main()
