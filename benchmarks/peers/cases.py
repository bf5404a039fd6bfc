"""The shared trained models and those that the peer makes, the frames they are measured on, and who takes part."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.families import datasets
from benchmarks.peers.comparison import Entry
from benchmarks.peers.images import Images, cookies, magnetic_tile
from benchmarks.peers.made import Recipe
from edge_ad.bundle import Bundle

__all__ = ["CASES", "MADE", "Case", "enter", "export"]


@dataclass(frozen=True)
class Case:
    """``model``: below the shared models, or below the folder of made ones. ``images``: what is exported and judged
    with. ``openvino``: the variants that are tried where OpenVINO is played down. ``recipe``: of a made model."""

    name: str
    model: str
    images: Callable[[Path], Images]
    openvino: tuple[str, ...] = ("openvino-fp32", "openvino-fp16", "openvino-int8")
    recipe: Recipe | None = None


_WITH_BANK = ("openvino-fp32", "openvino-fp16", "openvino-shortlist", "openvino-int8")
CASES = (
    Case("padim", "cookies/padim.onnx", cookies),
    Case("patchcore", "cookies/patchcore.onnx", cookies, _WITH_BANK),
    Case("stfpm", "cookies/stfpm.onnx", cookies),
    Case("patchcore-tile", "magnetic_tile/patchcore.onnx", magnetic_tile, _WITH_BANK),
)


def _made(name: str, images: Callable[[Path], Images], recipe: Recipe) -> Case:
    tried = _WITH_BANK if recipe.kind == "patchcore" else Case.openvino
    return Case(name, f"{name}.onnx", images, tried, recipe)


# A Gaussian of so many features takes more images than a memory bank does.
MADE = (
    _made("squeezenet-padim", magnetic_tile, Recipe("padim", "squeezenet", 72, images=128)),
    _made("squeezenet-patchcore-500", magnetic_tile, Recipe("patchcore", "squeezenet", 500)),
    _made("squeezenet-patchcore-10000", cookies, Recipe("patchcore", "squeezenet", 10_000, datasets.cookies)),
    _made("squeezenet-stfpm", cookies, Recipe("stfpm", "squeezenet", 100, datasets.cookies)),
    _made("resnet18-padim", magnetic_tile, Recipe("padim", "resnet18", 100, images=128)),
    _made("resnet18-patchcore-2000", magnetic_tile, Recipe("patchcore", "resnet18", 2000)),
    _made("resnet18-stfpm", magnetic_tile, Recipe("stfpm", "resnet18", 60)),
)


def export(
    case: Case, model: Path, shared: Path, target: Path, options: Sequence[str], environment: Mapping[str, str]
) -> float:
    """``edge-ad export`` in a process that plays the CPU it is to run on; the seconds that it took.

    Raises CalledProcessError.
    """
    with tempfile.TemporaryDirectory() as folder:
        for index, path in enumerate(case.images(shared).given):
            (Path(folder) / f"{index:04d}{path.suffix}").symlink_to(path.resolve())
        arguments = [str(model), "--images", folder, "-o", str(target), *options]
        command = [str(Path(sys.executable).with_name("edge-ad")), "export", *arguments]
        start = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def enter(model: Path, bundle: Path, peer: Path | None, *, only_openvino: bool) -> tuple[Entry, ...]:
    """edge-ad's default variant, the untouched export in both bare engines, the peer where it is installed, and at the
    end edge-ad's exact variant: an export clamps its scores, so its own order is no measure.

    ``peer``: its interpreter. ``only_openvino``: ONNX Runtime does not take part.
    """
    ours = Path(sys.executable)
    opened = Bundle.open(bundle)
    variant = opened.variant(opened.manifest.default_variant)
    files = tuple((bundle / variant.model).parent.glob("model.*"))
    entries = [
        Entry(f"edge-ad {variant.id}", "edge-ad", bundle, ours, files),
        Entry("bare openvino f32", "openvino", model, ours, (model,)),
    ]
    if not only_openvino:
        entries.append(Entry("bare onnxruntime", "onnxruntime", model, ours, (model,)))
    if peer is not None:
        graph = _openvino_file(model, bundle)
        entries.append(Entry("peer's inferencer", "peer", graph, peer, (graph, graph.with_suffix(".bin"))))
    entries.append(Entry("edge-ad exact", "float32", bundle, ours, ()))
    return tuple(entries)


def _openvino_file(model: Path, bundle: Path) -> Path:
    """The peer's own OpenVINO export, or what OpenVINO makes of its ONNX file, of which its inferencer sometimes mixes
    up the outputs."""
    own = model.with_name(f"{model.stem}_openvino") / "model.xml"
    if own.exists():
        return own
    import openvino

    made = bundle.with_name(f"{bundle.name}-peer") / "model.xml"
    openvino.save_model(openvino.convert_model(model), made, compress_to_fp16=False)
    return made
