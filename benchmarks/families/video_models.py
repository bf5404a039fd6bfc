"""The trained models of the table that score clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.families.measure import best_int8, latencies
from benchmarks.families.rows import Row, Workplace
from benchmarks.families.video_training import (
    SIDE,
    block_means,
    shrink,
    train_components,
    train_predictor,
    train_segments,
)
from benchmarks.families.videos import Scene, Spoilt, read_frames, scenes, spoil, write_video
from edge_ad import Detector
from edge_ad.bundle.records import Clip, Geometry, ModelInput, Resize
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.clip_samples import make_sampler
from edge_ad.scoring.frame_statistics import FrameGuard
from edge_ad_export import ExportRequest, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.reference.sessions import open_session

__all__ = ["rows"]

_HERE = "trained here in closed form"


@dataclass(frozen=True)
class _Trained:
    family: str
    name: str
    scene: Scene
    path: Path
    images: Path
    importing: ImportOptions
    vectors: bool = False


def rows(work: Workplace) -> Iterator[Row]:
    """One row a model. Labels: which frames were spoilt by :func:`~benchmarks.families.videos.spoil`."""
    for scene in scenes(work.shared):
        spoilt = spoil(read_frames(scene, scene.test), seed=1)
        for trained in _models(work, scene):
            yield _measure(work, trained, spoilt)


def _models(work: Workplace, scene: Scene) -> Iterator[_Trained]:
    train = read_frames(scene, scene.train)
    held_out = read_frames(scene, scene.held_out)
    held_out_video = write_video(work.scratch / f"{scene.name}-held-out.avi", held_out)
    planes = shrink(train)

    def model(family: str, name: str, path: Path, **head: str) -> _Trained:
        options = HeadOptions(family=family, **head)  # type: ignore[arg-type]
        importing = ImportOptions(color="gray", head=options, clip=ClipOptions())
        return _Trained(family, name, scene, path, held_out_video, importing)

    predictor = train_predictor(planes, work.scratch / f"{scene.name}-predictor.onnx")
    yield model("next-frame", "5x5 predictor, squared", predictor)
    yield model("next-frame", "5x5 predictor, PSNR", predictor, error="psnr")
    components = train_components(planes, work.scratch / f"{scene.name}-components.onnx")
    yield model("clip-reconstruction", "48 principal components", components)
    yield from _segments(work, scene, spoil(train, seed=2), held_out_video)


def _segments(work: Workplace, scene: Scene, bags: Spoilt, held_out_video: Path) -> Iterator[_Trained]:
    """The same linear scorer of bags over pictures, flow and vectors."""
    stem = work.scratch / scene.name
    pictures = train_segments(block_means(shrink(bags.frames)[:, None]), bags.labels, Path(f"{stem}-rgb.onnx"), 1)
    importing = ImportOptions(color="gray", head=HeadOptions(family="mil"), clip=ClipOptions())
    yield _Trained("mil, pictures", "linear, bags of 12 frames", scene, pictures, held_out_video, importing)
    moving = train_segments(block_means(_flow(bags.frames)), bags.labels, Path(f"{stem}-flow.onnx"), 2)
    importing = ImportOptions(head=HeadOptions(family="mil"), clip=ClipOptions(input="flow"))
    yield _Trained("mil, flow", "linear, bags of 12 frames", scene, moving, held_out_video, importing)
    vectors = Path(f"{stem}-held-out.npy")
    np.save(vectors, _vectors(read_frames(scene, scene.held_out)))
    changes = train_segments(_vectors(bags.frames), bags.labels, Path(f"{stem}-features.onnx"))
    importing = ImportOptions(head=HeadOptions(family="mil"), clip=ClipOptions(input="features"))
    yield _Trained("mil, features", "linear, bags of 12 frames", scene, changes, vectors, importing, vectors=True)


def _flow(frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """As the device computes it, ``(frames, 2, SIDE, SIDE)``; none to the first frame."""
    size = ModelInput(width=SIDE, height=SIDE, channels=1)
    preprocessor = Preprocessor(Geometry(resize=Resize(width=SIDE, height=SIDE)), size)
    sampler = make_sampler(preprocessor, Clip(length=1, input="flow"), FrameGuard())
    fields = np.zeros((len(frames), SIDE, SIDE, 2), np.float32)
    for frame, field in zip(frames, fields, strict=True):
        sampler.write(frame, field)
    return np.ascontiguousarray(fields.transpose(0, 3, 1, 2))


def _vectors(frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """How much every block of 8x8 cells changed: what stands for an extractor, ``(frames, 128)``."""
    planes = shrink(frames)
    step = np.abs(np.diff(planes, axis=0, prepend=planes[:1]))
    blocks = step.reshape(len(step), SIDE // 8, 8, SIDE // 8, 8)
    both = np.concatenate([blocks.mean((2, 4)), blocks.max((2, 4))], axis=1)
    return np.asarray(both.reshape(len(step), -1), np.float32)


def _measure(work: Workplace, trained: _Trained, spoilt: Spoilt) -> Row:
    target = work.scratch / f"{trained.scene.name}-{trained.family}-{trained.name}".replace(" ", "-").replace(",", "")
    request = ExportRequest(
        trained.path, str(trained.images), target, trained.importing, max_images=work.images, replace=True, effort="low"
    )
    manifest = export_bundle(request).bundle.manifest
    model = import_model(ModelFile(trained.path), trained.importing)
    untouched = open_session(model.model, model.outputs_read)
    fidelity = {trial.id: trial.fidelity for trial in manifest.trials if trial.fidelity is not None}
    with Detector.open(target) as detector:
        timed = latencies(untouched, model.input.shape(model.input.batch), detector.scorer.engine)
        roc_auc = _roc_auc(detector, spoilt, vectors=trained.vectors)
    return Row(
        family=trained.family,
        model=trained.name,
        data=f"{trained.scene.name}, events put in",
        origin=_HERE,
        score_parity=fidelity["onnx-fp32"].score_max_rel,
        int8_spearman=best_int8(manifest),
        before_ms=timed.before_ms,
        after_ms=timed.after_ms,
        variant=manifest.default_variant,
        roc_auc=roc_auc,
    )


def _roc_auc(detector: Detector, spoilt: Spoilt, *, vectors: bool) -> float:
    """Of frames; those without a score, at the beginning, do not count."""
    if vectors:
        verdicts = [detector.score(features=vector) for vector in _vectors(spoilt.frames)]
    else:
        verdicts = [detector.score(frame) for frame in spoilt.frames]
    pairs = [(v.score, label) for v, label in zip(verdicts, spoilt.labels, strict=True) if v.score is not None]
    return float(roc_auc_score([bool(label) for _, label in pairs], [score for score, _ in pairs]))
