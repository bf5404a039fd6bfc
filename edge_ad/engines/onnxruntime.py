"""ONNX Runtime behind the :class:`~edge_ad.engines.base.Engine` protocol."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.engines.base import Artefact, EngineInfo, EngineOptions, EngineOutput, choose_device
from edge_ad.engines.contract import Shapes, check_contract, check_extractor
from edge_ad.errors import EngineError, InputError, one_line

__all__ = ["OnnxRuntimeEngine", "OnnxRuntimeExtractor", "load_onnxruntime", "session_options"]


_SUFFIX = "ExecutionProvider"
# Sends frames over the network, and is no device.
_ELSEWHERE = {"AzureExecutionProvider"}


def load_onnxruntime() -> Any:
    """The module ``onnxruntime``, its telemetry off."""
    # Read at import: without it ONNX Runtime makes up a device id and stores it in the user's home.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


class _OnnxRuntimeGraph:
    """One ONNX model in one session, with input and outputs bound to memory that every run reuses."""

    def __init__(
        self, artefact: Artefact, precision: str, options: EngineOptions, check: Callable[..., Shapes]
    ) -> None:
        ort = load_onnxruntime()
        provider = _provider(ort, options.device_of("onnxruntime"))
        settings = session_options(ort, options)
        try:
            self._session = ort.InferenceSession(
                artefact.model if isinstance(artefact.model, bytes) else str(artefact.model),
                settings,
                providers=[provider],
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime cannot load the model: {one_line(error)}") from error
        shapes = check(
            {i.name: (i.shape, i.type) for i in self._session.get_inputs()},
            {o.name: (o.shape, o.type) for o in self._session.get_outputs()},
            uint8="tensor(uint8)",
            float32="tensor(float)",
        )
        self.input: NDArray[Any] = np.zeros(shapes.input, shapes.dtype)
        self._outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.outputs.items()}
        self._binding = self._bind(ort, shapes.name)
        self.info = EngineInfo("onnxruntime", ort.__version__, provider, precision, options.threads)

    def _bind(self, ort: Any, name: str) -> Any:
        binding = self._session.io_binding()
        # OrtValues made from NumPy arrays on the CPU share their memory; the engine keeps them alive.
        self._values = [ort.OrtValue.ortvalue_from_numpy(self.input)]
        binding.bind_ortvalue_input(name, self._values[0])
        for output, array in self._outputs.items():
            self._values.append(ort.OrtValue.ortvalue_from_numpy(array))
            binding.bind_ortvalue_output(output, self._values[-1])
        return binding

    def _run(self) -> None:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on a frame: {one_line(error)}") from error

    def close(self) -> None:
        del self._binding, self._values, self._session


class OnnxRuntimeEngine(_OnnxRuntimeGraph):
    """A graph that gives a score."""

    def __init__(self, artefact: Artefact, precision: str, options: EngineOptions) -> None:
        super().__init__(artefact, precision, options, check_contract)
        self._score, self._map = self._outputs["score"], self._outputs.get("map")

    def run(self) -> EngineOutput:
        self._run()
        return EngineOutput(float(self._score[0]), None if self._map is None else self._map[0])


class OnnxRuntimeExtractor(_OnnxRuntimeGraph):
    """A graph that gives features."""

    def __init__(self, artefact: Artefact, precision: str, options: EngineOptions) -> None:
        super().__init__(artefact, precision, options, check_extractor)
        self.features: NDArray[np.float32] = self._outputs["features"][0]

    def run(self) -> None:
        self._run()


def _provider(ort: Any, device: str) -> str:
    available = [name for name in ort.get_available_providers() if name not in _ELSEWHERE]
    return choose_device("onnxruntime", device, {name.removesuffix(_SUFFIX): name for name in available})


def session_options(ort: Any, options: EngineOptions) -> Any:
    """The ``SessionOptions`` with which a graph runs as these options want it."""
    session = ort.SessionOptions()
    session.log_severity_level = 3
    session.inter_op_num_threads = 1
    if options.threads is not None:
        session.intra_op_num_threads = options.threads
    if not options.spin:
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if options.flush_denormals:
        session.add_session_config_entry("session.set_denormal_as_zero", "1")
    if options.cache_dir is not None:
        raise InputError("ONNX Runtime keeps no cache of compiled models: leave --cache-dir out")
    return session
