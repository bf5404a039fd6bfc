"""A tiny model with an output for every kind of head, and a way to run a head by itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_ad.engines.openvino import switch_off_telemetry
from edge_ad_export.heads import make_head
from edge_ad_export.heads.compose import HeadPass
from edge_ad_export.heads.request import HeadRequest
from edge_ad_export.importers import ModelFile
from edge_ad_export.importers.inputs import resolve_input
from edge_ad_export.model.head import Head, Unfitted
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.model.imported import ImportOptions
from support.onnx_session import open_session

SIDE = 32
CLASSES = 4
SHAPES: dict[str, tuple[int, ...]] = {
    "fine": (1, 8, 16, 16),
    "coarse": (1, 12, 8, 8),
    "fine_student": (1, 8, 16, 16),
    "coarse_student": (1, 12, 8, 8),
    "recon": (1, 3, SIDE, SIDE),
    "logits": (1, CLASSES),
    "probabilities": (1, CLASSES),
    "odds": (1, 1),
    "distance_map": (1, 1, 16, 16),
}
"""The outputs of :func:`write_model`."""


def write_model(path: Path, *, opset: int = 17, outputs: Sequence[str] = tuple(SHAPES)) -> Path:
    """A random network: ``image`` float32 [1, 3, 32, 32] to the named ones of :data:`SHAPES`."""
    random = np.random.default_rng(0)
    weights: dict[str, NDArray[np.float32]] = {}

    def conv(source: str, target: str, inputs: int, count: int, **attributes: Any) -> list[onnx.NodeProto]:
        weights[f"{target}.w"] = random.normal(0, 0.4, (count, inputs, 3, 3)).astype(np.float32)
        linear = helper.make_node(
            "Conv", [source, f"{target}.w"], [f"{target}.linear"], pads=[1] * 4, name=target, **attributes
        )
        return [linear, helper.make_node("Relu", [f"{target}.linear"], [target])]

    weights["classes"] = random.normal(0, 0.4, (12, CLASSES)).astype(np.float32)
    weights["one_class"] = random.normal(0, 0.4, (12, 1)).astype(np.float32)
    nodes = [
        *conv("image", "fine", 3, 8, strides=[2, 2]),
        *conv("fine", "coarse", 8, 12, strides=[2, 2]),
        *conv("image", "fine_student", 3, 8, strides=[2, 2]),
        *conv("fine_student", "coarse_student", 8, 12, strides=[2, 2]),
        *conv("image", "recon", 3, 3),
        *conv("fine", "distance_map", 8, 1),
        helper.make_node("GlobalAveragePool", ["coarse"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("MatMul", ["vector", "classes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["vector", "one_class"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["odds"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPES[name]) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.utils.Extractor(made).extract_model(["image"], list(outputs)), path)
    return path


def request(path: Path, family: str, importing: ImportOptions | None = None, **options: Any) -> HeadRequest:
    """What the plain importer asks of a head."""
    given = importing or ImportOptions()
    importing = ImportOptions(
        score_output=given.score_output, map_output=given.map_output, head=HeadOptions(family=family, **options)
    )
    file = ModelFile(path)
    return HeadRequest(file, resolve_input(file, importing).spec, importing, family)


def fitted(head: Head | Unfitted, images: int = 12) -> Head:
    """The head, fitted to random features where it has something to learn."""
    if not isinstance(head, Unfitted):
        return head
    return head.fit([values(head.inputs, seed=100 + i) for i in range(images)])


def make(path: Path, family: str, importing: ImportOptions | None = None, **options: Any) -> Head:
    """A head of that model."""
    return fitted(make_head(request(path, family, importing, **options)))


def values(names: Sequence[str], seed: int = 0) -> list[NDArray[np.float32]]:
    """Random content for the values of the model of these names."""
    random = np.random.default_rng(seed)
    return [random.normal(0.5, 1, SHAPES.get(name, (1, CLASSES))).astype(np.float32) for name in names]


@dataclass(frozen=True)
class Ran:
    """What an engine made of a head's graph."""

    score: float
    map: NDArray[np.float32] | None


def run_onnx(head: Head, inputs: Sequence[NDArray[np.float32]], frame: NDArray[np.float32], opset: int = 17) -> Ran:
    """The head's graph alone, in ONNX Runtime."""
    session = open_session(_graph(head, inputs, frame, opset))
    return _ran(session.run(None, _feeds(session, inputs, frame)))


def run_openvino(head: Head, inputs: Sequence[NDArray[np.float32]], frame: NDArray[np.float32]) -> Ran:
    """The head's graph alone, in OpenVINO, in float32."""
    switch_off_telemetry()
    import openvino as ov

    core = ov.Core()
    model = core.read_model(io.BytesIO(_graph(head, inputs, frame, 17)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feeds = {"frame": frame, **{f"input{i}": given for i, given in enumerate(inputs)}}
    used = {port.get_any_name() for port in compiled.inputs}
    found = compiled({name: array for name, array in feeds.items() if name in used})
    return _ran([found[port] for port in compiled.outputs])


def _feeds(session: Any, inputs: Sequence[NDArray[np.float32]], frame: NDArray[np.float32]) -> dict[str, Any]:
    feeds = {"frame": frame, **{f"input{i}": given for i, given in enumerate(inputs)}}
    return {value.name: feeds[value.name] for value in session.get_inputs()}


def _ran(found: Sequence[NDArray[np.float32]]) -> Ran:
    return Ran(float(found[0].reshape(())), found[1][0, 0] if len(found) > 1 else None)


def compose(head: Head, inputs: Sequence[NDArray[np.float32]], frame: NDArray[np.float32], opset: int = 17) -> ir.Model:
    """The head's graph alone: ``input0``, ``input1``, ... and ``frame`` to ``score`` and ``map``."""
    values = [ir.val(f"input{i}", ir.DataType.FLOAT, given.shape) for i, given in enumerate(inputs)]
    graph = ir.Graph(
        [ir.val("frame", ir.DataType.FLOAT, frame.shape), *values],
        values,
        nodes=[],
        opset_imports={"": opset},
        name="head",
    )
    model = HeadPass(head)(ir.Model(graph, ir_version=8)).model
    for role, value in zip(head.roles, model.graph.outputs, strict=True):
        value.name = role
    return model


def _graph(head: Head, inputs: Sequence[NDArray[np.float32]], frame: NDArray[np.float32], opset: int) -> bytes:
    return bytes(ir.to_proto(compose(head, inputs, frame, opset)).SerializeToString())
