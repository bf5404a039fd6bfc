"""The shared trained models, the frames they are measured on, and who takes part."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.comparison import Entry
from benchmarks.peers.images import Images, cookies, magnetic_tile
from edge_ad.bundle import Bundle

__all__ = ["CASES", "Case", "enter", "export"]


@dataclass(frozen=True)
class Case:
    """``model``: below the shared models. ``images``: what is exported and judged with. ``openvino``: the variants that
    are tried where OpenVINO is played down."""

    name: str
    model: str
    images: Callable[[Path], Images]
    openvino: tuple[str, ...] = ("openvino-fp32", "openvino-fp16", "openvino-int8")


_WITH_BANK = ("openvino-fp32", "openvino-fp16", "openvino-shortlist", "openvino-int8")
CASES = (
    Case("padim", "cookies/padim.onnx", cookies),
    Case("patchcore", "cookies/patchcore.onnx", cookies, _WITH_BANK),
    Case("stfpm", "cookies/stfpm.onnx", cookies),
    Case("patchcore-tile", "magnetic_tile/patchcore.onnx", magnetic_tile, _WITH_BANK),
)


def export(case: Case, shared: Path, target: Path, options: Sequence[str], environment: Mapping[str, str]) -> float:
    """``edge-ad export`` in a process that plays the CPU it is to run on; the seconds that it took.

    Raises CalledProcessError.
    """
    with tempfile.TemporaryDirectory() as folder:
        for index, path in enumerate(case.images(shared).given):
            (Path(folder) / f"{index:04d}{path.suffix}").symlink_to(path.resolve())
        arguments = [str(shared / "models" / case.model), "--images", folder, "-o", str(target), *options]
        command = [str(Path(sys.executable).with_name("edge-ad")), "export", *arguments]
        start = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def enter(case: Case, shared: Path, bundle: Path, peer: Path | None, *, only_openvino: bool) -> tuple[Entry, ...]:
    """edge-ad's default variant, the untouched export in both bare engines, the peer where it is installed, and at the
    end edge-ad's exact variant: an export clamps its scores, so its own order is no measure.

    ``peer``: its environment or that one's interpreter. ``only_openvino``: ONNX Runtime does not take part.
    """
    model, ours = shared / "models" / case.model, Path(sys.executable)
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
        python, graph = peer / "bin" / "python" if peer.is_dir() else peer, _openvino_file(model, bundle)
        entries.append(Entry("peer's inferencer", "peer", graph, python, (graph, graph.with_suffix(".bin"))))
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
