"""A tiny extractor and a tiny scorer of clips of its vectors, as files that somebody trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edge_ad_export import ExportRequest, Gate, ImportOptions
from edge_ad_export.importers.extractor import ExtractorOptions
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions
from support import export_onnx, tiny_clips
from support.onnx_session import open_session

SIDE, FEATURES, LENGTH, SNIPPET = 16, 6, 3, 4
FLOAT = ("onnx-fp32", "openvino-fp32", "openvino-fp16")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def write_extractor(path: Path, *, batch: int = 1) -> Path:
    """float ``[1, 3, 16, 16]`` to ``grid`` ``[1, 6, 4, 4]``, its mean ``pooled`` ``[1, 6, 1, 1]`` and that as
    ``vector`` ``[1, 6]``."""
    kernel = np.random.default_rng(1).random((FEATURES, 3, 4, 4)).astype(np.float32) / 16
    graph = export_onnx.graph(
        f"float[{batch}, 3, {SIDE}, {SIDE}] image",
        f"float[{batch}, 6, 4, 4] grid, float[{batch}, 6, 1, 1] pooled, float[{batch}, 6] vector",
        "made = Conv<strides: ints = [4, 4]>(image, kernel, bias) kept = Relu(made) mixed = Conv(kept, mixing) "
        "grid = Relu(mixed) pooled = GlobalAveragePool(grid) "
        "vector = Reshape(pooled, row)",
        kernel=kernel,
        mixing=np.random.default_rng(3).random((FEATURES, FEATURES, 1, 1)).astype(np.float32),
        bias=np.full(FEATURES, 3, np.float32),
        row=np.array([batch, FEATURES]),
    )
    return write(path, graph)


def write_snippet_extractor(path: Path) -> Path:
    """float ``[1, 3, 4, 16, 16]``, four frames, to ``grid`` ``[1, 6, 2, 4, 4]`` and its mean ``pooled``
    ``[1, 6, 1, 1, 1]``."""
    kernel = np.random.default_rng(1).random((FEATURES, 3, 2, 4, 4)).astype(np.float32) / 32
    graph = export_onnx.graph(
        f"float[1, 3, {SNIPPET}, {SIDE}, {SIDE}] clip",
        "float[1, 6, 2, 4, 4] grid, float[1, 6, 1, 1, 1] pooled",
        "made = Conv<strides: ints = [2, 4, 4]>(clip, kernel, bias) grid = Relu(made) pooled = GlobalAveragePool(grid)",
        kernel=kernel,
        bias=np.full(FEATURES, 3, np.float32),
    )
    return write(path, graph)


def write_scorer(path: Path, size: int = FEATURES) -> Path:
    """float ``[1, 3, size]`` to the sigmoid of one number a vector, ``segments`` ``[1, 3, 1]``."""
    return _linear(path, np.random.default_rng(2).random((size, 1)).astype(np.float32), 0.0)


def write_linear(path: Path, rows: NDArray[np.float32], targets: NDArray[np.int_]) -> Path:
    """The same for vectors ``rows``, fitted to ``targets`` by ridge regression."""
    middle, spread = rows.mean(axis=0, dtype=np.float64), rows.std() or 1.0
    scaled = (rows - middle) / spread
    weights = np.linalg.solve(scaled.T @ scaled + np.eye(rows.shape[1]), scaled.T @ targets) / spread
    return _linear(path, weights[:, None].astype(np.float32), -float(middle @ weights))


def _linear(path: Path, weights: NDArray[np.float32], bias: float) -> Path:
    graph = export_onnx.graph(
        f"float[1, {LENGTH}, {len(weights)}] vectors",
        f"float[1, {LENGTH}, 1] segments",
        "product = MatMul(vectors, weights) shifted = Add(product, bias) segments = Sigmoid(shifted)",
        weights=weights,
        bias=np.float32(bias),
    )
    return write(path, graph)


def write(path: Path, model: ir.Model) -> Path:
    onnx.save(ir.to_proto(model), path)
    return path


def score_by_hand(extractor: Path, scorer: Path, canvases: list[NDArray[np.uint8]]) -> float:
    """The score of a clip, given as pictures of the extractor's size, with both files run as they are: the largest
    number before the sigmoid."""
    vectors = [session(extractor).run(["vector"], {"image": model_input(canvas)})[0][0] for canvas in canvases]
    return largest(scorer, np.stack(vectors))


def largest(scorer: Path, vectors: NDArray[np.float32]) -> float:
    """What a scorer makes of the vectors of a clip: its largest number, the sigmoid undone."""
    segments = session(scorer).run(None, {"vectors": vectors[None]})[0].astype(np.float64)
    return float(np.log(segments / (1 - segments)).max())


def session(path: Path) -> Any:
    """A file, run as it is."""

    return open_session(str(path))


def model_input(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 ``[1, 3, 16, 16]``, RGB, of a BGR picture of that size."""
    values = (canvas[..., ::-1] / np.float32(255) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def scene(count: int = 40) -> list[NDArray[np.uint8]]:
    """A dim scene whose light changes a little, differently from frame to frame."""
    random = np.random.default_rng(5)
    shape = (tiny_clips.SIZE[1], tiny_clips.SIZE[0], 3)
    return [random.integers(20, 24 + int(random.integers(1, 8)), shape, np.uint8) for _ in range(count)]


def make_request(folder: Path, output: str | None = "vector", clip: ClipOptions | None = None) -> ExportRequest:
    """An export of the two files, with a gate that such tiny models pass."""
    extractor = write_extractor(folder / "backbone.onnx")
    return ExportRequest(
        write_scorer(folder / "scorer.onnx"),
        str(tiny_clips.write_video(folder / "normal.avi", scene())),
        folder / "out",
        ImportOptions(
            clip=clip or ClipOptions(),
            head=HeadOptions(family="mil"),
            mean=MEAN,
            std=STD,
        ),
        gate=Gate(min_spearman=0.5),
        variants=FLOAT,
        max_images=12,
        threads=1,
        target_cpus=("x86-avx2",),  # not this one: latencies of a busy machine would leave variants out
        extractor=ExtractorOptions(extractor, output),
    )
