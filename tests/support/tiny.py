"""A tiny real model in both engines, and bundles made of it without the exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_ad.bundle import BundleWriter, Variant
from edge_ad.bundle.records import Geometry, MapSize, ModelInput, Resize
from edge_ad.engines import Artefact, open_engine
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.golden import Expectation
from edge_ad.scoring.scorer import Scorer
from support import tiny_bundle

SIZE = 32
CELLS = 4
FRAME = (48, 64, 3)
INPUT = ModelInput(width=SIZE, height=SIZE, channels=3)
MAP = MapSize(width=CELLS, height=CELLS)


def model(size: int = SIZE, *, channels: int = 3, scale: float = 1 / 255, with_map: bool = True) -> onnx.ModelProto:
    """uint8 ``frame`` -> ``map`` of the mean of 8x8 blocks over all channels, ``score`` its maximum."""
    cells = size // 8
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "last"], ["gray"], keepdims=0),
        helper.make_node("Unsqueeze", ["gray", "one"], ["plane"]),
        helper.make_node("AveragePool", ["plane"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["pooled", "map_shape"], ["map"]),
        helper.make_node("ReduceMax", ["map", "all"], ["peak"], keepdims=0),
        helper.make_node("Reshape", ["peak", "one"], ["score"]),
    ]
    constants = {
        "scale": np.float32(scale),
        "last": np.array([3], np.int64),
        "one": np.array([1], np.int64),
        "all": np.array([1, 2], np.int64),
        "map_shape": np.array([1, cells, cells], np.int64),
    }
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])]
    if with_map:
        outputs.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, cells, cells]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, size, size, channels])],
        outputs,
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def frames(count: int, *, shape: tuple[int, ...] = FRAME, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Dim noise, brighter from frame to frame in a shuffled order; no two alike."""
    random = np.random.default_rng(seed)
    levels = random.permutation(np.linspace(20, 90, count))
    return [random.integers(0, int(level) + 5, shape, np.uint8) for level in levels]


def spotted(frame: NDArray[np.uint8], x: int, y: int, size: int = 12) -> NDArray[np.uint8]:
    """The frame with one white square: an anomaly."""
    out: NDArray[np.uint8] = frame.copy()
    out[y : y + size, x : x + size] = 255
    return out


def write_images(folder: Path, images: list[NDArray[np.uint8]]) -> Path:
    """Saves frames as PNG; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{index:04d}.png"), image)
    return folder


def write_bundle(
    target: Path,
    geometry: Geometry | None = None,
    *,
    golden: int = 2,
    graph: onnx.ModelProto | None = None,
    shape: tuple[int, ...] = FRAME,
    channels: Literal[1, 3] = 3,
) -> Path:
    """A bundle of :func:`model`, or of another graph of its shapes, with an ONNX Runtime and an OpenVINO variant."""
    geometry = geometry or Geometry(resize=Resize(width=SIZE, height=SIZE))
    entry = ModelInput(width=SIZE, height=SIZE, channels=channels)
    with BundleWriter(target) as writer:
        variants = tiny_bundle.write_variants(writer, graph or model(channels=channels), MAP)
        names = []
        shown = frames(golden, shape=shape, seed=7)
        for index, frame in enumerate(shown):
            names.append(f"golden/{index}.png")
            assert cv2.imwrite(str(writer.root / names[-1]), frame)
        for variant in variants:
            data = _expect(writer.root, variant, Preprocessor(geometry, entry, map_size=MAP), shown).dump()
            (writer.root / f"golden/{variant.id}.npz").write_bytes(data)
        tiny_bundle.commit(writer, variants, entry, geometry, names)
    return target


def _expect(root: Path, variant: Variant, preprocessor: Preprocessor, shown: list[NDArray[np.uint8]]) -> Expectation:
    scorer = Scorer(preprocessor, open_engine(variant.engine, Artefact(root / variant.model)))
    scores, maps = [], []
    for frame in shown:
        measured = scorer.measure(frame)
        assert measured.map is not None
        scores.append(measured.score)
        maps.append(measured.map.copy())
    scorer.close()
    return Expectation(np.array(scores, np.float32), np.stack(maps))
