"""How long each operation of a variant's graph takes in its engine, by the engine's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.roofline.counting import Part

__all__ = ["Profile", "profile"]

WARM_UP = 5


@dataclass(frozen=True)
class Profile:
    """In seconds. ``whole``: the fastest run without the profiler. ``parts``: of that what the profiler says of each.

    OpenVINO gives means over all runs since the start, so that only shares can be believed on a busy machine.
    """

    whole: float
    parts: dict[Part, float]


def profile(path: Path, engine: str, parts: Mapping[str, Part], *, threads: int, runs: int) -> Profile:
    """``parts``: the part of each operation by its name in the model as OpenVINO reads it.

    What an engine adds, such as a change of layout, belongs to the operation that ran before it.
    """
    measure = _openvino if engine == "openvino" else _onnxruntime
    return measure(path, parts, threads, runs)


def _openvino(path: Path, parts: Mapping[str, Part], threads: int, runs: int) -> Profile:
    import openvino as ov

    core = ov.Core()
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    plain = core.compile_model(path, "CPU", config).create_infer_request()
    compiled = core.compile_model(path, "CPU", {**config, "PERF_COUNT": True})
    request = compiled.create_infer_request()
    belongs, part = {}, "backbone"
    for op in compiled.get_runtime_model().get_ordered_ops():
        names = str(op.get_rt_info()["originalLayersNames"].astype(str)).split(",")
        part = next((parts[name] for name in names if name in parts), part)
        belongs[op.get_friendly_name()] = part
    whole, found = [], []
    for _ in range(runs + WARM_UP):
        start = time.perf_counter()
        plain.infer()
        whole.append(time.perf_counter() - start)
        request.infer()
        sums: dict[Any, float] = defaultdict(float)
        for info in request.profiling_info:
            sums[belongs.get(info.node_name, "tail")] += info.real_time.total_seconds()
        found.append(sums)
    return _shared_out(whole[WARM_UP:], found[WARM_UP:])


def _onnxruntime(path: Path, parts: Mapping[str, Part], threads: int, runs: int) -> Profile:
    import onnxruntime as ort

    named = _by_every_name(path, parts)
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for traced in (False, True):
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.enable_profiling = traced
            options.profile_file_prefix = str(Path(folder) / "run")
            sessions.append(ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
        plain, traced_session = sessions
        feeds = {value.name: _zeros(value) for value in plain.get_inputs()}
        whole = []
        for _ in range(runs + WARM_UP):
            start = time.perf_counter()
            plain.run(None, feeds)
            whole.append(time.perf_counter() - start)
            traced_session.run(None, feeds)
        events = json.loads(Path(traced_session.end_profiling()).read_text())
    found: list[dict[Any, float]] = []
    part: Part = "backbone"
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["name"] == "SequentialExecutor::Execute":
            found.append(defaultdict(float))
        name, _, kind = event["name"].rpartition("_kernel_time")
        if name and not kind and found:
            part = _part_of(name, named, part)
            found[-1][part] += event["dur"] / 1e6
    return _shared_out(whole[WARM_UP:], found[WARM_UP:])


def _by_every_name(path: Path, parts: Mapping[str, Part]) -> dict[str, Part]:
    """The part of each node by its name, and by that of its output: fused nodes are called so."""
    named: dict[str, Part] = {}
    for node in onnx.load(path, load_external_data=False).graph.node:
        # OpenVINO makes two operations of a convolution or a product with a bias.
        part = parts.get(f"{node.name}/WithoutBiases") or parts.get(node.name)
        if part is not None:
            named |= dict.fromkeys((node.name, *node.output), part)
    return named


def _part_of(name: str, named: Mapping[str, Part], otherwise: Part) -> Part:
    """ONNX Runtime adds words with an underscore to the names of nodes that it replaces."""
    while name and name not in named:
        name = name.rpartition("_")[0]
    return named.get(name, otherwise)


def _zeros(value: Any) -> Any:
    shape = [size if isinstance(size, int) else 1 for size in value.shape]
    return np.zeros(shape, np.uint8 if "uint8" in value.type else np.float32)


def _shared_out(whole: list[float], found: list[dict[Any, float]]) -> Profile:
    parts = {part for sums in found for part in sums}
    shares = {part: statistics.median(sums.get(part, 0.0) / sum(sums.values()) for sums in found) for part in parts}
    return Profile(min(whole), {part: min(whole) * share for part, share in shares.items()})
