"""The file of a trained model, read once and with its faults named."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edge_ad.errors import InputError, ModelError

__all__ = ["ModelFile"]

# A protobuf message holds less than this; larger graphs cannot be written as one file.
_PROTOBUF_LIMIT_BYTES = 2**31


class ModelFile:
    """A model's file and, for weights kept outside of it, the files beside it.

    Raises :class:`InputError` when there is no such file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"the model {path} {what}: expected an ONNX file")
        self.path = path

    @cached_property
    def sha256(self) -> str:
        """Over the file itself and then its external data, in the order of their names."""
        digest = hashlib.sha256(self.path.read_bytes())
        for path in sorted({_external_path(tensor) for tensor in _external_tensors(self._parsed)}):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    @cached_property
    def onnx(self) -> ir.Model:
        """The graph with all its weights in memory. Raises :class:`ModelError`."""
        model = self._parsed
        if not model.graph.outputs or not model.graph.inputs:
            raise ModelError(
                f"{self.path} has no inputs or no outputs: the file is truncated or no model; copy it again"
            )
        external = list(_external_tensors(model))
        for tensor in external:
            self._check_external(tensor)
        size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
        if size >= _PROTOBUF_LIMIT_BYTES:
            raise ModelError(
                f"{self.path} holds {size / 2**30:.1f} GiB of weights, an ONNX file of a bundle less than 2 GiB: "
                "train a smaller model (fewer features or a smaller memory bank)"
            )
        return ir.external_data.load_to_model(model) if external else model

    @cached_property
    def _parsed(self) -> ir.Model:
        try:
            model = ir.load(self.path)
        except (DecodeError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.path} is no readable ONNX file ({_first_line(error)}): it is truncated or of another kind; "
                "copy or export it again"
            ) from None
        except OSError as error:
            raise ModelError(f"the model {self.path} cannot be read: {error.strerror}") from None
        # Files of old IR versions list their weights among the inputs.
        return common_passes.RemoveInitializersFromInputsPass()(model).model

    def _check_external(self, tensor: ir.ExternalTensor) -> None:
        path = _external_path(tensor)
        if not path.is_file():
            raise ModelError(
                f"{self.path} keeps its weights in {path.name}, which is not beside it: copy that file into {path.parent} too"
            )
        expected = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
        found = path.stat().st_size
        if found < expected:
            raise ModelError(
                f"the weights {path} of {self.path.name} are truncated: expected at least {expected} bytes, "
                f"found {found}; copy the file again"
            )


def _external_tensors(model: ir.Model) -> list[ir.ExternalTensor]:
    constants = (value.const_value for value in model.graph.initializers.values())
    return [tensor for tensor in constants if isinstance(tensor, ir.ExternalTensor)]


def _external_path(tensor: ir.ExternalTensor) -> Path:
    return Path(tensor.path)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
