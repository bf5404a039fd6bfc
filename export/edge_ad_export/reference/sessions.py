"""Runs a graph as its file has it, in the engine that knows it, and gives some of its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import onnx_ir as ir

from edge_ad.engines import EngineInfo, EngineOptions
from edge_ad.engines.onnxruntime import session_options
from edge_ad.engines.openvino import openvino_config
from edge_ad.errors import ModelError, one_line
from edge_ad_export.graph.embedded import find_embedded, to_openvino
from edge_ad_export.graph.libraries import load_onnxruntime, load_openvino
from edge_ad_export.graph.static_shape import update_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Session", "open_session"]


class Session(Protocol):
    """A graph that is ready to run. ``info`` says in what."""

    info: EngineInfo

    def run(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """The chosen values, in the order they were asked for. Raises :class:`ModelError`."""
        ...


def open_session(model: ir.Model, names: Sequence[str], threads: int | None = None) -> Session:
    """Loads a graph of one input, unchanged but for its outputs, which are the values ``names``.

    ONNX graphs run in ONNX Runtime, models that exist only as OpenVINO graphs in OpenVINO with float32 pinned. The
    settings are those of variants, so that latencies can be compared.

    Raises:
        ModelError: the engine refuses the graph.
    """
    chosen = model.clone()
    update_shapes(chosen)  # a file may lack the types of inner values, and an output needs one
    known = ir.convenience.create_value_mapping(chosen.graph)
    chosen.graph.outputs[:] = [known[name] for name in names]
    return _OpenVinoSession(chosen, threads) if find_embedded(chosen) else _OnnxSession(chosen, threads)


class _OnnxSession:
    def __init__(self, model: ir.Model, threads: int | None) -> None:
        ort = load_onnxruntime()
        options = session_options(ort, EngineOptions(threads=threads))
        data = bytes(ir.to_proto(model).SerializeToString())
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            hint = _OF_DOUBLE if "NOT_IMPLEMENTED" in str(error) and _has_double(model) else ""
            raise ModelError(f"ONNX Runtime cannot load the model: {one_line(error)}{hint}") from error
        self._input = model.graph.inputs[0].name
        self.info = EngineInfo("onnxruntime", ort.__version__, "CPUExecutionProvider", "fp32", threads)

    def run(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self._input: image})
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the model: {' '.join(str(error).split())}") from error
        return outputs


_OF_DOUBLE = "; the model calculates in float64, which it does not do for all operators: export it in float32"


def _has_double(model: ir.Model) -> bool:
    values = (value for node in model.graph for value in (*node.inputs, *node.outputs))
    return any(value is not None and value.dtype == ir.DataType.DOUBLE for value in values)


class _OpenVinoSession:
    def __init__(self, model: ir.Model, threads: int | None) -> None:
        ov = load_openvino()
        config = openvino_config(EngineOptions(threads=threads), "fp32", "CPU")
        try:
            self._compiled = ov.Core().compile_model(to_openvino(model), "CPU", config)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load the model: {' '.join(str(error).split())}") from error
        self.info = EngineInfo("openvino", ov.__version__, "CPU", "fp32", threads)

    def run(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            found = self._compiled([image])
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run the model: {' '.join(str(error).split())}") from error
        return [found[port] for port in self._compiled.outputs]
