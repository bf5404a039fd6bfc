"""Inference engines behind one protocol, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from edge_ad.engines.base import (
    Artefact,
    Engine,
    EngineInfo,
    EngineOptions,
    EngineOutput,
    Extractor,
)
from edge_ad.errors import InputError

__all__ = [
    "ENGINES",
    "Artefact",
    "Engine",
    "EngineInfo",
    "EngineOptions",
    "EngineOutput",
    "Extractor",
    "open_engine",
    "open_extractor",
]

_Opened = TypeVar("_Opened")

ENGINES = {
    "onnxruntime": "edge_ad.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edge_ad.engines.openvino:OpenVinoEngine",
}
_EXTRACTORS = {
    "onnxruntime": "edge_ad.engines.onnxruntime:OnnxRuntimeExtractor",
    "openvino": "edge_ad.engines.openvino:OpenVinoExtractor",
}


def open_engine(
    name: str, artefact: Artefact, options: EngineOptions | None = None, *, precision: str = "fp32"
) -> Engine:
    """Loads a model that follows the contract of the bundle.

    ``precision`` is what the variant says of itself. It is reported; ``bf16`` has OpenVINO calculate in bfloat16, all
    others change nothing, as the model's file has them in it.

    Raises:
        InputError: unknown engine or device, or an option that the engine does not have.
        MissingExtraError: the engine is not installed.
        EngineError: the engine refuses the model, the model does not follow the contract, or the device does not
            calculate in the precision.
    """
    factory: Callable[[Artefact, str, EngineOptions], Engine] = _find(ENGINES, name)
    return factory(artefact, precision, options or EngineOptions())


def open_extractor(
    name: str, artefact: Artefact, options: EngineOptions | None = None, *, precision: str = "fp32"
) -> Extractor:
    """As :func:`open_engine`, for the extractor of a two-stage variant."""
    factory: Callable[[Artefact, str, EngineOptions], Extractor] = _find(_EXTRACTORS, name)
    return factory(artefact, precision, options or EngineOptions())


def _find(engines: Mapping[str, str], name: str) -> Callable[[Artefact, str, EngineOptions], _Opened]:
    if name not in engines:
        raise InputError(f"no engine {name!r}: choose one of {', '.join(engines)}")
    module, _, attribute = engines[name].partition(":")
    factory: Callable[[Artefact, str, EngineOptions], _Opened] = getattr(importlib.import_module(module), attribute)
    return factory
