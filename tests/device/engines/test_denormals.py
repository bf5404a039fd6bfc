"""Denormal numbers: flushed where it is asked for, and of no influence on the outputs of real models.

Each runs in a process of its own: the processor's mode stays with the thread that set it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

_RUN = """
import sys
import numpy as np
from edge_ad.engines.base import EngineOptions

engine, flushes, fill, target, *models = sys.argv[1:]
options = EngineOptions(threads=1, spin=False, flush_denormals=flushes == "yes")
random = np.random.default_rng(3)
if engine == "onnxruntime":
    from edge_ad.engines.onnxruntime import session_options, load_onnxruntime
    ort = load_onnxruntime()

    def run(model):
        session = ort.InferenceSession(model, session_options(ort, options), providers=["CPUExecutionProvider"])
        shape = [one if isinstance(one, int) else 1 for one in session.get_inputs()[0].shape]
        return session.run(None, {session.get_inputs()[0].name: filled(shape)})
else:
    from edge_ad.engines.openvino import openvino_config, switch_off_telemetry
    switch_off_telemetry()
    import openvino as ov

    def run(model):
        core = ov.Core()
        read = core.read_model(model)
        shape = [one.get_length() if one.is_static else 1 for one in read.input(0).partial_shape]
        read.reshape(shape)
        request = core.compile_model(read, "CPU", openvino_config(options, "fp32", "CPU")).create_infer_request()
        return list(request.infer({0: filled(shape)}).values())


def filled(shape):
    return np.full(shape, float(fill), np.float32) if fill else random.random(shape, np.float32)


np.savez(target, *[np.asarray(one) for model in models for one in run(model)])
"""
ENGINES = ("onnxruntime", "openvino")
MODELS = (
    "cookies/padim.onnx",
    "cookies/stfpm.onnx",
    "magnetic_tile/autoencoder.onnx",
    "backbones/squeezenet1_1_imagenet_features.onnx",
)


def outputs(engine: str, models: Sequence[Path], target: Path, *, flushes: bool, fill: str = "") -> list[bytes]:
    """The bytes of everything that the models give, one after the other in one process."""
    arguments = [engine, "yes" if flushes else "no", fill, str(target), *map(str, models)]
    subprocess.run([sys.executable, "-W", "ignore", "-c", _RUN, *arguments], check=True)
    with np.load(target) as found:
        return [found[name].tobytes() for name in found.files]


@pytest.mark.parametrize("engine", ENGINES)
def test_real_models_give_the_same_bits(shared: Path, tmp_path: Path, engine: str) -> None:
    models = [shared / "models" / name for name in MODELS]
    found = [outputs(engine, models, tmp_path / "out.npz", flushes=flushes) for flushes in (False, True)]
    assert len(found[0]) >= len(MODELS)
    assert found[0] == found[1]


def test_denormals_are_flushed_where_it_is_asked_for(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(np.array([0.5], np.float32), "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    off, on = (
        outputs("onnxruntime", [tmp_path / "m.onnx"], tmp_path / "out.npz", flushes=flushes, fill="1e-40")
        for flushes in (False, True)
    )
    assert off == [(np.full((1, 64), 1e-40, np.float32) * np.float32(0.5)).tobytes()]
    assert on == [bytes(4 * 64)]
