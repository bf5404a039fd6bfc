"""Models of clips that are trained here in closed form: regression, principal components, logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

__all__ = ["CLIP", "PAST", "SIDE", "block_means", "shrink", "train_components", "train_predictor", "train_segments"]

SIDE, PAST, CLIP = 64, 4, 6
_KERNEL, _RIDGE, _COMPONENTS, _BLOCK = 5, 1e-3, 48, 8

Planes = NDArray[np.float32]


def shrink(frames: Sequence[NDArray[np.uint8]]) -> Planes:
    """Gray, in 0 to 1, ``(frames, SIDE, SIDE)``."""
    small = [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in small])
    return np.asarray(gray / np.float32(255), np.float32)


def train_predictor(planes: Planes, target: Path) -> Path:
    """One 5x5 convolution from four frames to the next, by ridge regression: ``clip`` to ``predicted``."""
    size = PAST * _KERNEL**2
    gram = np.zeros((size + 1, size + 2))
    for index in range(PAST, len(planes), 3):
        past = np.pad(planes[index - PAST : index], ((0, 0), (2, 2), (2, 2)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(past, (_KERNEL, _KERNEL), axis=(1, 2))
        rows = np.moveaxis(windows, 0, 2).reshape(-1, size).astype(np.float64)
        rows = np.concatenate([rows, np.ones((len(rows), 1)), planes[index].reshape(-1, 1)], axis=1)
        gram += rows[:, :-1].T @ rows
    penalty = _RIDGE * np.trace(gram[:, :-1]) / size * np.eye(size + 1)
    weights = np.linalg.solve(gram[:, :-1] + penalty, gram[:, -1])
    nodes = [
        helper.make_node("Pad", ["clip", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "weight", "bias"], ["predicted"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "pads": np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64),
        "weight": weights[:-1].reshape(1, PAST, _KERNEL, _KERNEL).astype(np.float32),
        "bias": weights[-1:].astype(np.float32),
    }
    return _save(target, nodes, constants, (1, PAST, SIDE, SIDE), {"predicted": (1, 1, SIDE, SIDE)})


def train_components(planes: Planes, target: Path) -> Path:
    """Principal components of clips of six frames: ``clip`` ``[1, 6, 1, 64, 64]`` to ``made``."""
    clips = np.stack([planes[i : i + CLIP].ravel() for i in range(0, len(planes) - CLIP, 2)])
    fitted = PCA(_COMPONENTS, svd_solver="randomized", random_state=0).fit(clips)
    shape = (1, CLIP, 1, SIDE, SIDE)
    nodes = [
        helper.make_node("Reshape", ["clip", "flat"], ["row"]),
        helper.make_node("Sub", ["row", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "down"], ["code"]),
        helper.make_node("MatMul", ["code", "up"], ["decoded"]),
        helper.make_node("Add", ["decoded", "mean"], ["restored"]),
        helper.make_node("Reshape", ["restored", "shape"], ["made"]),
    ]
    constants = {
        "flat": np.array([1, -1], np.int64),
        "shape": np.array(shape, np.int64),
        "mean": fitted.mean_[None].astype(np.float32),
        "down": np.ascontiguousarray(fitted.components_.T, np.float32),
        "up": fitted.components_.astype(np.float32),
    }
    return _save(target, nodes, constants, shape, {"made": shape})


def train_segments(vectors: NDArray[np.float32], labels: NDArray[np.bool_], target: Path, planes: int = 0) -> Path:
    """A linear scorer of vectors, by multiple-instance learning: bags of 12 frames are labelled, frames are not.

    Starts from every frame of a spoilt bag and goes on with the upper half of each. The model takes the vectors,
    ``clip`` ``[1, 6, n]``, or clips of ``planes`` planes, of which it makes them as :func:`block_means` does.
    """
    bags = np.arange(len(vectors)) // (2 * CLIP)
    spoilt = np.array([labels[bags == bag].any() for bag in bags])
    centre, scale = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
    rows, chosen = (vectors - centre) / scale, spoilt
    for _ in range(4):
        used = ~spoilt | chosen
        fitted = LogisticRegression(C=0.05, class_weight="balanced", max_iter=2000).fit(rows[used], spoilt[used])
        scores = fitted.decision_function(rows)
        medians = {bag: np.median(scores[bags == bag]) for bag in np.unique(bags)}
        chosen = spoilt & (scores >= np.array([medians[bag] for bag in bags]))
    weight = fitted.coef_[0] / scale
    nodes = [
        helper.make_node("MatMul", ["vectors" if planes else "clip", "weight"], ["linear"]),
        helper.make_node("Add", ["linear", "bias"], ["segments"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "weight": weight[:, None].astype(np.float32),
        "bias": np.array(fitted.intercept_ - weight @ centre, np.float32),
    }
    shape: tuple[int, ...] = (1, CLIP, vectors.shape[1])
    if planes:
        constants |= {"planes": np.array([CLIP, planes, SIDE, SIDE]), "rows": np.array(shape)}
        nodes = [*_pooling(), *nodes]
        shape = (1, CLIP, planes, SIDE, SIDE)
    return _save(target, nodes, constants, shape, {"segments": (1, CLIP, 1)})


def block_means(planes: Planes) -> Planes:
    """The mean size of 8x8 cells: ``(frames, planes, SIDE, SIDE)`` to ``(frames, planes * 64)``."""
    blocks = np.abs(planes).reshape(*planes.shape[:2], SIDE // _BLOCK, _BLOCK, SIDE // _BLOCK, _BLOCK)
    return np.asarray(blocks.mean((3, 5)).reshape(len(planes), -1), np.float32)


def _pooling() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Reshape", ["clip", "planes"], ["pictures"]),
        helper.make_node("Abs", ["pictures"], ["sizes"]),
        helper.make_node("AveragePool", ["sizes"], ["blocks"], kernel_shape=[_BLOCK] * 2, strides=[_BLOCK] * 2),
        helper.make_node("Reshape", ["blocks", "rows"], ["vectors"]),
    ]


def _save(
    target: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    shape: tuple[int, ...],
    outputs: dict[str, tuple[int, ...]],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "trained",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, target)
    return target
