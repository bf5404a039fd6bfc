"""``make training-pixels PEER=python``: the frame ROC-AUC of a predictor in torch and through each kernel of edge-ad.

The predictor is trained on pictures that Pillow has brought down with its antialiased filter. The same spoilt frames
are then scored by torch on Pillow's pictures, and by edge-ad on the frames as they are.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks import machine
from benchmarks.families.videos import Scene, Spoilt, read_frames, spoil, write_video
from edge_ad import Detector
from edge_ad_export import ExportRequest, ImportOptions, export_bundle
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.model.input_spec import Kernel
from edge_ad_export.samples.geometry import GeometryOptions

ROOT = Path(__file__).resolve().parents[2]
TRAINING = Path(__file__).with_name("predictor.py")
# The filter of the training, and the kernel of edge-ad that equals it.
OWN: dict[str, Kernel] = {"bilinear": "antialiased-linear", "bicubic": "antialiased-cubic"}
KERNELS: tuple[Kernel, ...] = ("antialiased-linear", "antialiased-cubic", "area", "linear", "cubic")


@dataclass(frozen=True)
class Case:
    """A scene, and the size ``(width, height)`` to which its frames are brought down."""

    scene: Scene
    size: tuple[int, int]


def cases(shared: Path) -> tuple[Case, ...]:
    """Videos of 640x360 and 320x240, cut in time."""
    videos = shared / "data" / "video"
    return (
        Case(Scene("video", videos / "video.avi", (0, 170), (170, 200), (200, 374)), (192, 128)),
        Case(Scene("video02", videos / "video02.avi", (0, 350), (360, 420), (430, 750)), (128, 96)),
        Case(Scene("video03", videos / "video03.avi", (0, 600), (610, 700), (910, 1300)), (128, 96)),
    )


@click.command()
@click.option("--peer", type=click.Path(path_type=Path, exists=True), required=True, help="A Python with torch.")
@click.option("--shared", type=click.Path(path_type=Path, exists=True), default=ROOT.parent / "shared")
def main(peer: Path, shared: Path) -> None:
    """Print the ROC-AUC of torch, and of edge-ad through each kernel as a difference to it; some minutes a scene."""
    print(machine.describe())
    print(
        "frame ROC-AUC in torch on Pillow's pictures, and what edge-ad's differs from it; * the training's own kernel"
    )
    print(f"  {'scene':<10}{'trained on':<12}{'torch':>8}" + "".join(f"{kernel:>20}" for kernel in KERNELS))
    for case in cases(shared):
        spoilt = spoil(read_frames(case.scene, case.scene.test), seed=1)
        for resample in OWN:
            with tempfile.TemporaryDirectory() as folder:
                print(_line(case, spoilt, resample, Path(folder), peer), flush=True)


def _line(case: Case, spoilt: Spoilt, resample: str, folder: Path, peer: Path) -> str:
    model, scores = folder / "model.onnx", folder / "scores.npy"
    _train(case, spoilt, resample, (model, scores), peer)
    expected = _roc_auc(np.load(scores), spoilt)
    line = f"  {case.scene.name:<10}{resample:<12}{expected:>8.4f}"
    held_out = write_video(folder / "normal.avi", read_frames(case.scene, case.scene.held_out))
    for kernel in KERNELS:
        difference = _roc_auc(_scores(model, held_out, folder / kernel, kernel, spoilt.frames), spoilt) - expected
        line += f"{difference:>+19.4f}" + ("*" if kernel == OWN[resample] else " ")
    return line


def _train(case: Case, spoilt: Spoilt, resample: str, targets: tuple[Path, Path], peer: Path) -> None:
    frames = targets[0].with_suffix(".npz")
    arrays = {"train": read_frames(case.scene, case.scene.train), "test": spoilt.frames}
    rgb = {name: np.ascontiguousarray(np.stack(found)[..., ::-1]) for name, found in arrays.items()}
    np.savez(frames, train=rgb["train"], test=rgb["test"])
    command = [peer, TRAINING, frames, *targets, *case.size, resample]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def _scores(
    model: Path, held_out: Path, target: Path, kernel: Kernel, frames: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """The score of every frame, NaN where there is none."""
    importing = ImportOptions(color="rgb", head=HeadOptions(family="next-frame", error="psnr"), clip=ClipOptions())
    geometry = GeometryOptions(kernel=kernel)
    request = ExportRequest(
        model, str(held_out), target, importing, geometry, variants=("onnx-fp32",), max_images=20, effort="low"
    )
    export_bundle(request)
    with Detector.open(target) as detector:
        found = [detector.score(frame, frame_id=index).score for index, frame in enumerate(frames)]
    return np.array([np.nan if score is None else score for score in found])


def _roc_auc(scores: NDArray[np.float64], spoilt: Spoilt) -> float:
    scored = np.isfinite(scores)
    return float(roc_auc_score(spoilt.labels[scored], scores[scored]))


if __name__ == "__main__":
    main()
