"""Faults of a model that no later step would name: found right after it was imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.embedded import DOMAIN, embedded_model, find_embedded
from edge_ad_export.graph.engine_shapes import engine_has, engine_lists
from edge_ad_export.graph.match import read_array
from edge_ad_export.importers.random_nodes import refuse_random
from edge_ad_export.passes import SelectOutputsPass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad_export.model.imported import ImportedModel

__all__ = ["check_model"]

# What both engines, or ONNX Runtime by itself, bring operators for.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", DOMAIN}
_REALS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def check_model(imported: ImportedModel, path: Path) -> None:
    """Looks at what leads to score and map, and at nothing else of the graph.

    Raises:
        ModelError: operators that no engine has or that draw random numbers, an opset newer than the tools here
            know, an output of whole numbers, weights that are no numbers.
    """
    used = imported.model.clone()
    SelectOutputsPass(imported.outputs_read)(used)
    _check_opset(used, path)
    _check_operators(used, path)
    refuse_random(used, path)
    if imported.head is None and imported.unfitted is None:
        _check_types(used, path)
    _check_weights(used, path)


def _check_opset(model: ir.Model, path: Path) -> None:
    import onnx

    found, known = model.opset_imports.get("", 0), onnx.defs.onnx_opset_version()
    if found > known:
        raise ModelError(
            f"{path} uses ONNX opset {found}, and opset {known} is the newest that is known here: export the model "
            f"with opset_version={known} or lower, or update onnx and onnxruntime"
        )


def _check_operators(model: ir.Model, path: Path) -> None:
    functions = {identifier[:2] for identifier in model.functions}
    nodes = [node for node in model.graph.all_nodes() if (node.domain, node.op_type) not in functions]
    custom = sorted({f"{node.domain}::{node.op_type}" for node in nodes if node.domain not in _DOMAINS})
    if custom:
        raise ModelError(
            f"{path} has custom operators, which a device does not have: {', '.join(custom)}; export the model "
            "with standard ONNX operators only"
        )
    opset = model.opset_imports.get("", 1)
    missing = sorted({f"{node.domain or 'ai.onnx'}::{node.op_type}" for node in nodes if not _exists(node, opset)})
    if missing:
        raise ModelError(
            f"{path} has operators that neither ONNX opset {opset} nor ONNX Runtime has: {', '.join(missing)}; export "
            "the model with standard ONNX operators only, or in the opset that has them"
        )


def _exists(node: ir.Node, opset: int) -> bool:
    import onnx

    if node.domain == DOMAIN:
        return True
    if node.domain == "com.microsoft":
        return engine_has(node.domain, node.op_type)
    if node.domain in ("", "ai.onnx"):
        # ONNX Runtime's optimizer writes operators of its own without a domain.
        return onnx.defs.has(node.op_type, opset, "") or (
            not onnx.defs.has(node.op_type) and engine_lists("", node.op_type)
        )
    return onnx.defs.has(node.op_type, node.domain)


def _check_types(model: ir.Model, path: Path) -> None:
    """Whole numbers are labels, counts or masks. float64 and float16 are cast to float32 later."""
    for value in model.graph.outputs:
        if value.dtype is not None and value.dtype not in _REALS:
            raise ModelError(
                f"{value.name} of {path} holds {value.dtype.name.lower()}, expected floating-point numbers: a label or "
                "a mask is no score; name the output it was made from with --score-output or --map-output"
            )


def _check_weights(model: ir.Model, path: Path) -> None:
    for name, array in _weights(model):
        count = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        if count:
            raise ModelError(
                f"the weights {name} of {path} hold {count} values that are no numbers (NaN) among {array.size}: the "
                "training diverged or the file is damaged; train or copy it again"
            )


def _weights(model: ir.Model) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for name, value in model.graph.initializers.items():
        array = read_array(value) if value.uses() else None
        if array is not None:
            yield name, array
    node = find_embedded(model)
    if node is not None:
        for op in embedded_model(node).get_ops():
            if op.get_type_name() == "Constant" and op.get_element_type().is_real():
                yield op.get_friendly_name(), op.data
