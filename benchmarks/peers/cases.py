"""The shared trained models, the frames they are measured on, and who takes part."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.comparison import Entry
from edge_ad.bundle import Bundle

__all__ = ["CASES", "Case", "MaskedImage", "enter", "export"]


@dataclass(frozen=True)
class MaskedImage:
    """``mask``: of the defect; ``None`` for a normal part."""

    path: Path
    mask: Path | None


@dataclass(frozen=True)
class Case:
    """``data``: a folder in MVTec's layout, whose training images export measures with."""

    name: str
    model: str
    data: str

    def images(self, shared: Path) -> tuple[MaskedImage, ...]:
        """Every test image that is normal or has a mask."""
        root = shared / "data" / self.data
        found = [MaskedImage(path, None) for path in sorted((root / "test/good").iterdir())]
        for mask in sorted((root / "ground_truth").rglob("*.*")):
            kind, stem = mask.parent.name, mask.stem.removesuffix("_mask")
            path = next((root / "test" / kind).glob(f"{stem}.*"), None)
            found += [] if path is None else [MaskedImage(path, mask)]
        return tuple(found)


CASES = tuple(Case(name, f"cookies/{name}.onnx", "cookies") for name in ("padim", "patchcore", "stfpm"))


def export(case: Case, shared: Path, target: Path, options: Sequence[str], environment: Mapping[str, str]) -> None:
    """``edge-ad export`` in a process that plays the CPU it is to run on. Raises CalledProcessError."""
    arguments = [str(shared / "models" / case.model), "--images", str(shared / "data" / case.data / "train/good")]
    command = [str(Path(sys.executable).with_name("edge-ad")), "export", *arguments, "-o", str(target), *options]
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def enter(case: Case, shared: Path, bundle: Path, peer: Path | None) -> tuple[Entry, ...]:
    """edge-ad's default variant, the untouched export in both bare engines, and the peer where it is installed.

    ``peer``: its environment or that one's interpreter.
    """
    model, ours = shared / "models" / case.model, Path(sys.executable)
    opened = Bundle.open(bundle)
    variant = opened.variant(opened.manifest.default_variant)
    files = tuple((bundle / variant.model).parent.glob("model.*"))
    entries = [
        Entry(f"edge-ad {variant.id}", "edge-ad", bundle, ours, files),
        Entry("bare onnxruntime", "onnxruntime", model, ours, (model,)),
        Entry("bare openvino f32", "openvino", model, ours, (model,)),
    ]
    if peer is not None:
        python = peer / "bin" / "python" if peer.is_dir() else peer
        # Its own inferencer mixes up the outputs of some of its ONNX exports: it gets its IR where there is one.
        graph = model.with_name(f"{model.stem}_openvino") / "model.xml"
        files = (graph, graph.with_suffix(".bin")) if graph.exists() else (model,)
        entries.append(Entry("peer's inferencer", "peer", files[0], python, files))
    return tuple(entries)
