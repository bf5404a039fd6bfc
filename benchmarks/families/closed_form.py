"""Models trained here without gradients: a ridge-regressed student and a logistic classifier of few defects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from sklearn.linear_model import LogisticRegression

from benchmarks.families.backbones import MOBILENET_V1, Backbone, Extension, extend, features
from benchmarks.families.datasets import Dataset

__all__ = ["STUDENT_LEVELS", "train_classifier", "train_student"]

# On each level the student sees the teacher's earlier layer and predicts the later one, which is half its size.
_LEVELS = {"pw5": "pw3", "pw11": "pw5"}
STUDENT_LEVELS = tuple(_LEVELS)
_KERNEL = 3
_RIDGE = 1e-3


def train_student(shared: Path, data: Dataset, target: Path, limit: int = 100) -> Path:
    """A student of one 3x3 convolution a level, by ridge regression on normal images.

    Outputs, for every level of :data:`STUDENT_LEVELS`: the teacher's under its name, the student's ``student_<level>``.
    """
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[Any]] = {}
    outputs: dict[str, Sequence[int | str]] = {}
    for level, seen in _LEVELS.items():
        fit = _ridge(features(shared, MOBILENET_V1, (seen, level), data.train[:limit]))
        student = f"student_{level}"
        weight, bias = f"{student}.weight", f"{student}.bias"
        nodes.append(helper.make_node("Conv", [seen, weight, bias], [f"{student}.raw"], pads=[1] * 4, strides=[2, 2]))
        nodes.append(helper.make_node("Relu", [f"{student}.raw"], [student]))
        constants |= {weight: fit.kernel, bias: fit.bias}
        outputs[student] = ["batch", *fit.shape]
    return extend(shared, MOBILENET_V1, Extension(nodes, constants, outputs), STUDENT_LEVELS, target)


@dataclass(frozen=True)
class _Student:
    """``shape``: of what it predicts, without the batch."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    shape: tuple[int, ...]


def _ridge(pairs: Iterable[Sequence[NDArray[np.float32]]]) -> _Student:
    """Solves the normal equations, summed image by image; ``pairs``: what is seen and what is predicted."""
    gram: NDArray[np.float64] | float = 0.0
    inputs, channels, shape = 0, 0, ()
    for seen, taught in pairs:
        rows = _patches(seen[0])
        columns = np.concatenate([rows, np.ones((len(rows), 1)), taught[0].reshape(taught.shape[1], -1).T], axis=1)
        gram = gram + columns.T @ columns
        inputs, channels, shape = rows.shape[1] + 1, seen.shape[1], taught.shape[1:]
    sums = np.asarray(gram)
    penalty = _RIDGE * np.trace(sums[:inputs, :inputs]) / inputs * np.eye(inputs)
    weights = np.linalg.solve(sums[:inputs, :inputs] + penalty, sums[:inputs, inputs:]).astype(np.float32)
    return _Student(weights[:-1].T.reshape(-1, channels, _KERNEL, _KERNEL), weights[-1], shape)


def _patches(planes: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a 3x3 convolution of stride 2 with a border of zeros sees, ``(places, channels * 9)``."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_KERNEL, _KERNEL), axis=(1, 2))[:, ::2, ::2]
    return np.moveaxis(windows, 0, 2).reshape(-1, len(planes) * _KERNEL**2).astype(np.float64)


def train_classifier(shared: Path, backbone: Backbone, layer: str, data: Dataset, target: Path) -> Path:
    """Logistic regression on the layer's mean, normals against a few labelled defects: output ``probabilities``."""
    images = (*data.train[:200], *data.labelled)
    labels = [0] * len(data.train[:200]) + [1] * len(data.labelled)
    means = np.stack([found[0].mean(axis=(0, 2, 3)) for found in features(shared, backbone, (layer,), images)])
    centre, scale = means.mean(axis=0), means.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000).fit((means - centre) / scale, labels)
    weight = fitted.coef_[0] / scale
    bias = fitted.intercept_[0] - weight @ centre
    constants = {
        "classifier.weight": np.stack([-weight, weight], axis=1).astype(np.float32) / 2,
        "classifier.bias": np.array([-bias, bias], np.float32) / 2,
    }
    nodes = [
        helper.make_node("GlobalAveragePool", [layer], ["classifier.pooled"]),
        helper.make_node("Flatten", ["classifier.pooled"], ["classifier.vector"]),
        helper.make_node("Gemm", ["classifier.vector", *constants], ["classifier.logits"]),
        helper.make_node("Softmax", ["classifier.logits"], ["probabilities"], axis=1),
    ]
    return extend(shared, backbone, Extension(nodes, constants, {"probabilities": ["batch", 2]}), (), target)
