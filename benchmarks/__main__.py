"""``make bench``: what the runtime costs beside the bare engine. Prints ratios taken in one process."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import drift, link, machine, memory, pixels, rates, startup
from benchmarks.roofline.report import report as report_limits
from edge_ad.benchmark import bench_bundle
from edge_ad.bundle import Bundle
from edge_ad.cli import main as edge_ad
from edge_ad.sources import list_images

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_MODELS = {
    "cookies/patchcore": "cookies/train/good",
    "cookies/padim": "cookies/train/good",
    "cookies/stfpm": "cookies/train/good",
    "magnetic_tile/patchcore": "magnetic_tile/train/good",
}
FRAME = (1920, 1080)


@dataclass(frozen=True)
class Sample:
    """A bundle, and image files to score with it."""

    bundle: Path
    images: tuple[Path, ...]


@click.command()
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--images", type=click.Path(path_type=Path, exists=True), help="Image files for the rate of scoring.")
@click.option("--runs", default=200, show_default=True)
@click.option("--long/--short", default=True, help="Whether to run 10,000 frames for the memory's sake.")
def main(bundles: tuple[Path, ...], images: Path | None, runs: int, long: bool) -> None:
    """Measure BUNDLES; without any, the demo's and those of the shared models where they are present."""
    print(machine.describe())
    print(f"import edge_ad: {startup.import_seconds() * 1e3:.0f} ms\n")
    with tempfile.TemporaryDirectory() as folder:
        files = tuple(list_images(images)) if images else ()
        samples = [Sample(bundle, files) for bundle in bundles] or _make(Path(folder))
        for sample in samples:
            _latency(sample.bundle, runs)
        for sample in samples:
            _start(sample.bundle)
        for sample in samples:
            if sample.images:
                variants = [variant.id for variant in Bundle.open(sample.bundle).manifest.variants]
                rates.print_rates(sample.bundle, sample.images, variants)
        report_limits([sample.bundle for sample in samples])
        pixels.report()
        drift.report()
        link.report()
        if long:
            first = samples[0].bundle
            variant = Bundle.open(first).manifest.default_variant
            grown = memory.growth_kib(first, variant)
            print(f"memory grown over 10,000 frames ({first.name}, {variant}): {grown} KiB")


def _make(folder: Path) -> list[Sample]:
    demo = folder / "demo"
    edge_ad(["demo", "-o", str(demo)], standalone_mode=False)
    made = [Sample(demo / "bundle", tuple(list_images(demo / "images/test/good")))]
    if not SHARED.is_dir():
        print("the shared models are not on this machine: the demo's bundle alone", file=sys.stderr)
        return made
    for model, normals in SHARED_MODELS.items():
        images = SHARED / "data" / normals
        made.append(Sample(folder / model.replace("/", "-"), tuple(list_images(images))))
        arguments = [str(SHARED / "models" / f"{model}.onnx"), "--images", str(images)]
        edge_ad(["export", *arguments, "-o", str(made[-1].bundle)], standalone_mode=False)
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
