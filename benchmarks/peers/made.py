"""Models that nothing here was tuned on, made by the peer: other backbones, other sizes of memory bank."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.families import datasets
from benchmarks.families.datasets import Dataset, picture
from edge_ad_metrics.sampling import evenly_spaced

__all__ = ["Recipe", "make"]

_SIDE = 256
_WEIGHTS = "models/backbones/squeezenet1_1_imagenet_features.onnx"
# Every so many normal images of the training are kept out of it, for anomalib's normalisation of scores.
_KEPT_OUT, _FOR_SCALE = 5, 15
_MAKING_S = 1800


@dataclass(frozen=True)
class Recipe:
    """``size``: PaDiM's features, PatchCore's vectors, STFPM's steps of training. ``images``: it is trained with."""

    kind: str
    backbone: str
    size: int
    data: Callable[[Path], Dataset] = datasets.magnetic_tile
    images: int = 64


def make(recipe: Recipe, target: Path, shared: Path, python: Path) -> None:
    """Writes the ONNX file ``target``, and the peer's OpenVINO file beside it; some minutes.

    Raises RuntimeError with the last line that the peer has said, and subprocess.TimeoutExpired.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("peer_models.py")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pictures = Path(folder).resolve() / "pictures.npz"
        train, normal, defect = _pictures(recipe, shared)
        np.savez(pictures, train=train, normal=normal, defect=defect)
        words = [recipe.kind, recipe.backbone, recipe.size, (shared / _WEIGHTS).resolve(), pictures, target.resolve()]
        # Otherwise the choice of a bank's vectors leaves torn memory at every step, as in the zoo.
        command = ["env", "MALLOC_MMAP_THRESHOLD_=1048576"]
        command += [str(python), "-W", "ignore", str(script), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MAKING_S, cwd=folder)
    if done.returncode:
        said = (done.stderr.strip() or "nothing said").splitlines()[-1]
        raise RuntimeError(f"{target.name} could not be made, exit code {done.returncode}: {said}")


def _pictures(recipe: Recipe, shared: Path) -> tuple[NDArray[np.float32], ...]:
    """To train with; normal ones and defects for the normalisation: none of them is among those that judge."""
    data = recipe.data(shared)
    kept_out = data.train[::_KEPT_OUT]
    train = [path for path in data.train if path not in set(kept_out)]
    return _stacked(train, recipe.images), _stacked(kept_out, _FOR_SCALE), _stacked(data.labelled, _FOR_SCALE)


def _stacked(paths: Sequence[Path], most: int) -> NDArray[np.float32]:
    return np.stack([picture(paths[index], _SIDE) for index in evenly_spaced(len(paths), most)])
