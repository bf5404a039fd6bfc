"""ONNX Runtime behind the :class:`~edge_ad.engines.base.Engine` protocol."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.engines.base import Artefact, EngineInfo, EngineOptions, EngineOutput
from edge_ad.engines.contract import check_contract
from edge_ad.errors import EngineError, InputError

__all__ = ["OnnxRuntimeEngine", "load_onnxruntime"]


def load_onnxruntime() -> Any:
    """The module ``onnxruntime``, its telemetry off."""
    # Read at import: without it ONNX Runtime makes up a device id and stores it in the user's home.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxRuntimeEngine:
    """One ONNX model in one session, with input and outputs bound to memory that every run reuses."""

    def __init__(self, artefact: Artefact, precision: str, options: EngineOptions) -> None:
        ort = load_onnxruntime()
        provider, session_options = _provider(ort, options.device), _session_options(ort, options)
        try:
            self._session = ort.InferenceSession(
                artefact.model if isinstance(artefact.model, bytes) else str(artefact.model),
                session_options,
                providers=[provider],
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime cannot load the model: {_one_line(error)}") from error
        shapes = check_contract(
            {i.name: (i.shape, i.type) for i in self._session.get_inputs()},
            {o.name: (o.shape, o.type) for o in self._session.get_outputs()},
            uint8="tensor(uint8)",
            float32="tensor(float)",
        )
        self.input: NDArray[Any] = np.zeros(shapes.input, shapes.dtype)
        self._score = np.zeros(shapes.score, np.float32)
        self._map = None if shapes.map is None else np.zeros(shapes.map, np.float32)
        self._binding = self._bind(ort, shapes.name)
        self.info = EngineInfo("onnxruntime", ort.__version__, provider, precision, options.threads)

    def _bind(self, ort: Any, name: str) -> Any:
        binding = self._session.io_binding()
        # OrtValues made from NumPy arrays on the CPU share their memory; the engine keeps them alive.
        self._values = [
            ort.OrtValue.ortvalue_from_numpy(self.input),
            ort.OrtValue.ortvalue_from_numpy(self._score),
        ]
        binding.bind_ortvalue_input(name, self._values[0])
        binding.bind_ortvalue_output("score", self._values[1])
        if self._map is not None:
            self._values.append(ort.OrtValue.ortvalue_from_numpy(self._map))
            binding.bind_ortvalue_output("map", self._values[2])
        return binding

    def run(self) -> EngineOutput:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on a frame: {_one_line(error)}") from error
        return EngineOutput(float(self._score[0]), None if self._map is None else self._map[0])

    def close(self) -> None:
        del self._binding, self._values, self._session


def _provider(ort: Any, device: str) -> str:
    provider = device if device.endswith("ExecutionProvider") else f"{device}ExecutionProvider"
    available = ort.get_available_providers()
    if provider not in available:
        raise InputError(f"ONNX Runtime here has no {provider}: choose one of {', '.join(available)}")
    return provider


def _session_options(ort: Any, options: EngineOptions) -> Any:
    session = ort.SessionOptions()
    session.log_severity_level = 3
    session.inter_op_num_threads = 1
    if options.threads is not None:
        session.intra_op_num_threads = options.threads
    if not options.spin:
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if options.cache_dir is not None:
        raise InputError("ONNX Runtime keeps no cache of compiled models: leave the cache folder out")
    return session


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
