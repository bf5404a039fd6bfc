"""The trained models of the table that score single images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.families.backbones import MOBILENET_V1, MOBILENET_V2, SQUEEZENET, Backbone
from benchmarks.families.closed_form import STUDENT_LEVELS, train_classifier, train_student
from benchmarks.families.datasets import Dataset, cookies, magnetic_tile
from benchmarks.families.measure import Trained, linked, measure
from benchmarks.families.rows import Row, Workplace
from edge_ad_export import ImportOptions
from edge_ad_export.model.head_options import HeadOptions, MapScore

__all__ = ["rows"]

_PEER = "anomalib 2.7 over MobileNetV2, its own export"


def rows(work: Workplace) -> Iterator[Row]:
    """One row a model."""
    for trained in _models(work):
        yield measure(work, trained)


def _models(work: Workplace) -> Iterator[Trained]:
    for data in (cookies(work.shared), magnetic_tile(work.shared)):
        yield from _fitted(work, data)
        yield from _trained(work, data)
    yield from _peers(work)


def _peers(work: Workplace) -> Iterator[Trained]:
    """Models whose graph has its head already."""
    models = work.shared / "models"
    plates, tiles = cookies(work.shared), magnetic_tile(work.shared)
    yield Trained("gaussian, in the graph", "PaDiM", _PEER, plates, models / "cookies/padim.onnx")
    yield Trained("memory bank, in the graph", "PatchCore", _PEER, plates, models / "cookies/patchcore.onnx")
    yield Trained("memory bank, in the graph", "PatchCore", _PEER, tiles, models / "magnetic_tile/patchcore.onnx")
    yield Trained("student-teacher, in the graph", "STFPM", _PEER, plates, models / "cookies/stfpm.onnx")
    raw_map = ImportOptions(
        importer="onnx", map_output="output", head=HeadOptions(family="map", map_score=MapScore("top", 100))
    )
    path = next((models / "cookies/patchcore_v120").glob("*.onnx"))
    yield Trained("map", "PatchCore's map, top 100", "anomalib 1.2 over MobileNetV2", plates, path, raw_map)
    autoencoder = models / "magnetic_tile/autoencoder.onnx"
    for error in ("squared", "ssim"):
        importing = ImportOptions(head=HeadOptions(family="reconstruction", error=error))
        origin = "torch, weakly trained, as shared"
        yield Trained("reconstruction", f"autoencoder, {error}", origin, tiles, autoencoder, importing)


def _fitted(work: Workplace, data: Dataset) -> Iterator[Trained]:
    """Backbones with a head that learns in closed form."""
    fit = linked(work, f"{data.name}-train", data.train)

    def head(family: str, name: str, backbone: Backbone, *layers: str, **options: Any) -> Trained:
        chosen = HeadOptions(family=family, feature_output=layers, fit=fit, **options)
        origin = f"{backbone.name} on ImageNet, --fit on {data.name}"
        importing = replace(backbone.importing, head=chosen)
        return Trained(family, name, origin, data, backbone.path(work.shared), importing)

    yield head("gaussian", "at every place", MOBILENET_V2, "feat_s8", "feat_s16")
    yield head("gaussian", "one for all places", MOBILENET_V2, "feat_s8", "feat_s16", fit_shared=True)
    yield head("memory-bank", "9 neighbours", SQUEEZENET, "fire5", "fire7", feature_pool="3x3", fit_bank=3000)
    yield head("one-class", "centre, global features", MOBILENET_V2, "feat_s32", feature_pool="global")
    yield head("one-class", "centre, every place", MOBILENET_V1, "pw11")


def _trained(work: Workplace, data: Dataset) -> Iterator[Trained]:
    """Models with parts trained here."""
    student = train_student(work.shared, data, work.scratch / f"student-{data.name}.onnx")
    predicted = tuple(f"student_{level}" for level in STUDENT_LEVELS)
    levels = HeadOptions(family="student-teacher", feature_output=STUDENT_LEVELS, predicted_output=predicted)
    yield Trained(
        "student-teacher",
        f"{len(STUDENT_LEVELS)} levels, cosine, product",
        f"{MOBILENET_V1.name}; ridge-regressed student on {data.name}",
        data,
        student,
        replace(MOBILENET_V1.importing, head=levels),
    )
    classifier = train_classifier(
        work.shared, MOBILENET_V2, "feat_s16", data, work.scratch / f"classifier-{data.name}.onnx"
    )
    classes = HeadOptions(family="score", anomalous_class=1)
    yield Trained(
        "score",
        f"logistic, {len(data.labelled)} labelled defects",
        f"{MOBILENET_V2.name}; logistic regression on {data.name}",
        data,
        classifier,
        replace(MOBILENET_V2.importing, score_output="probabilities", head=classes),
    )
