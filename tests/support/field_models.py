"""The small model of the faults from the field, its variations, and the pictures that it looks at.

Two convolutions lead from a picture ``[b, 3, 96, 96]`` to ``c2`` ``[b, 1, 48, 48]``; what follows differs from case to
case. What a variation must give is calculated from :func:`c2_of`, which never sees the variation's own graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from support.onnx_session import open_session

__all__ = ["SIDE", "Net", "c2_of", "picture", "put", "small_c2", "small_model", "write_pictures"]

SIDE = 96
Dims = Sequence[int | str | None]


class Net:
    """An ONNX graph in the making; values are known by their names."""

    def __init__(self, opset: int = 17, ir_version: int = 9, dtype: int = TensorProto.FLOAT) -> None:
        self.opset, self.ir_version, self.dtype = opset, ir_version, dtype
        self.domains: dict[str, int] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.values: list[onnx.ValueInfoProto] = []
        self.metadata: dict[str, str] = {}

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.dtype))

    def input(self, name: str, dims: Dims, dtype: int | None = None) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, self.dtype if dtype is None else dtype, dims))
        return name

    def output(self, name: str, dims: Dims, dtype: int | None = None) -> str:
        self.outputs.append(helper.make_tensor_value_info(name, self.dtype if dtype is None else dtype, dims))
        return name

    def value(self, name: str, dims: Dims, dtype: int | None = None) -> str:
        """States the shape of a value in between."""
        self.values.append(helper.make_tensor_value_info(name, self.dtype if dtype is None else dtype, dims))
        return name

    def constant(self, array: object, dtype: Any = None) -> str:
        """Numbers in the graph's own type, or in ``dtype``."""
        name = f"k{len(self.constants)}"
        return self.named(name, np.asarray(array, dtype or self.numpy_dtype))

    def named(self, name: str, array: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def whole(self, *numbers: int) -> str:
        """An int64 vector."""
        return self.constant(numbers, np.int64)

    def op(self, kind: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Adds a node of one output and gives its name."""
        if domain:
            self.domains[domain] = 1
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"n_{name}", domain=domain, **attributes))
        return name

    def conv(self, value: str, weights: NDArray[np.float32], *, out: str | None = None, stride: int = 1) -> str:
        pad = weights.shape[-1] // 2
        return self.op("Conv", value, self.constant(weights), out=out, strides=[stride, stride], pads=[pad] * 4)

    def proto(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "small", self.inputs, self.outputs, self.constants, value_info=self.values
        )
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(*pair) for pair in self.domains.items())]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)
        helper.set_model_props(model, self.metadata)
        return model

    def save(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.proto().SerializeToString())
        return path


def weights(*shape: int, seed: int = 0, deviation: float = 0.3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, deviation, shape).astype(np.float32)


def small_features(net: Net, image: str, *, channels: int = 3) -> str:
    """``[b, 8, 48, 48]``."""
    return net.op("Relu", net.conv(image, weights(8, channels, 3, 3), stride=2))


def small_c2(net: Net, image: str, *, out: str | None = None, channels: int = 3) -> str:
    """``[b, 1, 48, 48]``."""
    return net.conv(small_features(net, image, channels=channels), weights(1, 8, 3, 3, seed=1), out=out)


def small_model(*, opset: int = 17, ir_version: int = 9, batch: int | str = "b") -> Net:
    """The small model itself: ``input`` to ``map``, which is ``Abs(c2)``."""
    net = Net(opset, ir_version)
    net.op("Abs", small_c2(net, net.input("input", [batch, 3, SIDE, SIDE])), out="map")
    net.output("map", [batch, 1, SIDE // 2, SIDE // 2])
    return net


@lru_cache
def _session(channels: int) -> Any:

    net = Net()
    small_c2(net, net.input("input", ["b", channels, "h", "w"]), out="c2", channels=channels)
    net.output("c2", ["b", 1, None, None])
    return open_session(net.proto().SerializeToString())


def as_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR or gray pixels as the models take them: RGB from 0 to 1, ``[1, c, h, w]``."""
    planes = pixels[..., ::-1].transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    return np.ascontiguousarray(planes[None] / np.float32(255), np.float32)


def c2_of(image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """``c2`` of a picture, or of what was made of one, ``[1, c, h, w]``: float32 ``(h / 2, w / 2)``."""
    given = as_input(np.asarray(image, np.uint8)) if image.dtype == np.uint8 else np.asarray(image, np.float32)
    (c2,) = _session(given.shape[1]).run(None, {"input": given})
    return np.asarray(c2[0, 0])


def picture(index: int, *, height: int = SIDE, width: int = SIDE, gray: bool = False) -> NDArray[np.uint8]:
    """Two sines and noise; no two alike."""
    random = np.random.default_rng(index)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.sin(rows / (6 + index)) + np.sin(columns / (5 + 0.7 * index))
    plane = 128 + (20 + 6 * (index % 10)) * waves
    noise = random.normal(0, 4 + index % 10, (height, width) if gray else (height, width, 3))
    mixed = plane + noise if gray else plane[..., None] * (1, 0.9, 0.8) + noise
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def write_pictures(
    folder: Path, count: int = 8, *, height: int = SIDE, width: int = SIDE, gray: bool = False, first: int = 0
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), picture(index, height=height, width=width, gray=gray))
    return folder


def put(path: Path, data: bytes) -> Path:
    """Writes a file of any kind, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
