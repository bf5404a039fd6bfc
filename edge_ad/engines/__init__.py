"""Inference engines behind one protocol, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from edge_ad.engines.base import Artefact, Engine, EngineInfo, EngineOptions, EngineOutput
from edge_ad.errors import InputError

__all__ = ["ENGINES", "Artefact", "Engine", "EngineInfo", "EngineOptions", "EngineOutput", "open_engine"]

ENGINES = {
    "onnxruntime": "edge_ad.engines.onnxruntime:OnnxRuntimeEngine",
    "openvino": "edge_ad.engines.openvino:OpenVinoEngine",
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
    if name not in ENGINES:
        raise InputError(f"no engine {name!r}: choose one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES[name].partition(":")
    factory: Callable[[Artefact, str, EngineOptions], Engine] = getattr(importlib.import_module(module), attribute)
    return factory(artefact, precision, options or EngineOptions())
