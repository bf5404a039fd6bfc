"""From a model's file to its row: the export, then the file and the bundle in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.zoo.rows import ZooRow
from edge_ad.bundle import Bundle
from edge_ad.engines import Artefact, EngineOptions, open_engine
from edge_ad_export import ModelFile, import_model
from edge_ad_export.lowering.contract import Lowered, apply_passes, lower
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.passes import WinogradPass
from edge_ad_export.passes.cheaper import cheaper_passes
from edge_ad_export.passes.simplify import SimplifyPass
from edge_ad_export.reference.sessions import open_session

__all__ = ["measure", "passes_applied"]

_ROUNDS, _LONGEST_S = 15, 20.0
_FLOATS = ("onnx-fp32", "openvino-fp32")


def measure(name: str, file: Path, images: Path, target: Path, options: Sequence[str]) -> ZooRow:
    """Exports a model and times what came of it beside the file itself. A model that is refused is a row, too."""
    command = [str(Path(sys.executable).with_name("edge-ad")), "export", str(file), "--images", str(images)]
    began = perf_counter()
    done = subprocess.run(
        [*command, "-o", str(target), "--force", *options], capture_output=True, text=True, check=False
    )
    took = perf_counter() - began
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return ZooRow(name, refused=said[-1].removeprefix("Error: ") if said else f"exit code {done.returncode}")
    bundle = Bundle.open(target)
    manifest = bundle.manifest
    floats = [one.id for one in manifest.variants if one.id in _FLOATS]
    runs = {**_untouched(file), **{one: _run_of(bundle, one) for one in {*floats, manifest.default_variant}}}
    found = _in_turn(runs)
    return ZooRow(
        model=name,
        head=manifest.family if manifest.provenance.get("source_score_composed") else "of the file",
        passes=passes_applied(file),
        onnxruntime_ms=found.get("onnxruntime"),
        openvino_ms=found.get("openvino"),
        float32_ms=min((found[one] for one in floats), default=None),
        default=manifest.default_variant,
        default_ms=found[manifest.default_variant],
        export_s=took,
    )


def _untouched(file: Path) -> dict[str, Callable[[], object]]:
    """The file as it is, in both engines."""
    import openvino as ov

    model = import_model(ModelFile(file))
    shape = model.input.shape(model.input.batch)
    image = np.random.default_rng(0).random(shape, np.float32)
    session = open_session(model.model, model.outputs_read)
    runs: dict[str, Callable[[], object]] = {"onnxruntime": lambda: session.run(image)}
    with suppress(RuntimeError):  # OpenVINO cannot convert every file
        graph = ov.Core().read_model(file)
        graph.reshape(shape)
        request = ov.Core().compile_model(graph, "CPU", _CONFIG).create_infer_request()
        runs["openvino"] = lambda: request.infer([image])
    return runs


_CONFIG = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def _run_of(bundle: Bundle, variant: str) -> Callable[[], object]:
    one = bundle.variant(variant)
    engine = open_engine(one.engine, Artefact(bundle.path / one.model), EngineOptions(), precision=one.precision)
    engine.input[:] = np.random.default_rng(0).integers(0, 255, engine.input.shape, np.uint8)
    return engine.run


def _in_turn(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Medians in milliseconds; a busy machine slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = perf_counter()
    for number in range(_ROUNDS):
        for name, run in runs.items():
            run()  # the threads of the one before still spin
            start = perf_counter()
            run()
            times[name].append(perf_counter() - start)
        if perf_counter() - began > _LONGEST_S and number >= 2:
            break
    return {name: statistics.median(found) * 1e3 for name, found in times.items()}


def passes_applied(file: Path) -> tuple[str, ...]:
    """The names of the passes that change the graph."""
    lowered: Lowered = lower(import_model(ModelFile(file)), lambda _candidate: False)
    model = lowered.model.clone()
    names = []
    for one in (*cheaper_passes(Shrink()), WinogradPass()):
        if one(model).modified:
            names.append(type(one).__name__.removesuffix("Pass"))
            apply_passes([SimplifyPass()], model)
    return tuple(names)
