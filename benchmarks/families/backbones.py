"""Real feature extractors, what they make of pictures, and nodes put behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_ad.bundle.records import Geometry, ModelInput, Resize
from edge_ad.geometry import Preprocessor
from edge_ad_export import ImportOptions, ModelFile, import_model
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.images import ImageSet

__all__ = ["MOBILENET_V1", "MOBILENET_V2", "SQUEEZENET", "Backbone", "Extension", "extend", "features"]

SIDE = 224


@dataclass(frozen=True)
class Backbone:
    """``file`` below the shared backbones; ``importing`` says what its pixels look like."""

    name: str
    file: str
    importing: ImportOptions

    def path(self, shared: Path) -> Path:
        return shared / "models" / "backbones" / self.file


_IN_ONE = ImportOptions(color="rgb", scale=127.5, mean=(1.0,))
MOBILENET_V2 = Backbone("MobileNetV2", "mobilenet_v2_1.0_224_dequant_float.onnx", _IN_ONE)
MOBILENET_V1 = Backbone("MobileNetV1 0.25", "mobilenet_v1_0.25_224_imagenet.onnx", _IN_ONE)
SQUEEZENET = Backbone(
    "SqueezeNet 1.1",
    "squeezenet1_1_imagenet_features.onnx",
    ImportOptions(color="bgr", scale=1.0, mean=(103.939, 116.779, 123.68)),
)


def features(
    shared: Path, backbone: Backbone, names: Sequence[str], images: Sequence[Path]
) -> Iterator[list[NDArray[np.float32]]]:
    """The named outputs for every image, resized as an export does it."""
    head = HeadOptions(family="one-class", feature_output=tuple(names), fit="given below")
    importing = ImportOptions(**{**vars(backbone.importing), "head": head})
    imported = import_model(ModelFile(backbone.path(shared)), importing)
    geometry = Geometry(resize=Resize(width=SIDE, height=SIDE))
    preprocessor = Preprocessor(geometry, ModelInput(width=SIDE, height=SIDE, channels=3))
    engine = ReferenceEngine(imported)
    for image in ImageSet(tuple(images), len(images)):
        for _ in preprocessor.tiles(image, np.asarray(engine.input[0])):
            yield [np.array(value) for value in engine.values()]


@dataclass(frozen=True)
class Extension:
    """Nodes behind a backbone, their constants, and the shapes of the values that become outputs."""

    nodes: Sequence[onnx.NodeProto]
    constants: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, Sequence[int | str]]


def extend(shared: Path, backbone: Backbone, extension: Extension, kept: Sequence[str], target: Path) -> Path:
    """Writes the backbone with more nodes; ``kept``: which of its own outputs stay."""
    model = onnx.load(backbone.path(shared))
    graph = model.graph
    graph.node.extend(extension.nodes)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in extension.constants.items())
    outputs = [value for value in graph.output if value.name in kept]
    outputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in extension.outputs.items()
    ]
    del graph.output[:]
    graph.output.extend(outputs)
    onnx.save(model, target)
    return target
