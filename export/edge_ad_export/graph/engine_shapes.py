"""Shapes and types that ONNX does not infer, as ONNX Runtime knows them: it runs the graph once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.embedded import find_embedded
from edge_ad_export.graph.libraries import load_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ask_engine", "engine_has", "engine_lists", "mend_sequences"]

# What they give has another shape from picture to picture.
_BY_CONTENT = {"NonZero", "Unique", "Compress", "NonMaxSuppression", "If", "Loop", "Scan", "SequenceMap"}
# Their shapes follow from a computed shape, and become known when SimplifyPass folds that.
_BY_SHAPE = {"Reshape", "Resize", "Upsample", "Expand", "Tile", "ConstantOfShape", "Range", "Slice", "Pad", "Split"}
_BY_SHAPE |= {"Squeeze", "Unsqueeze", "CenterCropPad", "TopK", "OneHot", "Gather", "Trilu", "ConvTranspose", "Col2Im"}


def engine_has(domain: str, operator: str) -> bool:
    """Whether ONNX Runtime knows an operator. Where its build does not list them, it is taken to know all."""
    listed = _engine_operators()
    return not listed or (domain, operator) in listed


def engine_lists(domain: str, operator: str) -> bool:
    """As :func:`engine_has`, but false where its build does not list them."""
    return (domain, operator) in _engine_operators()


@cache
def _engine_operators() -> frozenset[tuple[str, str]]:
    state = getattr(load_onnxruntime().capi, "onnxruntime_pybind11_state", None)
    listing = getattr(state, "get_all_operator_schema", None)
    return frozenset() if listing is None else frozenset((schema.domain, schema.name) for schema in listing())


def mend_sequences(model: ir.Model) -> None:
    """Gives values that are sequences or optional their own type: ``onnx_ir`` takes the type of an element for it."""
    for graph in model.graphs():
        for node in graph:
            for value, kind in zip(node.outputs, _kinds(node, model), strict=False):
                if kind is None or isinstance(value.type, kind):
                    continue
                inner = value.type if isinstance(value.type, ir.TensorType) else ir.TensorType(ir.DataType.UNDEFINED)
                value.type, value.shape = kind(inner) if inner.dtype else None, None


def _kinds(node: ir.Node, model: ir.Model) -> list[type[ir.SequenceType | ir.OptionalType] | None]:
    """Of every output: whether it is a sequence or optional, ``None`` for tensors."""
    import onnx

    if node.domain not in ("", "ai.onnx"):
        return [None] * len(node.outputs)
    first = node.inputs[0] if node.inputs else None
    if node.op_type == "Identity" and first is not None and isinstance(first.type, ir.SequenceType | ir.OptionalType):
        return [type(first.type)]
    try:
        schema = onnx.defs.get_schema(node.op_type, model.opset_imports.get("", 1), "")
    except onnx.defs.SchemaError:
        return [None] * len(node.outputs)
    found: list[type[ir.SequenceType | ir.OptionalType] | None] = []
    for index in range(len(node.outputs)):
        types = schema.outputs[min(index, len(schema.outputs) - 1)].types if schema.outputs else set()
        sequence = bool(types) and all(text.startswith("seq(") for text in types)
        optional = bool(types) and all(text.startswith("optional(") for text in types)
        found.append(ir.SequenceType if sequence else ir.OptionalType if optional else None)
    return found


def ask_engine(model: ir.Model) -> bool:
    """Fills in what is not known yet, where an operator's inputs are known and its outputs are not.

    Returns whether anything was found. A graph that the engine refuses, and shapes that differ between two pictures,
    are left as they are.
    """
    if find_embedded(model) is not None or not _knows_inputs(model.graph):
        return False
    wanted = _unknown(model.graph)
    if not wanted:
        return False
    runs = _run(model, [str(value.name) for value in wanted])
    modified = False
    for value, *arrays in zip(wanted, *runs, strict=False):
        shapes = {getattr(array, "shape", None) for array in arrays}
        if len(shapes) == 1 and isinstance(arrays[0], np.ndarray):
            value.shape = ir.Shape(arrays[0].shape)
            value.dtype = ir.DataType.from_numpy(arrays[0].dtype)
            modified = True
    return modified


def _knows_inputs(graph: ir.Graph) -> bool:
    return all(value.shape is not None and value.shape.is_static() and value.dtype for value in graph.inputs)


def _known(value: ir.Value | None) -> bool:
    if value is None or value.const_value is not None or isinstance(value.type, ir.SequenceType | ir.OptionalType):
        return True
    return value.shape is not None and value.shape.is_static()


def _unknown(graph: ir.Graph) -> list[ir.Value]:
    """The tensors of unknown shape; none where only a computed shape is missing."""
    wanted: list[ir.Value] = []
    by_content: set[ir.Value] = set()
    asked = False
    for node in graph:
        changing = node.op_type in _BY_CONTENT or any(value in by_content for value in node.inputs)
        open_outputs = [value for value in node.outputs if not _known(value)]
        if changing:
            by_content.update(open_outputs)
        elif open_outputs:
            wanted.extend(value for value in open_outputs if value.name)
            asked = asked or (node.op_type not in _BY_SHAPE and all(_known(value) for value in node.inputs))
    return wanted if asked else []


def _run(model: ir.Model, names: Sequence[str]) -> list[list[NDArray[Any]]]:
    """The values for a picture of zeros and for one of noise; nothing where the engine refuses the graph."""
    chosen = model.clone()
    known = ir.convenience.create_value_mapping(chosen.graph)
    chosen.graph.outputs[:] = [known[name] for name in names]
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    random = np.random.default_rng(0)
    try:
        data = bytes(ir.to_proto(chosen).SerializeToString())
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        found = []
        for deviation in (0, 1):
            feeds = {}
            for value in model.graph.inputs:
                shape = () if value.shape is None else value.shape.numpy()
                numbers = np.abs(random.normal(0, deviation, shape))
                feeds[value.name] = numbers.astype(ir.DataType(value.dtype or ir.DataType.FLOAT).numpy())
            found.append(session.run(None, feeds))
    except Exception:  # noqa: BLE001 - whatever the engine says; who needs the shape says that it is not known
        return [[]]
    return found
