"""The heads of PatchCore, PaDiM and student-teacher models in the nodes in which exporters write them, tiny."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from support.export_onnx import graph

__all__ = [
    "DIMENSIONS",
    "PATCHES",
    "SIZES",
    "VECTORS",
    "bank",
    "padim",
    "padim_gaussians",
    "patchcore",
    "teacher_student",
]

PATCHES, DIMENSIONS, VECTORS, NEIGHBOURS = 16, 6, 40, 5
SIZES = (8, 4, 2)
"""Height and width of PaDiM's three feature maps."""
CHANNELS = (3, 4, 5)
PICKED = (0, 2, 4, 5, 7, 10, 11, 3)

Exporter = Literal["dynamo", "legacy"]


def bank() -> NDArray[np.float32]:
    """PatchCore's memory bank, ``(VECTORS, DIMENSIONS)``."""
    return np.random.default_rng(5).normal(0, 1, (VECTORS, DIMENSIONS)).astype(np.float32)


# What differs: GatherND with a zero for the batch and Gather with an offset of zero; the order of the three terms;
# whether the transposed bank and the norms were folded into constants.
_DYNAMO = """
    xx = Pow(x, two) nx = ReduceSum<keepdims=1>(xx, last)
    bt = Transpose<perm=[1, 0]>(bank)
    xb = MatMul(x, bt) m = Mul(xb, minus_two) a = Add(m, nx) d = Add(a, norms)
    c = Clip(d, zero) r = Sqrt(c)
    low = ReduceMin<keepdims=0>(r, last) where = ArgMin<axis=1, keepdims=0>(r)
    lows = Reshape(low, batched) wheres = Reshape(where, batched)
    worst = ArgMax<axis=1, keepdims=0>(lows)
    w1 = Unsqueeze(worst, last) iw = Concat<axis=-1>(first, w1)
    xs = Reshape(x, batched_x)
    xw = GatherND(xs, iw) sw = GatherND(lows, iw) jw = GatherND(wheres, iw)
    j1 = Unsqueeze(jw, last) bw = GatherND(bank, j1)
    bb = Pow(bw, two) nb = ReduceSum<keepdims=1>(bb, last)
    sb = MatMul(bw, bt) sm = Mul(sb, minus_two) sa = Add(sm, nb) sd = Add(sa, norms)
    sc = Clip(sd, zero) sr = Sqrt(sc)
    unused, near = TopK<axis=1, largest=0, sorted=1>(sr, count)
    xu = Unsqueeze(xw, start) near1 = Unsqueeze(near, end) bn = GatherND(bank, near1)
    ux = Pow(xu, two) nu = ReduceSum<keepdims=1>(ux, end)
    un = Pow(bn, two) nn = ReduceSum<keepdims=1>(un, end)
    bnt = Transpose<perm=[0, 2, 1]>(bn) p = MatMul(xu, bnt) pm = Mul(p, minus_two)
    pa = Add(pm, nu) nnt = Transpose<perm=[0, 2, 1]>(nn) pd = Add(pa, nnt)
    pc = Clip(pd, zero) pr = Sqrt(pc) ps = Squeeze(pr, last)
    soft = Softmax<axis=1>(ps) rest = Sub(one, soft) weight = Gather<axis=1>(rest, origin)
    score = Mul(weight, sw) map = Reshape(low, map_shape)
"""
_LEGACY = """
    xx = Pow(x, two) nx = ReduceSum<keepdims=1>(xx, last)
    xb = MatMul(x, bank_t) m = Mul(xb, two) a = Sub(nx, m) d = Add(a, norms)
    c = Clip(d, zero) r = Sqrt(c)
    low = ReduceMin<keepdims=0, axes=[1]>(r) where = ArgMin<axis=1, keepdims=0>(r)
    lows = Reshape(low, batched)
    worst = ArgMax<axis=1, keepdims=0>(lows) iw = Add(worst, offset)
    xw = Gather<axis=0>(x, iw)
    column = Reshape(lows, flat) s2 = Gather<axis=0>(column, iw) sw = Reshape(s2, last)
    jcolumn = Reshape(where, flat) j2 = Gather<axis=0>(jcolumn, iw) jw = Reshape(j2, last)
    bw = Gather<axis=0>(bank, jw)
    bb = Pow(bw, two) nb = ReduceSum<keepdims=1>(bb, last)
    sb = MatMul(bw, bank_t) sm = Mul(sb, two) sa = Sub(nb, sm) sd = Add(sa, norms)
    sc = Clip(sd, zero) sr = Sqrt(sc)
    unused, near = TopK<axis=1, largest=0, sorted=1>(sr, count)
    xu = Unsqueeze(xw, start) bn = Gather<axis=0>(bank, near)
    ux = Pow(xu, two) nu = ReduceSum<keepdims=1>(ux, end)
    un = Pow(bn, two) nn = ReduceSum<keepdims=1>(un, end)
    bnt = Transpose<perm=[0, 2, 1]>(bn) p = MatMul(xu, bnt) pm = Mul(p, two)
    pa = Sub(nu, pm) nnt = Transpose<perm=[0, 2, 1]>(nn) pd = Add(pa, nnt)
    pc = Clip(pd, zero) pr = Sqrt(pc) ps = Squeeze(pr, last)
    soft = Softmax<axis=1>(ps) rest = Sub(one, soft) weight = Gather<axis=1>(rest, origin)
    score = Mul(weight, sw) map = Reshape(low, map_shape)
"""


def patchcore(exporter: Exporter = "dynamo") -> ir.Model:
    """``x`` ``[PATCHES, DIMENSIONS]`` to ``score`` ``[1]``, reweighted, and ``map`` ``[1, 1, 4, 4]``."""
    vectors = bank()
    constants: dict[str, NDArray[np.generic]] = {
        "bank": vectors,
        "bank_t": np.ascontiguousarray(vectors.T),
        "norms": np.square(vectors).sum(axis=1)[None],
        "two": np.array(2, np.float32),
        "minus_two": np.array(-2, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "start": np.array([0]),
        "first": np.array([[0]]),
        "offset": np.array([0]),
        "origin": np.array(0),
        "last": np.array([1]),
        "end": np.array([2]),
        "count": np.array([NEIGHBOURS]),
        "batched": np.array([1, PATCHES]),
        "batched_x": np.array([1, PATCHES, DIMENSIONS]),
        "flat": np.array([PATCHES, 1]),
        "map_shape": np.array([1, 1, 4, 4]),
    }
    nodes = _DYNAMO if exporter == "dynamo" else _LEGACY
    opset = 18 if exporter == "dynamo" else 14
    return graph(
        f"float[{PATCHES}, {DIMENSIONS}] x", "float[1] score, float[1, 1, 4, 4] map", nodes, opset, **constants
    )


def padim_gaussians(
    *, shared: bool = True, sizes: Sequence[int] = SIZES
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Means ``(k, n)`` and inverse covariances ``(n, k, k)`` of features picked from maps of three sizes.

    ``shared``: fitted to features that were upsampled by repetition, as they are when a model is trained.
    """
    random = np.random.default_rng(2)
    samples = 30
    fine = sizes[0]
    layers = []
    for channels, size in zip(CHANNELS, sizes, strict=True):
        layer = random.normal(0, 1, (samples, channels, size, size)) + random.normal(0, 1, (samples, 1, 1, 1))
        nearest = np.arange(fine) * size // fine
        repeated = layer[:, :, nearest][:, :, :, nearest]
        layers.append(repeated if shared else random.normal(0, 1, repeated.shape))
    values = np.concatenate(layers, axis=1)[:, list(PICKED)].reshape(samples, len(PICKED), -1)
    mean = values.mean(axis=0)
    centred = (values - mean).transpose(2, 1, 0)
    covariance = centred @ centred.swapaxes(1, 2) / (samples - 1) + 0.01 * np.eye(len(PICKED))
    return mean.astype(np.float32), np.linalg.inv(covariance).astype(np.float32)


def padim(*, shared: bool = True, sizes: Sequence[int] = SIZES) -> ir.Model:
    """Features ``a`` ``[1, 3, 8, 8]``, ``b`` ``[1, 4, 4, 4]``, ``c`` ``[1, 5, 2, 2]`` to ``distance`` ``[64, 1]``."""
    mean, precision = padim_gaussians(shared=shared, sizes=sizes)
    fine, cells = sizes[0], sizes[0] ** 2
    repeat = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
    inputs = [f"float[1, {c}, {s}, {s}] {name}" for name, c, s in zip("abc", CHANNELS, sizes, strict=True)]
    return graph(
        ", ".join(inputs),
        f"float[{cells}, 1] distance",
        f"""
        b8 = Resize<{repeat}>(b, , , size_b) ab = Concat<axis=1>(a, b8)
        c8 = Resize<{repeat}>(c, , , size_c) abc = Concat<axis=1>(ab, c8)
        x = Gather<axis=1>(abc, picked) flat = Reshape(x, shape)
        delta = Sub(flat, mean) d = Transpose<perm=[2, 0, 1]>(delta)
        dp = MatMul(d, precision) dpd = Mul(dp, d) distance = ReduceSum<keepdims=0>(dpd, last)
        """,
        size_b=np.array([1, CHANNELS[1], fine, fine]),
        size_c=np.array([1, CHANNELS[2], fine, fine]),
        picked=np.array(PICKED),
        shape=np.array([1, len(PICKED), cells]),
        mean=mean,
        precision=precision,
        last=np.array([2]),
    )


def teacher_student(square: str = "norm = ReduceL2<keepdims=1>(diff, channel) y = Pow(norm, two)") -> ir.Model:
    """Features ``a`` and ``b`` ``[1, 7, 5, 5]`` to the squared distance ``y`` of their directions ``[1, 1, 5, 5]``."""
    return graph(
        "float[1, 7, 5, 5] a, float[1, 7, 5, 5] b",
        "float[1, 1, 5, 5] y",
        f"""
        la = ReduceL2<keepdims=1>(a, channel) fa = Clip(la, floor) ea = Expand(fa, shape) ua = Div(a, ea)
        lb = ReduceL2<keepdims=1>(b, channel) fb = Clip(lb, floor) ub = Div(b, fb)
        diff = Sub(ua, ub) {square}
        """,
        channel=np.array([1]),
        floor=np.array(1e-12, np.float32),
        shape=np.array([1, 7, 5, 5]),
        two=np.array(2, np.float32),
    )
