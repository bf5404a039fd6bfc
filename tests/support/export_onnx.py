"""Small graphs written as ONNX text, with their constants as arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from support.onnx_session import open_session

__all__ = ["graph", "operators", "run"]


def graph(inputs: str, outputs: str, nodes: str, opset: int = 18, **constants: NDArray[np.generic]) -> ir.Model:
    """A model of these nodes, its shapes inferred. ``inputs`` and ``outputs`` as in ``float[1, 3] x``.

    Constants that no node takes are left out.
    """
    words = set(re.findall(r"\w+", nodes))
    constants = {name: array for name, array in constants.items() if name in words}
    source = f'<ir_version: 8, opset_import: ["" : {opset}]> tiny ({inputs}) => ({outputs}) {{ {nodes} }}'
    model = ir.from_onnx_text(source, initializers=[ir.tensor(array, name=name) for name, array in constants.items()])
    return common_passes.ShapeInferencePass()(model).model


def run(model: ir.Model, **feeds: NDArray[np.generic]) -> Sequence[NDArray[np.float32]]:
    """The outputs, by ONNX Runtime."""
    session = open_session(ir.to_proto(model).SerializeToString())
    found: Sequence[NDArray[np.float32]] = session.run(None, feeds)
    return found


def operators(model: ir.Model) -> list[str]:
    """What the nodes are, in their order."""
    return [node.op_type for node in model.graph]
