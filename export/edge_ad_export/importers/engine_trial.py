"""An ONNX graph's first run in ONNX Runtime, in a process of its own where it has operators that are not ONNX's.

Such an operator may crash the engine. What the model gives is measured against ONNX Runtime, so that nothing is left to
export then: but a line says which operators it may be.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.embedded import DOMAIN
from edge_ad_export.graph.engine_shapes import engine_lists
from edge_ad_export.graph.libraries import load_onnxruntime

if TYPE_CHECKING:
    from edge_ad_export.model.input_spec import Size

__all__ = ["run_onnxruntime_once", "try_onnxruntime"]

_OF_ONNX = {"", "ai.onnx", "ai.onnx.ml", DOMAIN}
_SIDE = 64


def try_onnxruntime(model: ir.Model, size: Size | None) -> None:
    """Runs the graph once in a child process if it has operators of ONNX Runtime's own, and does nothing otherwise.

    ``size``: of images, where the graph takes any. A graph that is refused passes: that is told later, and better.

    Raises:
        ModelError: ONNX Runtime crashed.
    """
    own = sorted(
        {node.op_type for node in model.graph.all_nodes() if node.domain not in _OF_ONNX}
        & {node.op_type for node in model.graph.all_nodes() if engine_lists(node.domain, node.op_type)}
    )
    if not own:
        return
    sides = [] if size is None else [size.height, size.width]
    with TemporaryDirectory(prefix="edge-ad-") as folder:
        path = Path(folder) / "tried.onnx"
        ir.save(model, path)
        run_isolated(
            f"running the model in ONNX Runtime, with its own operators {', '.join(own)},",
            f"{__name__}:{run_onnxruntime_once.__name__}",
            path=str(path),
            sides=sides,
        )


def run_onnxruntime_once(path: str, sides: list[int]) -> None:
    """In the child process: opens the graph and runs it on noise. Errors are of no interest here, a crash is."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    random = np.random.default_rng(0)
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = {}
        for entry in session.get_inputs():
            dims = [dim if isinstance(dim, int) and dim > 0 else None for dim in entry.shape]
            open_axes = [axis for axis, dim in enumerate(dims) if dim is None and axis > 0]
            lengths = dict(zip(open_axes, sides or [_SIDE] * len(open_axes), strict=False))
            shape = [lengths.get(axis, 1) if dim is None else dim for axis, dim in enumerate(dims)]
            kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
            feeds[entry.name] = (random.random(shape) * 255).astype(kind.get(entry.type, np.float32))
        session.run(None, feeds)
    except Exception:  # noqa: BLE001 - of a C++ library; the importer says what is wrong
        return
