"""Normalisation that was exported in training mode: it normalizes by the batch that it sees, here one image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad_export.graph.static_shape import update_shapes

if TYPE_CHECKING:
    from edge_ad_export.model.imported import ImportedModel

__all__ = ["normalize_by_image"]

# From this opset on an attribute says that it trains, before that the number of outputs, and first an attribute.
_TRAINING_ATTRIBUTE, _BY_OUTPUTS = 14, 7
_WITH_AREA = 3


def normalize_by_image(imported: ImportedModel) -> ImportedModel:
    """The model with each ``BatchNormalization`` in training mode written as what it is for one image.

    That is an ``InstanceNormalization``, which all engines have: also where the batch is fixed at several, as that is
    one image repeated. A line among the assumptions says so. The model itself where there is none.
    """
    if not any(map(_trains, imported.model.graph)):
        return imported
    model = imported.model.clone()
    trained = [node for node in model.graph if _trains(node)]
    labels = ", ".join(f"{node.op_type} {node.name or node.outputs[0].name}" for node in trained)
    line = (
        f"the model was exported in training mode: {labels} normalizes each image by its own mean and deviation, as no "
        "batch has more than one image; export the model in evaluation mode (model.eval(), with track_running_stats) "
        "where that is wrong"
    )
    update_shapes(model)
    for node in trained:
        _write_by_image(node)
    return replace(imported, model=model, assumptions=(*imported.assumptions, line))


def _trains(node: ir.Node) -> bool:
    if node.op_type != "BatchNormalization" or node.domain not in ("", "ai.onnx"):
        return False
    opset = node.graph.opset_imports.get("", _TRAINING_ATTRIBUTE) if node.graph else _TRAINING_ATTRIBUTE
    if opset >= _TRAINING_ATTRIBUTE:
        return bool(node.attributes.get_int("training_mode", 0))
    if opset >= _BY_OUTPUTS:
        return any(value.name for value in node.outputs[1:])
    return not node.attributes.get_int("is_test", 0)


def _write_by_image(node: ir.Node) -> None:
    """Not where the image has no area any more, and not where the statistics themselves are read."""
    graph, given, old = node.graph, node.inputs[0], node.outputs[0]
    rank = None if given is None or given.shape is None else len(given.shape)
    read = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
    if graph is None or read or (rank is not None and rank < _WITH_AREA):
        return
    epsilon = {"epsilon": node.attributes.get_float("epsilon", 1e-5)}
    out = ir.val(old.name, old.dtype, old.shape)
    new = ir.node("InstanceNormalization", list(node.inputs[:3]), epsilon, outputs=[out], name=node.name)
    graph.insert_before(node, new)
    ir.convenience.replace_all_uses_with(old, out, replace_graph_outputs=True)
    graph.remove(node, safe=True)
