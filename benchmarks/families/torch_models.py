"""The trained models of the table that took gradients: a VAE and a normalizing flow, trained here with torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, version_converter

from benchmarks.families.backbones import MOBILENET_V2, features
from benchmarks.families.datasets import Dataset, magnetic_tile
from benchmarks.families.measure import Trained, measure
from benchmarks.families.rows import Row, Workplace
from edge_ad.sources import read_image
from edge_ad_export import ImportOptions
from edge_ad_export.model.head_options import HeadOptions

__all__ = ["rows"]

_TRAINING = Path(__file__).with_name("torch_training.py")
_SIDE, _LAYER, _OPSET = 128, "feat_s16", 18
_FLOW_IMAGES = 200


def rows(work: Workplace) -> Iterator[Row]:
    """One row a model; none without a Python that has torch."""
    if work.peer is None:
        print("no --peer: the VAE and the normalizing flow are left out", file=sys.stderr)
        return
    data = magnetic_tile(work.shared)
    for trained in (_vae(work, data, work.peer), _flow(work, data, work.peer)):
        yield measure(work, trained)


def _vae(work: Workplace, data: Dataset, python: Path) -> Trained:
    path = work.scratch / "vae.onnx"
    _train(python, "vae", np.stack([_picture(image) for image in data.train])[:, None], path)
    importing = ImportOptions(head=HeadOptions(family="reconstruction"))
    return Trained("reconstruction", "VAE, squared", "trained here with torch, 500 steps", data, path, importing)


def _flow(work: Workplace, data: Dataset, python: Path) -> Trained:
    flow = work.scratch / "flow.onnx"
    found = features(work.shared, MOBILENET_V2, (_LAYER,), data.train[:_FLOW_IMAGES])
    _train(python, "flow", np.concatenate([values[0] for values in found]), flow)
    importing = replace(MOBILENET_V2.importing, head=HeadOptions(family="flow", feature_output=("log_likelihood",)))
    origin = f"{MOBILENET_V2.name}; RealNVP trained here with torch, 400 steps"
    return Trained("flow", "log-likelihood", origin, data, _joined(work, flow), importing)


def _joined(work: Workplace, flow: Path) -> Path:
    """Backbone and flow as one file."""
    backbone = version_converter.convert_version(onnx.load(MOBILENET_V2.path(work.shared)), _OPSET)
    behind = compose.add_prefix(onnx.load(flow), "flow/", rename_outputs=False)
    behind.ir_version = backbone.ir_version
    joined = compose.merge_models(backbone, behind, io_map=[(_LAYER, "flow/features")], outputs=["log_likelihood"])
    target = work.scratch / "backbone-flow.onnx"
    onnx.save(joined, target)
    return target


def _picture(path: Path) -> NDArray[np.float32]:
    gray = read_image(path)
    gray = cv2.cvtColor(gray, cv2.COLOR_BGR2GRAY) if gray.ndim == 3 else gray
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)


def _train(python: Path, kind: str, samples: NDArray[np.float32], target: Path) -> None:
    arrays = target.with_suffix(".npy")
    np.save(arrays, samples)
    subprocess.run([str(python), str(_TRAINING), kind, str(arrays), str(target)], check=True)
