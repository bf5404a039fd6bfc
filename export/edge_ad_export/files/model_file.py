"""The file of a trained model, read once and with its faults named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.files.formats import Format, find_source
from edge_ad_export.files.onnx_file import drop_unused, external_files, load_weights, parse_onnx
from edge_ad_export.files.openvino_file import convert_and_read, model_info, read_ir
from edge_ad_export.files.tflite_metadata import tflite_info
from edge_ad_export.files.torch_file import TorchOptions, read_torch

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ModelFile"]

_CONVERTED: Mapping[Format, str] = {
    "tflite": "TFLite model",
    "tensorflow": "TensorFlow model",
    "paddle": "Paddle model",
}
_METADATA = "metadata.json"
_INFO = "model_info"
_BARE = {"mean_values", "scale_values", "reverse_input_channels", "resize_type", "pad_value", "embedded_processing"}


class ModelFile:
    """What a trained model lies in: a file or folder of any known format, and the files that belong to it.

    Raises:
        InputError: there is no such file, or it is of no known format.
    """

    def __init__(self, path: Path, torch: TorchOptions | None = None) -> None:
        source = find_source(path)
        self.path = source.path
        self.format = source.format
        self._torch = torch or TorchOptions()

    @cached_property
    def onnx(self) -> ir.Model:
        """The graph with all its weights in memory. A model that exists only as an OpenVINO graph is one node of it.

        Raises:
            ModelError: the file is damaged, or cannot be converted.
            InputError: an option is missing that the conversion needs.
            MissingExtraError: a PyTorch model, and no PyTorch.
        """
        if self.format == "onnx":
            _ = self._files  # a graph whose weights are in memory says no more where they lay
            return drop_unused(load_weights(self.path, self._parsed))
        if self.format == "openvino":
            return read_ir(self.path)
        if self.format in _CONVERTED:
            return convert_and_read(self.path, _CONVERTED[self.format])
        return read_torch(self.path, self.format, self._torch)

    def replace_graph(self, model: ir.Model) -> None:
        """Goes on with another form of the graph that was read."""
        self.__dict__["onnx"] = model

    @cached_property
    def metadata(self) -> bytes | None:
        """``metadata.json`` as it lies beside the model, ``None`` without one."""
        path = self.path.parent / _METADATA
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from None

    @cached_property
    def model_info(self) -> Mapping[str, str]:
        """What the file says of its model: an IR in ``rt_info/model_info``, ONNX in entries whose names begin with
        ``model_info`` or are those of the Model API, TFLite in its metadata; empty where it says nothing."""
        if self.format == "tflite":
            return tflite_info(self.path)
        if self.format != "onnx":
            return model_info(self.onnx)
        entries = self._parsed.metadata_props
        named = {name.removeprefix(_INFO).lstrip(" /.:_"): text for name, text in entries.items() if _INFO in name[:10]}
        return {**{name: text for name, text in entries.items() if name in _BARE}, **named}

    @cached_property
    def sha256(self) -> str:
        """Over the file itself and then the files that belong to it, in the order of their names."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of the file itself and of the files that belong to it."""
        return sum(path.stat().st_size for path in self._files)

    @cached_property
    def _files(self) -> list[Path]:
        if self.format == "torch-factory":
            return [path for path in (self._torch.state_dict,) if path is not None]
        if self.path.is_dir():
            return sorted(path for path in self.path.rglob("*") if path.is_file())
        belonging: list[Path] = []
        if self.format == "onnx":
            belonging += external_files(self._parsed)
        beside = {"openvino": ".bin", "paddle": ".pdiparams"}.get(self.format)
        if beside is not None and self.path.with_suffix(beside).is_file():
            belonging.append(self.path.with_suffix(beside))
        return [self.path, *belonging]

    @cached_property
    def _parsed(self) -> ir.Model:
        return parse_onnx(self.path)
