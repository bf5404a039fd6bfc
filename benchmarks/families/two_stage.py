"""The two-stage model of the table: a real backbone, and a linear scorer of clips of its features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.families.backbones import MOBILENET_V1
from benchmarks.families.measure import best_int8, in_turn
from benchmarks.families.rows import Row, Workplace
from benchmarks.families.video_training import CLIP, train_segments
from benchmarks.families.videos import Scene, read_frames, scenes, spoil, write_video
from edge_ad import Detector
from edge_ad.bundle.records import Geometry, Resize
from edge_ad.geometry import Preprocessor
from edge_ad_export import ExportRequest, export_bundle
from edge_ad_export.files.model_file import ModelFile
from edge_ad_export.files.torch_file import TorchOptions
from edge_ad_export.importers.extractor import ExtractorOptions, ImportedExtractor, import_extractor
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.preparation.first_stage import extractor_input
from edge_ad_export.reference.sessions import open_session
from edge_ad_export.reference.two_stage import ReferenceExtractor

__all__ = ["rows"]

_LAYER = "pw13"


def rows(work: Workplace) -> Iterator[Row]:
    """One row a scene. Labels: which frames were spoilt by :func:`~benchmarks.families.videos.spoil`."""
    options = ExtractorOptions(MOBILENET_V1.path(work.shared), _LAYER)
    extractor = import_extractor(options, MOBILENET_V1.importing, TorchOptions())
    for scene in scenes(work.shared):
        yield _row(work, scene, options, extractor)


def _row(work: Workplace, scene: Scene, options: ExtractorOptions, extractor: ImportedExtractor) -> Row:
    bags = spoil(read_frames(scene, scene.train), seed=2)
    stem = work.scratch / f"{scene.name}-two-stage"
    scorer = train_segments(_vectors(extractor, bags.frames), bags.labels, stem.with_suffix(".onnx"))
    request = ExportRequest(
        scorer,
        str(write_video(stem.with_suffix(".avi"), read_frames(scene, scene.held_out))),
        stem,
        replace(MOBILENET_V1.importing, head=HeadOptions(family="mil"), clip=ClipOptions()),
        max_images=work.images,
        replace=True,
        effort="low",
        extractor=options,
    )
    manifest = export_bundle(request).bundle.manifest
    fidelity = {trial.id: trial.fidelity for trial in manifest.trials if trial.fidelity is not None}
    first, second = open_session(extractor.model.model, (_LAYER,)), open_session(ModelFile(scorer).onnx, ("segments",))
    picture = np.random.default_rng(0).random(extractor.model.input.shape(1), np.float32)
    clip = np.zeros((1, CLIP, extractor.size), np.float32)
    test = spoil(read_frames(scene, scene.test), seed=1)
    with Detector.open(stem) as detector:
        verdicts = [detector.score(frame) for frame in test.frames]
        timed = in_turn(lambda: (first.run(picture), second.run(clip)), detector.scorer.run_bare)
    pairs = [(v.score, label) for v, label in zip(verdicts, test.labels, strict=True) if v.score is not None]
    return Row(
        family="mil, two stages",
        model=f"{MOBILENET_V1.name} {_LAYER}, linear, bags of 12 frames",
        data=f"{scene.name}, events put in",
        origin="extractor: ImageNet; scorer trained here in closed form",
        score_parity=fidelity["onnx-fp32"].score_max_rel,
        int8_spearman=best_int8(manifest),
        before_ms=timed.before_ms,
        after_ms=timed.after_ms,
        variant=manifest.default_variant,
        roc_auc=float(roc_auc_score([bool(label) for _, label in pairs], [score for score, _ in pairs])),
    )


def _vectors(extractor: ImportedExtractor, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the imported extractor makes of every frame, ``(frames, n)``."""
    entry = extractor_input(extractor)
    preprocessor = Preprocessor(Geometry(resize=Resize(width=entry.width, height=entry.height)), entry)
    vectors = np.zeros((len(frames), extractor.size), np.float32)
    with closing(ReferenceExtractor(extractor)) as running:
        for frame, vector in zip(frames, vectors, strict=True):
            for _ in preprocessor.tiles(frame, np.asarray(running.input[0])):
                running.run()
            vector[:] = running.features
    return vectors
