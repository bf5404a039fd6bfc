"""What runs in the child process that converts a PyTorch model. Nothing else imports this."""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from edge_ad_export.files.state_dict import find_weights

__all__ = ["torch_exported", "torch_factory", "torch_pickle", "torchscript"]


def torch_exported(source: str, target: str, trust_pickle: bool) -> None:
    """A ``.pt2``: the shapes are those it was exported with.

    Its parts are pickles too, which PyTorch would load as such: it is told to take data only.
    """
    if not trust_pickle:
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        program = torch.export.load(source)
    except pickle.UnpicklingError:
        raise ValueError(
            "there is more than data in it, which may run any code when it is loaded: say --trust-pickle if you know "
            "who made it"
        ) from None
    _write_onnx(program, None, target)


def torchscript(source: str, target: str, shape: Sequence[int]) -> None:
    """TorchScript has no way to ONNX any more; OpenVINO reads it."""
    from edge_ad_export.graph.libraries import load_openvino, save_openvino

    module = torch.jit.load(source, map_location="cpu").eval()
    model = load_openvino().convert_model(module, input=[list(shape)], example_input=torch.zeros(*shape))
    save_openvino(model, Path(target))


def torch_factory(source: str, target: str, shape: Sequence[int], state_dict: str) -> None:
    """``package.module:factory`` and its weights, which are data only."""
    module, _, name = source.partition(":")
    model = getattr(importlib.import_module(module), name)()
    try:
        saved = torch.load(state_dict, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{state_dict} holds more than weights, or is no file of PyTorch: save the weights alone with "
            "torch.save(model.state_dict(), FILE)"
        ) from None
    model.load_state_dict(find_weights(saved, list(model.state_dict())))
    _write_onnx(model.eval(), shape, target)


def torch_pickle(source: str, target: str, shape: Sequence[int]) -> None:
    """A whole pickled module, or anomalib's ``{"model": module}``; the user trusts it."""
    loaded = torch.load(source, map_location="cpu", weights_only=False)
    model = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"expected a torch.nn.Module, found {type(model).__name__}: for weights alone say "
            "package.module:factory and --state-dict"
        )
    _write_onnx(model.eval(), shape, target)


def _write_onnx(model: Any, shape: Sequence[int] | None, target: str) -> None:
    example = None if shape is None else (torch.zeros(*shape),)
    program = torch.onnx.export(model, example or (), dynamo=True, verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx.export gave nothing")
    program.save(target, external_data=False)
