"""From a trained model to its row: the export itself, then labelled images through the bundle."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.families.datasets import Dataset
from benchmarks.families.rows import Row, Workplace
from edge_ad import Detector
from edge_ad.bundle import Manifest
from edge_ad.engines import Engine
from edge_ad.sources import read_image
from edge_ad_export import ExportRequest, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.reference.sessions import Session, open_session

__all__ = ["Latencies", "Trained", "best_int8", "in_turn", "latencies", "linked", "measure"]

_ROUNDS, _RUNS = 12, 3


@dataclass(frozen=True)
class Trained:
    """A trained model and what an export has to be told of it. ``origin``: who trained it, on what."""

    family: str
    name: str
    origin: str
    data: Dataset
    path: Path
    importing: ImportOptions = field(default_factory=ImportOptions)


def measure(work: Workplace, trained: Trained) -> Row:
    """Exports the model, times both sides in turn and scores the labelled images."""
    target = work.scratch / f"{trained.family}-{trained.name}-{trained.data.name}".replace(" ", "-")
    held_out = linked(work, f"{trained.data.name}-held-out", trained.data.held_out)
    request = ExportRequest(
        trained.path, held_out, target, trained.importing, max_images=work.images, replace=True, effort="low"
    )
    manifest = export_bundle(request).bundle.manifest
    model = import_model(ModelFile(trained.path), trained.importing)
    untouched = open_session(model.model, model.outputs_read)
    fidelity = {trial.id: trial.fidelity for trial in manifest.trials if trial.fidelity is not None}
    with Detector.open(target) as detector:
        latency = latencies(untouched, model.input.shape(model.input.batch), detector.scorer.engine)
        roc_auc = _roc_auc(detector, trained.data)
    return Row(
        family=trained.family,
        model=trained.name,
        data=trained.data.name,
        origin=trained.origin,
        score_parity=fidelity["onnx-fp32"].score_max_rel,
        int8_spearman=best_int8(manifest),
        before_ms=latency.before_ms,
        after_ms=latency.after_ms,
        variant=manifest.default_variant,
        roc_auc=roc_auc,
    )


def linked(work: Workplace, name: str, paths: Sequence[Path]) -> Path:
    """A folder of links to these images: an export takes folders."""
    folder = work.scratch / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        link = folder / f"{path.parent.name}-{path.name}"
        if not link.exists():
            link.symlink_to(path.resolve())
    return folder


def best_int8(manifest: Manifest) -> float | None:
    """The rank correlation of the best int8 variant, shipped or not."""
    found = [trial.fidelity.spearman for trial in manifest.trials if trial.fidelity and "int8" in trial.id]
    return max(found, default=None)


def _roc_auc(detector: Detector, data: Dataset) -> float:
    labels = [0] * len(data.normals) + [1] * len(data.defects)
    scores = [detector.scorer.measure(read_image(path)).score for path in (*data.normals, *data.defects)]
    return float(roc_auc_score(labels, scores))


@dataclass(frozen=True)
class Latencies:
    """Medians over rounds."""

    before_ms: float
    after_ms: float


def latencies(untouched: Session, shape: tuple[int, ...], engine: Engine) -> Latencies:
    """A file as it is, for an input of ``shape``, and the engine of a bundle."""
    image = np.random.default_rng(0).random(shape, np.float32)
    engine.input[:] = np.random.default_rng(0).integers(0, 255, engine.input.shape, np.uint8)
    return in_turn(lambda: untouched.run(image), engine.run)


def in_turn(before: Callable[[], object], after: Callable[[], object]) -> Latencies:
    """Times the two in turn: a busy machine slows both."""
    sides = (before, after)
    rounds = [[_fastest(side) for side in sides] for _ in range(_ROUNDS)]
    return Latencies(*(statistics.median(side) * 1e3 for side in zip(*rounds, strict=True)))


def _fastest(run: Callable[[], object]) -> float:
    """Of some runs in a row, in s. The first one is slowed by the other side's threads, which spin for a while."""
    times = []
    for _ in range(1 + _RUNS):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times[1:])
