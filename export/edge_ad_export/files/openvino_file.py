"""Reads what OpenVINO can read: its own IR, and TFLite, TensorFlow and Paddle through its converter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.embedded import embed, embedded_model, find_embedded
from edge_ad_export.graph.libraries import load_openvino, openvino_reason, save_openvino

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["convert", "convert_and_read", "model_info", "read_ir"]

_INFO = "model_info"


def read_ir(path: Path) -> ir.Model:
    """An OpenVINO IR as a graph of one node. Raises :class:`ModelError`."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelError(f"{path} keeps its weights in {weights.name}, which is not beside it: copy that file too")
    core = load_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})  # the files may be temporary
    try:
        model = core.read_model(path)
        for port in model.inputs if len(model.inputs) > 1 else ():
            if not port.get_target_inputs():  # leads to no output
                model.remove_parameter(port.get_node())
        return embed(model)
    except RuntimeError as error:
        raise ModelError(
            f"{path} is no readable OpenVINO IR ({openvino_reason(error)}): it is truncated or of a newer version; "
            "copy it again"
        ) from None


def convert_and_read(path: Path, what: str) -> ir.Model:
    """Another framework's model as a graph of one node. Raises :class:`ModelError`."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / "model.xml"
        run_isolated(
            f"converting the {what} {path} with OpenVINO",
            f"{__name__}:{convert.__name__}",
            source=str(path),
            target=str(target),
        )
        return read_ir(target)


def model_info(model: ir.Model) -> Mapping[str, str]:
    """``rt_info/model_info`` of an embedded model as text, empty where it says nothing."""
    node = find_embedded(model)
    if node is None or not embedded_model(node).has_rt_info([_INFO]):
        return {}
    found = embedded_model(node).get_rt_info([_INFO]).value
    return {name: str(entry) for name, entry in found.items()}


def convert(source: str, target: str) -> None:
    """In the child process: writes the IR ``target``, weights in their own precision."""
    save_openvino(load_openvino().convert_model(source), Path(target))
