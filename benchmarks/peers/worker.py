"""One program in a process of its own, driven over pipes: ``python worker.py KIND MODEL THREADS``.

Runs in the peer's environment too: it imports NumPy and OpenCV, and then what ``KIND`` needs. A line on standard
input is the path of an image and, behind a tab, where to store the map, or nothing; a line on standard output answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (256, 256)


@dataclass(frozen=True)
class Outcome:
    """``total_ms``: from a frame in memory to the score. ``engine_ms``: of the inference engine alone, ``None`` where
    it cannot be told apart."""

    score: float
    map: Any
    total_ms: float
    engine_ms: float | None


@dataclass(frozen=True)
class Answer:
    """An outcome without its map. ``peak_mib``: of the process so far. ``precision``: in which the engine computes."""

    score: float
    total_ms: float
    engine_ms: float | None
    peak_mib: float
    precision: str


@dataclass(frozen=True)
class Runner:
    """Scores a BGR frame."""

    score: Callable[[Any], Outcome]
    precision: str


def peer(path: str, threads: int | None) -> Runner:
    """anomalib's own inferencer, with its defaults but for the device, the threads and, where
    a smaller CPU is played, float32."""
    from anomalib.deploy import OpenVINOInferencer  # type: ignore[import-not-found,unused-ignore]

    config: dict[str, Any] = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
    if "ONEDNN_MAX_CPU_ISA" in os.environ:  # its default would be the precision of the CPU that is really there
        config["INFERENCE_PRECISION_HINT"] = "f32"
    inferencer = OpenVINOInferencer(path, device="CPU", config=config or None)

    def score(frame: Any) -> Outcome:
        start = time.perf_counter()
        found = inferencer.predict(_resized(frame)[..., ::-1])
        total = _since(start)
        return Outcome(float(np.ravel(found.pred_score)[0]), found.anomaly_map, total, None)

    hint = inferencer.model.get_property("INFERENCE_PRECISION_HINT")
    return Runner(score, hint.get_type_name())


def openvino(path: str, threads: int | None) -> Runner:
    """The untouched export in OpenVINO, float32, and what any user would write around it."""
    import openvino as ov

    config: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    compiled = ov.Core().compile_model(path, "CPU", config)
    request = compiled.create_infer_request()

    def run(image: Any) -> tuple[Any, Any]:
        request.infer([image])
        return request.get_tensor("pred_score").data, request.get_tensor("anomaly_map").data

    return Runner(_around(run), "f32")


def onnxruntime(path: str, threads: int | None) -> Runner:
    """The untouched export in ONNX Runtime, and what any user would write around it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(image: Any) -> tuple[Any, Any]:
        score, anomaly_map = session.run(["pred_score", "anomaly_map"], {"input": image})
        return score, anomaly_map

    return Runner(_around(run), "f32")


def edge_ad(path: str, threads: int | None) -> Runner:
    """A bundle's default variant as the device runs it, the check of its golden frames at the start included."""
    from edge_ad import Detector
    from edge_ad.engines import EngineOptions

    return _detecting(Detector.open(path, engine=EngineOptions(threads=threads)))


def float32(path: str, threads: int | None) -> Runner:
    """A bundle's exact variant: the scores of the untouched model before its clamp, by which others are judged."""
    from edge_ad import Bundle, Detector
    from edge_ad.engines import EngineOptions

    bundle = Bundle.open(path)
    exact = next(variant.id for variant in bundle.manifest.variants if variant.precision == "fp32")
    return _detecting(Detector.open(bundle, exact, engine=EngineOptions(threads=threads)))


def _detecting(detector: Any) -> Runner:
    engine = detector.scorer.engine

    def score(frame: Any) -> Outcome:
        start = time.perf_counter()
        found = detector.scorer.measure(frame)
        total = _since(start)
        start = time.perf_counter()
        engine.run()
        return Outcome(found.score, found.map, total, _since(start))

    return Runner(score, detector.variant.precision)


def _around(run: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], Outcome]:
    def score(frame: Any) -> Outcome:
        start = time.perf_counter()
        rgb = _resized(frame)[..., ::-1].astype(np.float32) / 255
        image = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])
        middle = time.perf_counter()
        value, anomaly_map = run(image)
        engine = _since(middle)
        return Outcome(float(np.ravel(value)[0]), anomaly_map, _since(start), engine)

    return score


def _resized(frame: Any) -> Any:
    return cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


KINDS = {"peer": peer, "openvino": openvino, "onnxruntime": onnxruntime, "edge-ad": edge_ad, "float32": float32}


def main() -> None:
    """Answers until standard input ends."""
    kind, model, threads = sys.argv[1:]
    runner = KINDS[kind](model, int(threads) or None)
    for line in sys.stdin:
        path, _, target = line.rstrip("\n").partition("\t")
        frame = cv2.imread(path)
        outcome = runner.score(frame)
        if target and outcome.map is not None:
            anomaly_map = np.asarray(outcome.map, np.float32)
            np.save(target, anomaly_map.reshape(anomaly_map.shape[-2:]))
        answer = Answer(outcome.score, outcome.total_ms, outcome.engine_ms, _peak_mib(), runner.precision)
        print(json.dumps(asdict(answer)), flush=True)


def _peak_mib() -> float:
    """Of this program; ``getrusage`` would count what its parent held when it was started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
