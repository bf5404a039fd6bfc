"""How exports of anomalib 2 end: a score and a map, normalised and clamped, in the ways in which tools write that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from support.field_models import SIDE, Net, small_c2

__all__ = ["RANGE", "THRESHOLD", "Tail", "anomalib", "clamp", "normalised"]

THRESHOLD, RANGE = 1.0, 1.5
HALF = SIDE // 2


@dataclass(frozen=True)
class Tail:
    """How an export of anomalib 2 ends. ``ends``: operators behind the clamp that change no order."""

    dtype: int = TensorProto.FLOAT
    image: str = "input"
    names: tuple[str, str] = ("pred_score", "anomaly_map")
    form: str = "div"
    clamp: str = "clip"
    ends: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    labels: bool = False
    ir_version: int = 9
    opset: int = 17


def anomalib(tail: Tail) -> Net:
    net = Net(tail.opset, tail.ir_version, tail.dtype)
    half = tail.dtype == TensorProto.FLOAT16
    image = net.input(tail.image, ["b", 3, SIDE, SIDE], TensorProto.FLOAT)
    image = net.op("Cast", image, to=TensorProto.FLOAT16) if half else image
    plane = net.op("Abs", small_c2(net, image))
    axes = [1, 2, 3]
    score = (
        net.op("ReduceMax", plane, net.whole(*axes), keepdims=0)
        if tail.opset >= 18
        else net.op("ReduceMax", plane, axes=axes, keepdims=0)
    )
    for plain, name in zip((score, plane), tail.names, strict=True):
        rank = [] if plain == score else [1, HALF, HALF]
        ends = (*tail.ends, "float") if half else tail.ends
        value = plain
        for index, kind in enumerate(tail.before):
            value = end(net, value, kind, rank, f"{name}_{kind}_{index}_before")
        value = clamp(net, normalised(net, value, tail.form), tail.clamp, None if ends else name)
        for index, kind in enumerate(ends):
            value = end(net, value, kind, rank, name if index == len(ends) - 1 else f"{name}_{kind}_{index}")
        net.output(name, ["b", *rank], TensorProto.FLOAT)
    if tail.labels:
        net.op("Greater", tail.names[0], net.constant(0.5, np.float32), out="pred_label")
        net.output("pred_label", ["b"], TensorProto.BOOL)
        net.op("Greater", tail.names[1], net.constant(0.5, np.float32), out="pred_mask")
        net.output("pred_mask", ["b", 1, HALF, HALF], TensorProto.BOOL)
    return net


def normalised(net: Net, value: str, form: str) -> str:
    """``(value - threshold) / range + 0.5`` in the ways in which exporters and optimizers write it."""
    if form == "affine":
        return net.op("Add", net.op("Mul", value, net.constant(1 / RANGE)), net.constant(0.5 - THRESHOLD / RANGE))
    if form == "added":
        difference = net.op("Add", value, net.constant(-THRESHOLD))
    elif form == "constants":
        constant = net.op("Constant", value_float=THRESHOLD)
        difference = net.op("Sub", value, net.op("Cast", constant, to=net.dtype))
    else:
        difference = net.op("Sub", value, net.constant(THRESHOLD))
    if form == "reciprocal":
        quotient = net.op("Mul", net.constant(1 / RANGE), difference)
    else:
        quotient = net.op("Div", difference, net.constant(RANGE))
    return net.op("Add", net.constant(0.5), quotient)


def clamp(net: Net, value: str, kind: str, out: str | None) -> str:
    if kind == "clip":
        return net.op("Clip", value, net.constant(0.0), net.constant(1.0), out=out)
    if kind == "max-min":
        return net.op("Min", net.op("Max", net.constant(0.0), value), net.constant(1.0), out=out)
    if kind == "relu-min":
        return net.op("Min", net.op("Relu", value), net.constant(1.0), out=out)
    halves = net.op("Clip", value, net.constant(0.0))
    return net.op("Clip", halves, "", net.constant(1.0), out=out)


def end(net: Net, value: str, kind: str, rank: list[int], out: str) -> str:
    """An operator that changes no order, or several that come to that."""
    if kind in ("float", "double"):
        return net.op("Cast", value, out=out, to=TensorProto.FLOAT if kind == "float" else TensorProto.DOUBLE)
    if kind == "squeeze":
        return net.op("Squeeze", net.op("Unsqueeze", value, net.whole(0)), net.whole(0), out=out)
    if kind == "transpose" and rank:
        turned = net.op("Transpose", value, perm=[0, 2, 3, 1])
        return net.op("Transpose", turned, out=out, perm=[0, 3, 1, 2])
    if kind == "flatten":
        value, kind = net.op("Flatten", value, axis=1), "reshape"
    constants = {"reshape": [[-1, *rank]], "slice": [[0], [2**31 - 1], [0]], "expand": [[1]]}.get(kind, [])
    operator = {name: name.capitalize() for name in ("reshape", "slice", "expand", "dropout")}.get(kind, "Identity")
    return net.op(operator, value, *(net.whole(*numbers) for numbers in constants), out=out)
