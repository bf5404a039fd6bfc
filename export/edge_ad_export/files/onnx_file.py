"""Reads ONNX files and the files beside them, their faults named."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad.errors import ModelError
from edge_ad_export.files.onnx_repairs import mend

__all__ = ["drop_unused", "external_files", "load_weights", "parse_onnx"]

# A protobuf message holds less than this; larger graphs cannot be written as one file.
_PROTOBUF_LIMIT_BYTES = 2**31
_CHARACTERS_MAX = 200


def parse_onnx(path: Path) -> ir.Model:
    """The graph, from ONNX in binary, as text or as JSON; weights kept outside of the file stay there.

    Raises:
        ModelError: the file cannot be read or is no ONNX.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model {path} cannot be read: {error.strerror}") from None
    attempts = [_attempt(path, form) for form in _forms(data)]
    model = next((found for found in attempts if isinstance(found, ir.Model)), None)
    if model is None:
        if len(attempts) > 1:  # read as text in several ways
            raise ModelError(f"{path} is a text file, and no ONNX model in text form ({attempts[0]}): name the model")
        raise ModelError(
            f"{path} is no readable ONNX file ({attempts[0]}): it is truncated or of another kind; copy or export it "
            "again"
        )
    mend(model)
    # Files of old IR versions list their weights among the inputs.
    return common_passes.RemoveInitializersFromInputsPass()(model).model


def _attempt(path: Path, form: str) -> ir.Model | str:
    """The graph, or why the parser of this form refuses the file."""
    try:
        return ir.load(path, format=form)
    except Exception as error:  # noqa: BLE001 - the parsers of four forms raise what they like
        return _first_line(error)


def _forms(data: bytes) -> tuple[str, ...]:
    """The forms of ONNX that these bytes may be in. A binary file begins with a control character, a text never."""
    start = data.lstrip()[:64]
    is_text = bool(start) and all(byte >= ord(" ") or byte in b"\t\r\n" for byte in start)
    if not is_text:
        return ("protobuf",)
    return ("json",) if start.startswith(b"{") else ("textproto", "onnxtxt", "protobuf")


def external_files(model: ir.Model) -> tuple[Path, ...]:
    """The files that hold weights of the graph, in the order of their names."""
    return tuple(sorted({_external_path(tensor) for tensor in _external_tensors(model)}))


def load_weights(path: Path, model: ir.Model) -> ir.Model:
    """The graph with all its weights in memory.

    Raises:
        ModelError: there is no graph, weights are missing or cut off, or there are too many of them.
    """
    if not model.graph.outputs or not model.graph.inputs:
        raise ModelError(f"{path} has no inputs or no outputs: the file is truncated or no model; copy it again")
    external = _external_tensors(model)
    for tensor in external:
        _check_external(path, tensor)
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    if size >= _PROTOBUF_LIMIT_BYTES:
        raise ModelError(
            f"{path} holds {size / 2**30:.1f} GiB of weights, an ONNX file of a bundle less than 2 GiB: "
            "train a smaller model (fewer features or a smaller memory bank)"
        )
    try:
        return ir.external_data.load_to_model(model) if external else model
    except (ValueError, OSError) as error:  # links that lead elsewhere are refused too
        raise ModelError(f"the weights beside {path} cannot be read: {_first_line(error)}") from None


def drop_unused(model: ir.Model) -> ir.Model:
    """A copy without the inputs that lead to no output, or the model itself where there are none."""
    if len(model.graph.inputs) == 1:
        return model
    copy = common_passes.RemoveUnusedNodesPass()(model.clone()).model
    used = [value for value in copy.graph.inputs if value.uses() or value.is_graph_output()]
    if not used or len(used) == len(model.graph.inputs):
        return model
    copy.graph.inputs[:] = used
    return copy


def _check_external(model: Path, tensor: ir.ExternalTensor) -> None:
    location = Path(tensor.location)
    if location.is_absolute() or not _is_inside(model.parent, location):
        raise ModelError(
            f"{model} keeps its weights in {location}, outside of its folder, which is refused: copy {location.name} "
            f"into {model.parent} and save the model with the location {location.name}, or export it again as one file"
        )
    path = _external_path(tensor)
    if not path.is_file():
        raise ModelError(
            f"{model} keeps its weights in {path.name}, which is not beside it: copy that file into {path.parent} too"
        )
    expected = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
    found = path.stat().st_size
    if found < expected:
        raise ModelError(
            f"the weights {path} of {model.name} are truncated: expected at least {expected} bytes, "
            f"found {found}; copy the file again"
        )


def _is_inside(folder: Path, location: Path) -> bool:
    """Whether the file lies in the folder or below it, links followed."""
    return (folder / location).resolve().is_relative_to(folder.resolve())


def _external_tensors(model: ir.Model) -> list[ir.ExternalTensor]:
    constants = (value.const_value for value in model.graph.initializers.values())
    return [tensor for tensor in constants if isinstance(tensor, ir.ExternalTensor)]


def _external_path(tensor: ir.ExternalTensor) -> Path:
    return Path(tensor.path)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:_CHARACTERS_MAX] if lines else type(error).__name__
