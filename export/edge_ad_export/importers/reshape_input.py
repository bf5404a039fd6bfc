"""Inputs that are not one batch of images as they stand in the file, and sizes that do not fit the graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.embedded import find_embedded, with_fixed_inputs
from edge_ad_export.graph.match import read_array
from edge_ad_export.graph.static_shape import describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.model.input_spec import Size

__all__ = ["add_batch_axis", "check_size", "fix_inputs"]

_AXES_INPUT_SINCE = 13
_COLOURS = (1, 3)


def fix_inputs(file: ModelFile, values: Sequence[str]) -> None:
    """Makes constants of inputs. ``values``: ``NAME=NUMBER`` or ``NAME=FILE.npy``.

    Raises:
        InputError: no such input, or a value that cannot be read or does not fit.
    """
    inputs = {str(entry.name): entry for entry in file.onnx.graph.inputs}
    arrays: dict[str, NDArray[Any]] = {}
    for text in values:
        name, _, value = text.rpartition("=")
        if name not in inputs:
            raise InputError(
                f"--input-value {text}: expected NAME=VALUE, the inputs are {describe([*inputs.values()])}"
            )
        arrays[name] = _fixed(text, value, inputs[name])
    if inputs.keys() == arrays.keys():
        raise InputError("--input-value leaves the model no input for the image")
    node = find_embedded(file.onnx)
    if node is not None:
        file.replace_graph(with_fixed_inputs(node, arrays))
        return
    model = file.onnx.clone()
    graph = model.graph
    for old in [entry for entry in graph.inputs if entry.name in arrays]:
        old.replace_all_uses_with(add_constant(graph, f"{old.name}_value", arrays[str(old.name)]))
        graph.inputs.remove(old)
    file.replace_graph(model)


def _fixed(text: str, value: str, entry: ir.Value) -> NDArray[Any]:
    """The array, in type and shape of the input; axes that are open become 1."""
    dims = [dim if isinstance(dim, int) else 1 for dim in entry.shape or ()]
    try:
        array = np.load(Path(value), allow_pickle=False) if value.endswith(".npy") else np.full(dims, float(value))
    except (OSError, ValueError) as error:
        raise InputError(f"--input-value {text}: expected a number or an .npy file ({error})") from None
    known = [dim if isinstance(dim, int) else None for dim in entry.shape or ()]
    if len(known) != array.ndim or any(dim not in (None, n) for dim, n in zip(known, array.shape, strict=True)):
        raise InputError(f"--input-value {text}: the shape is {list(array.shape)}, expected {describe([entry])}")
    return array.astype((entry.dtype or ir.DataType.FLOAT).numpy())


def add_batch_axis(file: ModelFile) -> None:
    """A graph that takes ``[channels, h, w]``, ``[h, w, channels]`` or ``[h, w]`` takes a batch of one image."""
    inputs = file.onnx.graph.inputs
    if len(inputs) != 1 or inputs[0].shape is None:
        return
    dims = list(inputs[0].shape)
    if len(dims) == 3 and (dims[0] in _COLOURS) != (dims[2] in _COLOURS):
        axes, shape = [0], [1, *dims]
    elif len(dims) == 2 and 1 not in dims:
        axes, shape = [0, 1], [1, 1, *dims]
    else:
        return
    model = file.onnx.clone()
    graph = model.graph
    old = graph.inputs[0]
    new = ir.val(str(old.name), old.dtype, ir.Shape(shape))
    old.name = f"{old.name}_without_batch"
    if graph.opset_imports.get("", 1) >= _AXES_INPUT_SINCE:
        node = ir.node("Squeeze", [new, add_constant(graph, "batch_axes", np.array(axes, np.int64))])
    else:
        node = ir.node("Squeeze", [new], {"axes": axes})
    node.outputs[0].type = old.type
    old.replace_all_uses_with(node.outputs[0])
    graph.inputs[0] = new
    graph.insert_before(graph[0], [node])
    file.replace_graph(model)


def check_size(file: ModelFile, shape: tuple[int, ...], size: Size) -> None:
    """Raises :class:`ModelError` that names the constant that images of this size do not fit."""
    import onnx

    if find_embedded(file.onnx) is not None:
        return
    model = file.onnx.clone()
    model.graph.inputs[0].shape = ir.Shape(shape)
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if isinstance(value.type, ir.TensorType | None):
                value.shape = None
        node.name = node.name or str(node.outputs[0].name)
    common_passes.ClearMetadataAndDocStringPass()(model)
    try:
        onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True, data_prop=True)
    except Exception as error:  # noqa: BLE001  # of a C++ library, and of a graph that may be too large for it
        _name_misfit(model, str(error), file, size)


def _name_misfit(model: ir.Model, message: str, file: ModelFile, size: Size) -> None:
    found = re.search(r"node name: ([^)]*)\)", message)
    node = None if found is None else next((one for one in model.graph if one.name == found.group(1)), None)
    constants = (
        [] if node is None else [value for value in node.inputs if value is not None and read_array(value) is not None]
    )
    if node is None or not constants or "imension" not in message:
        return
    misfit = constants[0]
    raise ModelError(
        f"{misfit.name} {list(misfit.shape or ())} of {file.path} does not fit images of {size} (--size), at the "
        f"operator {node.op_type}: say the size that the model was trained with"
    )
