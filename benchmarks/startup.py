"""From the start of a process to its first verdict, and what it holds in memory by then; beside the bare engine."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle import Bundle

EDGE_AD = """
import sys
from edge_ad import Detector
import numpy as np
from edge_ad.scoring.golden import golden_frames
with Detector.open(sys.argv[1], sys.argv[2]) as detector:
    verdict = detector.score(next(golden_frames(detector.bundle)))
assert verdict.score is not None
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
BARE_ONNXRUNTIME = """
import sys
import cv2, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape
image = cv2.resize(cv2.imread(sys.argv[2]), (shape[2], shape[1]), interpolation=cv2.INTER_AREA)
session.run(None, {"frame": image[None]})
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
BARE_OPENVINO = """
import sys
import cv2, numpy as np, openvino
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
shape = compiled.input(0).shape
image = cv2.resize(cv2.imread(sys.argv[2]), (shape[2], shape[1]), interpolation=cv2.INTER_AREA)
compiled(image[None])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
IMPORT = "import time; t = time.perf_counter(); import edge_ad; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Start:
    """Medians over a few processes."""

    seconds: float
    peak_mib: float


def first_verdict(bundle: Path, variant: str, runs: int = 5) -> tuple[Start, Start]:
    """edge-ad (with hash checks and golden frames replayed) and the bare engine, started in turn."""
    opened = Bundle.open(bundle)
    chosen = opened.variant(variant)
    bare = BARE_OPENVINO if chosen.engine == "openvino" else BARE_ONNXRUNTIME
    ours = [EDGE_AD, str(bundle), variant]
    theirs = [bare, str(bundle / chosen.model), str(bundle / opened.manifest.golden.frames[0])]
    pairs = [(_timed(ours), _timed(theirs)) for _ in range(runs)]
    return _median([a for a, _ in pairs]), _median([b for _, b in pairs])


def import_seconds(runs: int = 7) -> float:
    """``import edge_ad`` in a fresh process."""
    return statistics.median(float(_python([IMPORT])) for _ in range(runs))


def _timed(arguments: list[str]) -> Start:
    begin = time.perf_counter()
    peak_kib = int(json.loads(_python(arguments)))
    return Start(time.perf_counter() - begin, peak_kib / 1024)


def _python(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _median(starts: list[Start]) -> Start:
    return Start(statistics.median(s.seconds for s in starts), statistics.median(s.peak_mib for s in starts))
