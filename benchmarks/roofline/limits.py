"""What this machine can do at most, measured through the engines: products in float32 and in int8, and copying."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.roofline.counting import Work

__all__ = ["Limits", "measure_limits"]

SIDE = 512
ROUNDS, _IN_A_ROW = 20, 5


@dataclass(frozen=True)
class Limits:
    """``float_rates`` and ``int8_rates``: 10**9 MAC/s by the engine. ``copies``: bytes/s read plus written by a copy
    that touches so many bytes. ``threads``: of engines and of copying, all together."""

    float_rates: dict[str, float]
    int8_rates: dict[str, float]
    copies: dict[int, float]
    threads: int

    def seconds(self, works: Iterable[Work]) -> float:
        """The least time for these operations one after another, each bound by sums or by memory."""
        float_rate, int8_rate = max(self.float_rates.values()) * 1e9, max(self.int8_rates.values()) * 1e9
        return sum(
            max(work.float_macs / float_rate + work.int8_macs / int8_rate, work.bytes / self._copied(work.bytes))
            for work in works
        )

    def _copied(self, touched: int) -> float:
        # What an operation touches may lie in caches if it is little: copying was measured with as much.
        return self.copies[min((size for size in self.copies if size >= touched), default=max(self.copies))]

    def __str__(self) -> str:
        rates = "; ".join(
            f"{engine} {self.float_rates[engine]:.0f} GMAC/s in float32, {self.int8_rates[engine]:.0f} in int8"
            for engine in self.float_rates
        )
        copied = ", ".join(f"{rate / 1e9:.0f} of {size >> 20} MiB" for size, rate in self.copies.items())
        return f"{self.threads} threads: products of {SIDE}x{SIDE}: {rates}; GB/s read and written by a copy: {copied}"


def measure_limits(threads: int) -> Limits:
    """The fastest of some rounds, all in turn: a moment in which nothing else runs; takes a few seconds."""
    engines = {"openvino": _openvino, "onnxruntime": _onnxruntime}
    with ThreadPoolExecutor(threads) as pool:
        runs = {(name, is_int8): make(is_int8, threads) for name, make in engines.items() for is_int8 in (False, True)}
        copies = {size: _copying(size, threads, pool) for size in _SIZES}
        times: dict[object, float] = {}
        for _ in range(ROUNDS):
            for key, run in (*runs.items(), *copies.items()):
                times[key] = min(times.get(key, math.inf), _fastest(run))
    float_rates, int8_rates = (
        {name: SIDE**3 / times[name, is_int8] / 1e9 for name in engines} for is_int8 in (False, True)
    )
    return Limits(float_rates, int8_rates, {size: max(size, _COPIED) / times[size] for size in _SIZES}, threads)


_SIZES, _COPIED = (1 << 20, 4 << 20, 16 << 20, 64 << 20), 8 << 20


def _copying(size: int, threads: int, pool: ThreadPoolExecutor) -> Callable[[], object]:
    share = size // threads // 2
    sources, targets = ([np.ones(share, np.uint8) for _ in range(threads)] for _ in range(2))
    again = max(1, _COPIED // size)  # else handing work to threads would take longer than a small copy

    def copy(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> None:
        for _ in range(again):
            np.copyto(target, source)

    return lambda: list(pool.map(copy, targets, sources))


def _fastest(run: Callable[[], object]) -> float:
    """In seconds, after a first run that does not count: threads of another engine may still spin."""
    times = []
    for _ in range(_IN_A_ROW + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _openvino(is_int8: bool, threads: int) -> Callable[[], object]:
    import openvino as ov
    from openvino import opset13 as op

    left = op.parameter([SIDE, SIDE], np.float32)
    values, weights = left, op.constant(np.full((SIDE, SIDE), 0.5, np.float32))
    if is_int8:
        values = op.fake_quantize(left, *_ranges(op, 0.0, 2.55), 256)
        weights = op.fake_quantize(weights, *_ranges(op, -1.27, 1.27), 255)
    # A sum over rows, not the product itself, goes out, so that writing it costs little.
    model = ov.Model([op.reduce_max(op.matmul(values, weights, False, False), op.constant(1), False)], [left], "gemm")
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.full((SIDE, SIDE), 0.5, np.float32)))
    return request.infer  # type: ignore[no-any-return]


def _ranges(op: Any, low: float, high: float) -> tuple[Any, ...]:
    return tuple(op.constant(np.float32(value)) for value in (low, high, low, high))


def _onnxruntime(is_int8: bool, threads: int) -> Callable[[], object]:
    import onnxruntime as ort

    kind, dtype = (TensorProto.UINT8, np.uint8) if is_int8 else (TensorProto.FLOAT, np.float32)
    ones = np.ones((SIDE, SIDE), np.int8 if is_int8 else np.float32)
    constants = [numpy_helper.from_array(ones, "weights")]
    node = helper.make_node("MatMul", ["values", "weights"], ["product"])
    if is_int8:
        node = helper.make_node("MatMulInteger", ["values", "weights"], ["product"])
    graph = helper.make_graph(
        [node],
        "gemm",
        [helper.make_tensor_value_info("values", kind, [SIDE, SIDE])],
        [helper.make_tensor_value_info("product", TensorProto.INT32 if is_int8 else TensorProto.FLOAT, [SIDE, SIDE])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"values": np.ones((SIDE, SIDE), dtype)}
    return lambda: session.run(None, feeds)
