"""Reads PyTorch models by exporting them to ONNX, or to OpenVINO where ONNX cannot have them, in a child process."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, MissingExtraError
from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.files.onnx_file import load_weights, parse_onnx
from edge_ad_export.files.openvino_file import read_ir

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.files.formats import Format
    from edge_ad_export.model.input_spec import Size

__all__ = ["TorchOptions", "read_torch"]


@dataclass(frozen=True)
class TorchOptions:
    """What a PyTorch model does not say of itself.

    ``state_dict``: weights for a factory's model. ``trust_pickle``: a pickle may run any code when it is loaded; the
    user says that it may. ``size`` and ``channels``: of the image that the model is exported with.
    """

    state_dict: Path | None = None
    trust_pickle: bool = False
    size: Size | None = None
    channels: int = 3


def read_torch(path: Path, kind: Format, options: TorchOptions) -> ir.Model:
    """The model as a graph.

    Raises:
        InputError: an option is missing, or the file is a pickle and the user has not said that it may be trusted.
        MissingExtraError: PyTorch is not installed.
        ModelError: the model cannot be loaded or exported.
    """
    _check(path, kind, options)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("PyTorch", "torch")
    with TemporaryDirectory() as folder:
        target = Path(folder) / ("model.xml" if kind == "torchscript" else "model.onnx")
        run_isolated(
            f"converting the PyTorch model {path}",
            f"edge_ad_export.files.torch_convert:{kind.replace('-', '_')}",
            source=str(path),
            target=str(target),
            **_arguments(kind, options),
        )
        return read_ir(target) if kind == "torchscript" else load_weights(target, parse_onnx(target))


def _arguments(kind: Format, options: TorchOptions) -> dict[str, object]:
    """What the converter of this kind takes beside source and target, as JSON can carry it."""
    if kind == "torch-exported":
        return {"trust_pickle": options.trust_pickle}
    arguments: dict[str, object] = {}
    if options.size is not None:
        arguments["shape"] = [1, options.channels, options.size.height, options.size.width]
    if options.state_dict is not None:
        arguments["state_dict"] = str(options.state_dict)
    return arguments


def _check(path: Path, kind: Format, options: TorchOptions) -> None:
    if kind == "torch-pickle" and not options.trust_pickle:
        raise InputError(
            f"{path} is a pickle, which may run any code when it is loaded: export the model with torch.export.save, "
            "or say --trust-pickle if you know who made it"
        )
    if kind == "torch-factory" and options.state_dict is None:
        raise InputError(f"{path} makes a model without trained weights: say which with --state-dict FILE")
    if kind != "torch-factory" and options.state_dict is not None:
        raise InputError(f"--state-dict belongs to package.module:factory, and {path} has its weights in it")
    if kind != "torch-exported" and options.size is None:
        raise InputError(f"{path} does not say which images it takes: say --size WIDTHxHEIGHT (and --color gray)")
