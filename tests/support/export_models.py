"""Tiny trained models as the exporters of other projects write them, made of random weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from support.onnx_session import open_session

SIDE = 32
CHANNELS = 8
THRESHOLD, RANGE = 0.75, 1.5

Tail = Literal["raw", "clip", "min-max", "dynamo"]


@dataclass(frozen=True)
class Tiny:
    """What kind of model to make: a student and a teacher convolution whose squared difference, blurred, is the map.

    ``batch``: fixed, or ``None`` for any. ``size``: fixed, or ``None`` for any.
    """

    tail: Tail = "raw"
    batch: int | None = None
    channels: int = 3
    size: int | None = SIDE
    opset: int = 18
    with_score: bool = True
    with_map: bool = True
    input_name: str = "input"
    score_name: str = "pred_score"
    map_name: str = "anomaly_map"
    seed: int = 0


class _Builder:
    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.random = np.random.default_rng(tiny.seed)
        self.tape = ir.tape.Tape()

    def constant(self, name: str, array: NDArray[np.generic] | float) -> ir.Value:
        return self.tape.initializer(ir.tensor(np.asarray(array, getattr(array, "dtype", np.float32)), name=name))

    def convolve(self, value: ir.Value, name: str, inputs: int) -> ir.Value:
        weights = self.random.normal(0, 0.3, (CHANNELS, inputs, 3, 3)).astype(np.float32)
        return self.tape.op("Conv", [value, self.constant(name, weights)], {"pads": [1, 1, 1, 1]})

    def features(self, value: ir.Value, name: str) -> ir.Value:
        first = self.tape.op("Relu", [self.convolve(value, f"{name}.0", self.tiny.channels)])
        return self.tape.op("Relu", [self.convolve(first, f"{name}.1", CHANNELS)])

    def anomaly_map(self, image: ir.Value) -> ir.Value:
        difference = self.tape.op("Sub", [self.features(image, "teacher"), self.features(image, "student")])
        squared = self.tape.op("Mul", [difference, difference])
        plane = self.tape.op("ReduceSum", [squared, self.constant("axes", np.array([1]))], {"keepdims": 1})
        blur = self.constant("blur", np.full((1, 1, 3, 3), 1 / 9, np.float32))
        return self.tape.op("Conv", [plane, blur], {"pads": [1, 1, 1, 1], "strides": [2, 2]})

    def largest(self, anomaly_map: ir.Value) -> ir.Value:
        axes = np.array([-2, -1])
        if self.tiny.opset >= 18:
            return self.tape.op("ReduceMax", [anomaly_map, self.constant("last_axes", axes)], {"keepdims": 0})
        return self.tape.op("ReduceMax", [anomaly_map], {"axes": axes.tolist(), "keepdims": 0})

    def normalised(self, raw: ir.Value, name: str) -> ir.Value:
        """The tail of anomalib's post-processor, in the form that the exporter ``tail`` gives it."""
        op = self.tape.op
        threshold, spread = self.constant(f"{name}_t", THRESHOLD), self.constant(f"{name}_range", RANGE)
        zero, half, one = (self.constant(f"{name}_{n}", n) for n in (0.0, 0.5, 1.0))
        shifted = op("Add", [op("Div", [op("Sub", [raw, threshold]), spread]), half])
        if self.tiny.tail == "min-max":
            return op("Max", [op("Min", [shifted, one]), zero])
        clipped = op("Clip", [shifted, zero, one])
        if self.tiny.tail == "clip":
            return clipped
        below = op("Where", [op("Less", [raw, threshold]), zero, half])
        degenerate = op("Where", [op("Greater", [raw, threshold]), one, below])
        flat = self.constant(f"{name}_flat", np.array(False))
        known = self.constant(f"{name}_known", np.array(True))
        return op("Where", [known, op("Where", [flat, degenerate, clipped]), raw])

    def build(self) -> ir.Model:
        tiny = self.tiny
        side = tiny.size or "side"
        image = ir.val(tiny.input_name, ir.DataType.FLOAT, [tiny.batch or "batch", tiny.channels, side, side])
        anomaly_map = self.anomaly_map(image)
        outputs = []
        if tiny.with_score:
            outputs.append((tiny.score_name, self.largest(anomaly_map)))
        if tiny.with_map:
            outputs.append((tiny.map_name, anomaly_map))
        if tiny.tail != "raw":
            outputs = [(name, self.normalised(value, name)) for name, value in outputs]
        for name, value in outputs:
            value.name, value.dtype = name, ir.DataType.FLOAT
        graph = ir.Graph(
            [image],
            [value for _, value in outputs],
            nodes=self.tape.nodes,
            initializers=self.tape.initializers,
            opset_imports={"": tiny.opset},
            name="tiny",
        )
        return ir.Model(graph, ir_version=8)


def build(tiny: Tiny) -> ir.Model:
    """The model, its shapes inferred."""
    return ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(_Builder(tiny).build())))


def write(folder: Path, tiny: Tiny | None = None, *, external: bool = False) -> Path:
    """The model as ``model.onnx``, with its weights in ``model.onnx.data`` when ``external``."""
    path = folder / "model.onnx"
    proto = ir.to_proto(build(tiny or Tiny()))
    onnx.save(
        proto, path, save_as_external_data=external, location="model.onnx.data" if external else None, size_threshold=0
    )
    return path


def run(model: ir.Model, *images: NDArray[np.generic]) -> list[NDArray[np.float32]]:
    """The outputs in plain ONNX Runtime, fed in the order of the inputs."""

    session = open_session(ir.to_proto(model).SerializeToString())
    outputs: list[NDArray[np.float32]] = session.run(
        None, {given.name: image for given, image in zip(session.get_inputs(), images, strict=True)}
    )
    return outputs


def parts(count: int, *, seed: int = 0, shape: tuple[int, ...] = (48, 64, 3)) -> list[NDArray[np.uint8]]:
    """Pictures of parts, no two alike: smooth shading with noise and a spot that grows from one to the next."""
    random = np.random.default_rng(seed)
    rows = np.linspace(60, 160, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    images = []
    for index in range(count):
        image = np.clip(rows + random.normal(0, 8, shape), 0, 255).astype(np.uint8)
        image[10:20, 10 : 12 + index] = 220
        images.append(image)
    return images


def with_one_wide_channel(model: ir.Model) -> ir.Model:
    """The same function in float: one channel between two convolutions is a thousand times as wide as the others, and
    the second convolution takes that back. With one range for all channels int8 damages the others on any CPU."""
    for name in ("teacher", "student"):
        first, second = (model.graph.initializers[f"{name}.{i}"] for i in (0, 1))
        assert first.const_value is not None
        assert second.const_value is not None
        wide, narrow = first.const_value.numpy().copy(), second.const_value.numpy().copy()
        wide[0] *= 1024
        narrow[:, 0] /= 1024
        first.const_value, second.const_value = ir.tensor(wide, name=first.name), ir.tensor(narrow, name=second.name)
    return model
