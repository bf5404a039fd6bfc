"""Tiny real models of clips in both engines, and bundles made of them without the exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edge_ad.bundle import BundleWriter
from edge_ad.bundle.records import Clip, Geometry, MapSize, ModelInput, Resize
from edge_ad.engines import Artefact, open_engine
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.clip_scorer import ClipScorer
from edge_ad.scoring.golden import Expectation
from support import export_onnx, tiny_bundle

SIDE = 16
SIZE = (48, 32)
MAP = MapSize(width=2, height=2)
VECTOR = 6

_PLANES = (
    "real = Cast<to: int = 1>(frame) scaled = Mul(real, scale) gray = ReduceMean<keepdims: int = 0>(scaled, colours)"
)
_BLOCKS = (
    "plane = Unsqueeze(error, first) pooled = AveragePool<kernel_shape: ints = [8, 8], strides: ints = [8, 8]>(plane) "
    "map = Reshape(pooled, cells) peak = ReduceMax<keepdims: int = 0>(map, places) score = Reshape(peak, one)"
)
_NODES = {
    # The last frame against the mean of those before it.
    "predict": "past = Slice(gray, zero, last, first) seen = Slice(gray, last, end, first) "
    "guess = ReduceMean<keepdims: int = 1>(past, first) off = Sub(seen, guess) size = Abs(off) "
    "error = Squeeze(size, first)",
    # The brightest that any frame of the clip is.
    "brightest": "error = ReduceMax<keepdims: int = 0>(gray, first)",
}


def model(kind: str, length: int) -> ir.Model:
    """``predict`` and ``brightest``: uint8 clips ``[1, length, 16, 16, 3]`` to score and map. ``flow``: the mean
    length of the newest field. ``features``: the mean of the newest vector."""
    if kind in _NODES:
        return export_onnx.graph(
            f"uint8[1, {length}, {SIDE}, {SIDE}, 3] frame",
            "float[1] score, float[1, 2, 2] map",
            f"{_PLANES} {_NODES[kind]} {_BLOCKS}",
            scale=np.float32(1 / 255),
            colours=np.array([4]),
            first=np.array([1]),
            zero=np.array([0]),
            last=np.array([length - 1]),
            end=np.array([length]),
            cells=np.array([1, 2, 2]),
            places=np.array([1, 2]),
            one=np.array([1]),
        )
    shape = f"{length}, {SIDE}, {SIDE}, 2" if kind == "flow" else f"{length}, {VECTOR}"
    return export_onnx.graph(
        f"float[1, {shape}] {kind}",
        "float[1] score",
        "size = Abs(NAME) newest = Slice(size, last, end, first) mean = ReduceMean<keepdims: int = 0>(newest) "
        "score = Reshape(mean, one)".replace("NAME", kind),
        last=np.array([length - 1]),
        end=np.array([length]),
        first=np.array([1]),
        one=np.array([1]),
    )


def write_bundle(target: Path, kind: str, clip: Clip) -> Path:
    """A bundle with an ONNX Runtime and an OpenVINO variant; two golden clips."""
    vectors = clip.input == "features"
    entry = ModelInput(width=VECTOR if vectors else SIDE, height=1 if vectors else SIDE, channels=1 if vectors else 3)
    geometry = Geometry(resize=Resize(width=entry.width, height=entry.height))
    heat = MAP if kind in _NODES else None
    with BundleWriter(target) as writer:
        variants = tiny_bundle.write_variants(writer, ir.to_proto(model(kind, clip.length)), heat)
        cases = [golden_case(clip, seed) for seed in range(2)]
        names = [_store(writer.root, i, sample) for i, sample in enumerate(sample for case in cases for sample in case)]
        for variant in variants:
            scorer = ClipScorer(
                Preprocessor(geometry, entry, map_size=heat),
                open_engine(variant.engine, Artefact(writer.root / variant.model)),
                clip,
            )
            (writer.root / f"golden/{variant.id}.npz").write_bytes(_expect(scorer, cases).dump())
            scorer.close()
        tiny_bundle.commit(writer, variants, entry, geometry, names, clip)
    return target


def golden_case(clip: Clip, seed: int) -> list[NDArray[Any]]:
    """Frames, or vectors, of noise."""
    random = np.random.default_rng(seed)
    if clip.input == "features":
        return [random.random(VECTOR, np.float32) for _ in range(clip.golden_frames)]
    return [random.integers(0, 80, (SIZE[1], SIZE[0], 3), np.uint8) for _ in range(clip.golden_frames)]


def calm(count: int) -> list[NDArray[np.uint8]]:
    """Frames of one dim scene with a little noise."""
    random = np.random.default_rng(7)
    return [random.integers(40, 44, (SIZE[1], SIZE[0], 3), np.uint8) for _ in range(count)]


def flashed(frames: Sequence[NDArray[np.uint8]], index: int) -> list[NDArray[np.uint8]]:
    """The frames with one bright square at ``index``: an anomaly of a single frame."""
    changed = [frame.copy() for frame in frames]
    changed[index][:16, :24] = 255
    return changed


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    """A lossless AVI."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def _store(root: Path, index: int, sample: NDArray[Any]) -> str:
    if sample.ndim == 1:
        np.save(root / f"golden/{index}.npy", sample)
        return f"golden/{index}.npy"
    assert cv2.imwrite(str(root / f"golden/{index}.png"), sample)
    return f"golden/{index}.png"


def _expect(scorer: ClipScorer, cases: Sequence[Sequence[NDArray[Any]]]) -> Expectation:
    scores, maps = [], []
    for case in cases:
        found = scorer.measure_case(case)
        scores.append(found.score)
        maps += [] if found.map is None else [found.map.copy()]
    return Expectation(np.array(scores, np.float32), np.stack(maps) if maps else None)
