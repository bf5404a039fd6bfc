"""In how many bits an int8 graph for OpenVINO keeps what is not quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_ad_export.graph.backbone import FLOAT_ONLY
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.quantize.int8_graph import OpenVinoInt8

SIDE = 128


def products(*names: str) -> Any:
    """A chain of products with constants of their own."""
    from openvino import opset13

    ov = load_openvino()
    value = entry = opset13.parameter([1, SIDE], np.float32, "frame")
    random = np.random.default_rng(0)
    for name in names:
        weights = opset13.constant(random.normal(0, 1, (SIDE, SIDE)).astype(np.float32))
        value = opset13.matmul(value, weights, False, False)
        value.set_friendly_name(name)
    return ov.Model([opset13.result(value)], [entry])


def test_weights_of_what_is_never_quantized_keep_all_their_bits(tmp_path: Path) -> None:
    """A bank in 16 bits next to its norms in 32 would make distances of other vectors."""
    model, path = products("layer", f"{FLOAT_ONLY}distances"), tmp_path / "model.xml"

    OpenVinoInt8(model, model).save(path)

    read = load_openvino().Core().read_model(path)
    by_name = {node.get_friendly_name(): node for node in read.get_ops()}
    kinds = {
        name: by_name[name].input(1).get_source_output().get_node().get_type_name()
        for name in by_name
        if by_name[name].get_type_name() == "MatMul"
    }
    assert kinds == {"layer": "Convert", f"{FLOAT_ONLY}distances": "Constant"}
