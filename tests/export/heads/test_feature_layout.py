"""Layouts of features by the graph, by the user's word, and the questions where neither tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from support.field_models import Net, weights

from edge_ad.errors import ModelError
from edge_ad_export.graph.static_shape import StaticShapePass, static_shape
from edge_ad_export.graph.trace_axes import trace_axes
from edge_ad_export.heads.feature_layout import Feature, read_feature
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.model.input_spec import Size

PICTURE = Size(32, 64)


def windows(net: Net, maps: str) -> str:
    """Swin: cut into windows of 4x4, a linear layer, put together again, rows and columns shifted before it."""
    first, last = (net.op("Slice", maps, *(net.whole(n) for n in span)) for span in ((2, 99, 1), (0, 2, 1)))
    rolled = net.op("Concat", first, last, axis=1)
    cut = net.op("Reshape", rolled, net.whole(1, 4, 4, 2, 4, 8))
    tokens = net.op("Reshape", net.op("Transpose", cut, perm=[0, 1, 3, 2, 4, 5]), net.whole(8, 16, 8))
    mixed = net.op("MatMul", tokens, net.constant(weights(8, 8)))
    back = net.op("Transpose", net.op("Reshape", mixed, net.whole(1, 4, 2, 4, 4, 8)), perm=[0, 1, 3, 2, 4, 5])
    return net.op("Reshape", back, net.whole(1, 16, 8, 8))


def read(kind: str, **said: Any) -> LayerOutput:
    net = Net()
    image = net.input("input", [1, 3, 64, 32])
    maps = net.op("Conv", image, net.constant(weights(8, 3, 4, 4)), strides=[4, 4])  # [1, 8, 16, 8]
    if kind == "windows":
        net.op("Identity", windows(net, net.op("Transpose", maps, perm=[0, 2, 3, 1])), out="f")
    elif kind == "ncl":
        net.op("Reshape", maps, net.whole(1, 8, 128), out="f")
    elif kind == "columns first":
        net.op("Transpose", maps, perm=[0, 3, 2, 1], out="f")
    elif kind == "no batch":
        net.op("Reshape", net.op("Transpose", maps, perm=[0, 2, 3, 1]), net.whole(128, 8), out="f")
    net.output("f", [None] * (2 if kind == "no batch" else 3 if kind == "ncl" else 4))
    model = ir.serde.deserialize_model(net.proto())
    StaticShapePass((1, 3, 64, 32))(model)
    shape = static_shape(model.graph.outputs[0])
    return read_feature(Feature("f", shape, trace_axes(model, "nchw")["f"], PICTURE), HeadOptions(**said))


@pytest.mark.parametrize(
    ("kind", "layout"),
    [("windows", "nhwc"), ("ncl", "ncl"), ("columns first", "nwhc"), ("no batch", "nlc")],
)
def test_the_graph_tells(kind: str, layout: str) -> None:
    found = read(kind)
    assert (found.layout, found.channels, found.rows, found.columns) == (layout, 8, 16, 8)


def test_the_users_word_counts_first() -> None:
    assert read("windows", feature_layout="nchw").channels == 16


@pytest.mark.parametrize(
    ("shape", "option"),
    [
        pytest.param((1, 8, 8, 8), "--feature-layout", id="a cube"),
        pytest.param((1, 133, 8), "--feature-grid", id="five tokens too many"),
    ],
)
def test_what_nothing_tells_is_asked(shape: tuple[int, ...], option: str) -> None:
    with pytest.raises(ModelError, match=option):
        read_feature(Feature("f", shape, None, PICTURE if len(shape) == 3 else Size(64, 64)), HeadOptions())


def test_grid_and_skipped_tokens_are_said() -> None:
    options = HeadOptions(feature_grid=Size(8, 16), feature_skip=4)
    found = read_feature(Feature("f", (1, 133, 2), None, PICTURE), options)
    tokens = np.arange(266, dtype=np.float32).reshape(1, 133, 2)
    assert (found.skip, found.after) == (4, 1)
    np.testing.assert_array_equal(found.reference(tokens)[0, 0], np.arange(8, 24, 2))
