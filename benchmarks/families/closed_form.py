"""Models trained here without gradients: a ridge-regressed student and a logistic classifier of few defects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from sklearn.linear_model import LogisticRegression

from benchmarks.families.backbones import MOBILENET_V1, Backbone, Extension, extend, features
from benchmarks.families.datasets import Dataset

__all__ = ["train_classifier", "train_student"]

# The student sees the teacher's early layer and predicts the later one, which is half its size.
_SEEN, _PREDICTED = "pw3", "pw5"
_KERNEL = 3
_RIDGE = 1e-2


def train_student(shared: Path, data: Dataset, target: Path, limit: int = 100) -> Path:
    """A student of one 3x3 convolution by ridge regression on normal images: outputs ``pw5`` and ``student``."""
    gram: NDArray[np.float64] | None = None
    for seen, taught in features(shared, MOBILENET_V1, (_SEEN, _PREDICTED), data.train[:limit]):
        rows = _patches(seen[0])
        columns = np.concatenate([rows, np.ones((len(rows), 1)), taught[0].reshape(taught.shape[1], -1).T], axis=1)
        gram = columns.T @ columns if gram is None else gram + columns.T @ columns
        inputs, outputs = rows.shape[1] + 1, taught.shape[1]
    if gram is None:
        raise ValueError(f"{data.name} has no normals to train with")
    penalty = _RIDGE * np.trace(gram[:inputs, :inputs]) / inputs * np.eye(inputs)
    weights = np.linalg.solve(gram[:inputs, :inputs] + penalty, gram[:inputs, inputs:])
    kernel = weights[:-1].T.reshape(outputs, -1, _KERNEL, _KERNEL)
    node = helper.make_node(
        "Conv", [_SEEN, "student.weight", "student.bias"], ["student.linear"], pads=[1] * 4, strides=[2, 2]
    )
    extension = Extension(
        [node, helper.make_node("Relu", ["student.linear"], ["student"])],
        {"student.weight": kernel.astype(np.float32), "student.bias": weights[-1].astype(np.float32)},
        {"student": ["batch", outputs, 28, 28]},
    )
    return extend(shared, MOBILENET_V1, extension, (_PREDICTED,), target)


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
