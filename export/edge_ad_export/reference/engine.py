"""The imported model as its file has it: what every variant is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edge_ad.engines import EngineOutput
from edge_ad_export.graph.match import plane_of
from edge_ad_export.model.head import HeadInputs
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.model.input_spec import InputSpec
from edge_ad_export.reference.sessions import open_session

__all__ = ["ReferenceEngine"]


class ReferenceEngine:
    """Runs the imported graph, unchanged but for its outputs, in the engine that knows it. An ``Engine``.

    What the rewritten graph does in nodes is done here in NumPy, so that a fault of a pass cannot hide in both.
    A model that insists on several images is given the same one as often.

    Raises:
        ModelError: the engine refuses the graph.
    """

    def __init__(self, imported: ImportedModel, threads: int | None = None) -> None:
        self._session = open_session(imported.model, imported.outputs_read, threads)
        self._spec = imported.input
        self._head = imported.head
        self._has_score = imported.score is not None
        self._has_map = imported.map is not None
        self._dtype = (imported.model.graph.inputs[0].dtype or ir.DataType.FLOAT).numpy()
        size = imported.input.size
        clip = imported.input.clip
        shape: tuple[int, ...] = (1, size.height, size.width, imported.input.channels)
        shape = shape if clip is None else clip.entry_shape(size.height, size.width)
        self.input: NDArray[Any] = np.zeros(shape, np.uint8 if clip is None or clip.input == "frame" else np.float32)
        self.info = self._session.info
        self._last = np.zeros(0, self._dtype)

    def run(self) -> EngineOutput:
        """Scores what is in :attr:`input`. Raises :class:`ModelError`."""
        outputs = self.values()
        if self._head is not None:
            result = self._head.reference(HeadInputs(outputs, model_input(self.input, self._spec)))
            anomaly_map = None if result.map is None else np.ascontiguousarray(result.map, np.float32)
            return EngineOutput(result.score, anomaly_map)
        anomaly_map = None
        if self._has_map:
            found = outputs[-1]
            rows, columns = plane_of(found.shape, self._spec.batch) or found.shape[-2:]
            anomaly_map = np.ascontiguousarray(found.reshape(-1, rows, columns)[0], np.float32)
        score = float(np.ravel(outputs[0])[0]) if self._has_score or anomaly_map is None else float(anomaly_map.max())
        return EngineOutput(score, anomaly_map)

    def values(self) -> Sequence[NDArray[Any]]:
        """What the values that are read hold for what is in :attr:`input`. Raises :class:`ModelError`."""
        image, clip = model_input(self.input, self._spec), self._spec.clip
        feed = np.repeat(image if clip is None else clip.arrange(image), self._spec.batch, axis=0)
        self._last = feed.astype(self._dtype)
        return self._session.run(self._last)

    def run_graph(self) -> None:
        """Runs the file's own graph on what it was given last: none of what is done in NumPy, so that it can be timed.

        Raises:
            ModelError: the engine fails.
        """
        self._session.run(self._last)

    def close(self) -> None:
        del self._session


def model_input(pixels: NDArray[Any], spec: InputSpec) -> NDArray[np.float32]:
    """What the model takes for uint8 pixels ``[1, h, w, c]``, BGR or gray: float32 in the model's layout.

    Of a clip ``[1, t, h, w, c]`` all samples, float32 ``[1, t, c, h, w]``; vectors as they are.
    """
    if pixels.ndim == 3:
        vectors: NDArray[np.float32] = pixels
        return vectors
    ordered = pixels[..., ::-1] if spec.color == "rgb" else pixels
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    values: NDArray[np.float32] = (ordered / np.float32(spec.scale) - mean) / std
    if values.ndim == 5:
        values = values.transpose(0, 1, 4, 2, 3)
    elif spec.layout == "nchw":
        values = values.transpose(0, 3, 1, 2)
    return values
