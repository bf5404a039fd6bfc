"""From a model's file to its row: the export, then the file and the bundle in turn."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from benchmarks.zoo.rows import ZooRow, short
from edge_ad.bundle import Bundle
from edge_ad.engines import Artefact, EngineOptions, open_engine
from edge_ad_export import ModelFile, import_model
from edge_ad_export.lowering.contract import Lowered, apply_passes, lower
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.passes import WinogradPass
from edge_ad_export.passes.cheaper import cheaper_passes
from edge_ad_export.passes.simplify import SimplifyPass
from edge_ad_export.reference.sessions import open_session

__all__ = ["Finished", "measure", "passes_applied", "run_within"]

_ROUNDS, _LONGEST_S = 15, 20.0
_LONGEST_REASON = 130
_FLOATS = ("onnx-fp32", "openvino-fp32")


def measure(
    name: str, file: Path, images: Path, target: Path, options: Sequence[str], effort: str, limit_s: float
) -> ZooRow:
    """Exports a model and times what came of it beside the file itself. A model that is refused is a row, too.

    Where the export takes longer than ``limit_s``, it is tried once more with low effort, which makes no mixed variant.
    """
    command = [str(Path(sys.executable).with_name("edge-ad")), "export", str(file), "--images", str(images)]
    command += ["-o", str(target), "--force", *options]
    began = perf_counter()
    done = run_within([*command, "--effort", effort], limit_s)
    cut_off = done is None
    if done is None and effort != "low":
        _remove_unfinished(target)
        began = perf_counter()
        done = run_within([*command, "--effort", "low"], limit_s)
    took = perf_counter() - began
    if done is None:
        _remove_unfinished(target)
        return ZooRow(name, refused=f"export was ended after {limit_s:.0f} s, the last time with low effort")
    if done.returncode:
        said = done.said.strip().splitlines()
        return ZooRow(name, refused=said[-1].removeprefix("Error: ") if said else f"exit code {done.returncode}")
    row = _timed(name, file, Bundle.open(target), took)
    late = f"mixed: not tried, since export took longer than {limit_s:.0f} s"
    return replace(row, rejected=(*row.rejected, *([late] if cut_off else _without_mixed(done.said))))


def _without_mixed(said: str) -> Iterator[str]:
    """Why export has made no mixed form, for each engine."""
    for engine, why in re.findall(
        r"^(\w+)-int8 fails the gate and is (.*): a mixed form would be no gain$", said, re.M
    ):
        yield short(f"{engine}-mixed: {why}")
    for engine in re.findall(r"^(\w+)-int8: so many operations would have to be in float", said, re.M):
        yield short(f"{engine}-mixed: too much of it would be in float")


def _remove_unfinished(target: Path) -> None:
    for folder in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Finished:
    """A program that has ended. ``said``: its standard error."""

    returncode: int
    said: str


def run_within(command: Sequence[str], seconds: float) -> Finished | None:
    """``None``: it was ended with all that it had started, because it took longer."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            said = process.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # its group: what it had started and left behind
                os.killpg(process.pid, signal.SIGKILL)
    return Finished(process.returncode, said)


def _timed(name: str, file: Path, bundle: Bundle, took: float) -> ZooRow:
    manifest = bundle.manifest
    passed = [one.id for one in manifest.variants]
    floats = [one for one in passed if one in _FLOATS]
    model = import_model(ModelFile(file))
    untouched = _untouched(file, model)
    times = _in_turn({**untouched, **{one: _run_of(bundle, one) for one in passed}})
    for one in untouched:  # some of anomalib's files are for two images
        times[one] = [took_s / model.input.batch for took_s in times[one]]
    rejected = [(one.id, one.rejected) for one in manifest.trials if one.rejected]
    return ZooRow(
        model=name,
        importer=f"{model.importer}, {'head of export' if model.head is not None else 'its own'}",
        passes=passes_applied(model),
        file_ms=statistics.median(_better(times, untouched)) * 1e3,
        float32_gain=_gain(times, untouched, floats) if floats else None,
        default=manifest.default_variant,
        gains={one: _gain(times, untouched, [one]) for one in passed},
        rejected=tuple(f"{short(one)}: {_shortened(why)}" for one, why in rejected),
        export_s=took,
    )


def _shortened(reason: str) -> str:
    words = " ".join(reason.split())
    for long in ("openvino-", "onnx-"):
        words = words.replace(long, short(long))
    return words if len(words) <= _LONGEST_REASON else f"{words[:_LONGEST_REASON]}…"


def _gain(times: dict[str, list[float]], before: Iterable[str], after: Iterable[str]) -> float:
    """How many times as fast the best of ``after`` is as the best of ``before``: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(_better(times, before), _better(times, after), strict=True))


def _better(times: dict[str, list[float]], names: Iterable[str]) -> list[float]:
    """The times of the one whose median is the smallest."""
    return min((times[name] for name in names), key=statistics.median)


def _untouched(file: Path, model: ImportedModel) -> dict[str, Callable[[], object]]:
    """The file as it is, in both engines."""
    import openvino as ov

    shape = model.input.shape(model.input.batch)
    image = np.random.default_rng(0).random(shape, np.float32)
    session = open_session(model.model, model.outputs_read, threads=1)
    runs: dict[str, Callable[[], object]] = {"onnxruntime": lambda: session.run(image)}
    with suppress(RuntimeError):  # OpenVINO cannot convert every file
        graph = ov.Core().read_model(file)
        graph.reshape(shape)
        request = ov.Core().compile_model(graph, "CPU", _CONFIG).create_infer_request()
        runs["openvino"] = lambda: request.infer([image])
    return runs


_CONFIG = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def _run_of(bundle: Bundle, variant: str) -> Callable[[], object]:
    one = bundle.variant(variant)
    options = EngineOptions(threads=1)
    engine = open_engine(one.engine, Artefact(bundle.path / one.model), options, precision=one.precision)
    engine.input[:] = np.random.default_rng(0).integers(0, 255, engine.input.shape, np.uint8)
    return engine.run


def _in_turn(runs: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """CPU seconds of every round, of one thread: they depend little on what else the machine does."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = perf_counter()
    for number in range(_ROUNDS):
        for name, run in runs.items():
            start = process_time()
            run()
            times[name].append(process_time() - start)
        if perf_counter() - began > _LONGEST_S and number >= 2:
            break
    return times


def passes_applied(imported: ImportedModel) -> tuple[str, ...]:
    """The names of the passes that change the graph."""
    lowered: Lowered = lower(imported, lambda candidate: not candidate.cheaper)
    model = lowered.model.clone()
    names = []
    for one in (*cheaper_passes(Shrink()), WinogradPass()):
        if one(model).modified:
            names.append(type(one).__name__.removesuffix("Pass"))
            apply_passes([SimplifyPass()], model)
    return tuple(names)
