"""Trained models in the forms of other exporters, and the exported graph at work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edge_ad.engines import Artefact, Engine, open_engine
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.lowering.contract import lower
from edge_ad_export.lowering.recipes import FloatModel, baseline_for
from edge_ad_export.model.imported import ImportedModel
from support.onnx_session import open_session

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def graph(nodes: str, *, inputs: str, outputs: str, constants: str = "", opset: int = 14) -> ir.Model:
    """A graph in ONNX's text form."""
    return ir.from_onnx_text(
        f'<ir_version: 8, opset_import: ["" : {opset}]> tiny ({inputs}) => ({outputs}) <{constants}> {{ {nodes} }}'
    )


def write_onnx(folder: Path, model: ir.Model, metadata: Mapping[str, Any] | None = None) -> Path:
    """``model.onnx`` and, if given, ``metadata.json`` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(ir.to_proto(model), folder / "model.onnx")
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder / "model.onnx"


def write_ir(folder: Path, onnx_path: Path, info: Mapping[str, str] | None = None) -> Path:
    """The same as ``model.xml`` and ``model.bin``; ``info`` is what stands in ``rt_info/model_info``."""
    openvino: Any = load_openvino()
    folder.mkdir(parents=True, exist_ok=True)
    model = openvino.convert_model(onnx_path)
    for name, value in (info or {}).items():
        model.set_rt_info(value, ["model_info", name])
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def open_exported(imported: ImportedModel, folder: Path) -> Engine:
    """The exported graph in the engine that a device would run it in."""
    recipe = baseline_for(imported.model)
    path = folder / Path(recipe.model).name
    folder.mkdir(parents=True, exist_ok=True)
    FloatModel(lower(imported, lambda _candidate: True).model).save(recipe.engine, path)
    return open_engine(recipe.engine, Artefact(path))


@dataclass(frozen=True)
class Exported:
    """What an engine gave. ``anomaly_map``: ``None`` for a model without one."""

    score: float
    anomaly_map: NDArray[np.float32] | None

    @property
    def map(self) -> NDArray[np.float32]:
        assert self.anomaly_map is not None
        return self.anomaly_map


def run_exported(imported: ImportedModel, pixels: NDArray[np.uint8], folder: Path) -> Exported:
    """What the exported graph gives for uint8 ``(h, w, c)``."""
    engine = open_exported(imported, folder)
    engine.input[0] = pixels
    found = engine.run()
    copied = Exported(found.score, None if found.map is None else found.map.copy())
    engine.close()
    return copied


def run_plainly(path: Path, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """An ONNX file's outputs by name, in plain ONNX Runtime."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    found = session.run(None, {session.get_inputs()[0].name: image})
    return dict(zip(names, found, strict=True))


def picture(*shape: int, seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def rgb(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR pixels ``(h, w, 3)`` as RGB from 0 to 1, ``[1, 3, h, w]``."""
    return np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255), np.float32)
