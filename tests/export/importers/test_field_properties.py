"""Faults from the field, kinds 1 and 2, for graphs that hypothesis draws."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto
from support.export_imports import open_exported
from support.field_chains import Tail, anomalib
from support.field_models import SIDE, Net, c2_of, picture, put, small_features, weights

from edge_ad_export import ModelFile, import_model
from edge_ad_export.model.imported import ImportedModel

HALF = SIDE // 2
KEEPS = ("reshape", "squeeze", "flatten", "transpose", "identity", "dropout", "slice", "expand")
KEEPS_ORDER = st.sampled_from([("double", "float"), ("float",), *((kind,) for kind in KEEPS)])
MOVES_NOTHING = st.sampled_from(KEEPS)
_FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tails(draw: st.DrawFn) -> Tail:
    """A normalised and clamped score and map in any of the ways, with what changes no order before and behind it."""
    return Tail(
        dtype=draw(st.sampled_from([TensorProto.FLOAT, TensorProto.FLOAT16])),
        image=draw(st.sampled_from(["input", "image", "x.1"])),
        names=draw(st.sampled_from([("pred_score", "anomaly_map"), ("score", "map"), ("12", "847")])),
        form=draw(st.sampled_from(["div", "affine", "added", "constants", "reciprocal"])),
        clamp=draw(st.sampled_from(["clip", "max-min", "relu-min", "two-clips"])),
        ends=sum(draw(st.lists(KEEPS_ORDER, max_size=4)), ()),
        before=tuple(draw(st.lists(MOVES_NOTHING, max_size=2))),
        labels=draw(st.booleans()),
        opset=draw(st.sampled_from([13, 17, 20])),
    )


def read(imported: ImportedModel, pixels: NDArray[np.uint8], folder: Path) -> tuple[float, NDArray[np.float32]]:
    """The score and map that the exported graph gives."""
    engine = open_exported(imported, folder)
    engine.input[:] = pixels
    found = engine.run()
    assert found.map is not None
    return found.score, found.map.copy()


@_FEW
@given(tail=tails(), index=st.integers(0, 7))
def test_what_changes_no_order_changes_no_raw_score(tmp_path: Path, tail: Tail, index: int) -> None:
    pixels = picture(index)
    expected = np.abs(c2_of(pixels))
    imported = import_model(ModelFile(anomalib(tail).save(tmp_path / "m.onnx")))
    score, anomaly_map = read(imported, pixels, tmp_path / "made")
    off = float(expected.max()) * (1e-3 if tail.dtype == TensorProto.FLOAT else 6e-3)
    np.testing.assert_allclose(score, expected.max(), atol=off, err_msg=str(imported.assumptions))
    np.testing.assert_allclose(anomaly_map, expected, atol=off)


@_FEW
@given(random=st.randoms(use_true_random=False), names=st.sampled_from(["kept", "alike", "none"]))
def test_nodes_may_stand_in_any_order_and_have_any_names(tmp_path: Path, random: Random, names: str) -> None:
    model = anomalib(Tail(form="reciprocal", labels=True)).proto()
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    for node in nodes:
        node.name = {"kept": node.name, "alike": random.choice("ab"), "none": ""}[names]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    pixels = picture(1)
    imported = import_model(ModelFile(put(tmp_path / "m.onnx", model.SerializeToString())))
    score, anomaly_map = read(imported, pixels, tmp_path / "made")
    expected = np.abs(c2_of(pixels))
    np.testing.assert_allclose(anomaly_map, expected, atol=1e-4)
    np.testing.assert_allclose(score, expected.max(), atol=1e-4)


@st.composite
def layouts(draw: st.DrawFn) -> list[int]:
    """Rows and columns, and axes of length one in any places around them."""
    before, between, behind = (draw(st.integers(0, 2)) for _ in range(3))
    return [*[1] * before, HALF, *[1] * between, HALF // 2, *[1] * behind]


@_FEW
@given(dims=layouts(), name=st.sampled_from(["map", "anomaly_map", "Identity:0"]), last=st.booleans())
def test_axes_of_length_one_may_lie_anywhere_in_a_map(tmp_path: Path, dims: list[int], name: str, last: bool) -> None:
    """The picture is twice as high as it is wide, its channels first or last."""
    net = Net()
    given_dims = [1, SIDE, SIDE // 2, 3] if last else [1, 3, SIDE, SIDE // 2]
    image = net.input("input", given_dims)
    image = net.op("Transpose", image, perm=[0, 3, 1, 2]) if last else image
    c2 = net.conv(small_features(net, image), weights(1, 8, 3, 3, seed=1))
    net.op("Reshape", net.op("Abs", c2), net.whole(*dims), out=name)
    net.output(name, dims)
    pixels = picture(3, height=SIDE, width=SIDE // 2)
    imported = import_model(ModelFile(net.save(tmp_path / "m.onnx")))
    score, anomaly_map = read(imported, pixels, tmp_path / "made")
    expected = np.abs(c2_of(pixels))
    np.testing.assert_allclose(anomaly_map, expected, atol=1e-4)
    np.testing.assert_allclose(score, expected.max(), atol=1e-4)
