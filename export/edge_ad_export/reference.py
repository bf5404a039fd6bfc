"""The imported model as its file has it: what every variant is measured against."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from numpy.typing import NDArray

from edge_ad.engines import EngineInfo, EngineOutput
from edge_ad.errors import ModelError
from edge_ad_export.imported import ImportedModel, InputSpec
from edge_ad_export.quiet import quiet_logs
from edge_ad_export.runtime import load_onnxruntime

__all__ = ["ReferenceEngine"]


class ReferenceEngine:
    """Runs the imported graph, unchanged but for its outputs, in plain ONNX Runtime. An ``Engine``.

    What the rewritten graph does in nodes is done here in NumPy, so that a fault of a pass cannot hide in both.
    A model that insists on several images is given the same one as often.

    Raises:
        ModelError: ONNX Runtime refuses the graph.
    """

    def __init__(self, imported: ImportedModel, threads: int | None = None) -> None:
        ort = load_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        try:
            self._session = ort.InferenceSession(_serialize(imported), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load the model: {' '.join(str(error).split())}") from error
        self._spec = imported.input
        self._has_score = imported.score is not None
        self._has_map = imported.map is not None
        self._dtype = (imported.model.graph.inputs[0].dtype or ir.DataType.FLOAT).numpy()
        size = imported.input.size
        self.input = np.zeros((1, size.height, size.width, imported.input.channels), np.uint8)
        self.info = EngineInfo("onnxruntime", ort.__version__, "CPUExecutionProvider", "fp32", threads)

    def run(self) -> EngineOutput:
        """Scores what is in :attr:`input`. Raises :class:`ModelError`."""
        feed = np.repeat(model_input(self.input, self._spec), self._spec.batch, axis=0).astype(self._dtype)
        try:
            outputs = self._session.run(None, {self._spec.name: feed})
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the model: {' '.join(str(error).split())}") from error
        heat = None
        if self._has_map:
            found = outputs[-1]
            heat = np.ascontiguousarray(found.reshape(-1, *found.shape[-2:])[0], np.float32)
        score = float(np.ravel(outputs[0])[0]) if self._has_score or heat is None else float(heat.max())
        return EngineOutput(score, heat)

    def close(self) -> None:
        del self._session


def model_input(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """What the model takes for uint8 pixels ``[1, h, w, c]``, BGR or gray: float32 in the model's layout."""
    ordered = pixels[..., ::-1] if spec.color == "rgb" else pixels
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    values: NDArray[np.float32] = (ordered / np.float32(spec.scale) - mean) / std
    return values.transpose(0, 3, 1, 2) if spec.layout == "nchw" else values


def _serialize(imported: ImportedModel) -> bytes:
    model = imported.model.clone()
    with quiet_logs("onnx_ir"):  # a file may lack the types of inner values, and an output needs one
        common_passes.ShapeInferencePass(strict_mode=False)(model)
    known = ir.convenience.create_value_mapping(model.graph)
    model.graph.outputs[:] = [known[name] for name in (imported.score, imported.map) if name is not None]
    return bytes(ir.to_proto(model).SerializeToString())
