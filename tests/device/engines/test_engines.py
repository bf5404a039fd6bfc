"""Engines behind one protocol: same graph, same scores, and a contract that is held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from support import tiny

from edge_ad.bundle import Bundle
from edge_ad.engines import ENGINES, Artefact, Engine, EngineOptions, open_engine
from edge_ad.engines.base import CompilingEngine
from edge_ad.engines.onnxruntime import OnnxRuntimeEngine
from edge_ad.engines.openvino import check_precision, load_openvino
from edge_ad.errors import EngineError, InputError
from edge_ad_calibration.scoring import ScoreJob
from edge_ad_calibration.scoring.opened import open_job


def opened(bundle: Path, variant: str, options: EngineOptions | None = None) -> Engine:
    source = Bundle.open(bundle)
    chosen = source.variant(variant)
    return open_engine(chosen.engine, source.artefact(chosen), options)


VARIANTS = ["onnx-fp32", "openvino-fp32"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_engine_computes_the_graph(tiny_bundle: Path, variant: str) -> None:
    engine = opened(tiny_bundle, variant)
    for frame in (np.random.default_rng(s).integers(0, 256, (32, 32, 3), np.uint8) for s in range(3)):
        engine.input[0] = frame
        output = engine.run()
        expected = frame.reshape(4, 8, 4, 8, 3).mean((1, 3, 4)) / 255
        assert output.map is not None
        np.testing.assert_allclose(output.map, expected, rtol=1e-5)
        assert output.score == pytest.approx(expected.max(), rel=1e-5)
    engine.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_engine_says_what_it_runs_on(tiny_bundle: Path, variant: str) -> None:
    engine = opened(tiny_bundle, variant, EngineOptions(threads=1))
    assert engine.info.name in ENGINES
    assert engine.info.threads == 1
    assert engine.info.device in {"CPU", "CPUExecutionProvider"}
    engine.close()


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        pytest.param("onnx-fp32", "ONNX Runtime, which .* has no XPU here: choose .*CPU", id="onnxruntime"),
        pytest.param("openvino-fp32", "OpenVINO, which .* has no XPU here: choose .*CPU", id="openvino"),
    ],
)
def test_an_unknown_device_lists_the_known_ones(tiny_bundle: Path, variant: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        opened(tiny_bundle, variant, EngineOptions(device="XPU"))


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="onnxruntime, openvino"):
        open_engine("tensorrt", Artefact(b""))


@pytest.mark.parametrize("engine", ENGINES)
def test_garbage_is_one_line(engine: str, tmp_path: Path) -> None:
    path = tmp_path / ("model.onnx" if engine == "onnxruntime" else "model.xml")
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match="cannot load the model") as caught:
        open_engine(engine, Artefact(path))
    assert "\n" not in str(caught.value)


def identity(shape: list[int | str], dtype: int, names: tuple[str, str] = ("frame", "score")) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", [names[0]], [names[1]])],
        "g",
        [helper.make_tensor_value_info(names[0], dtype, shape)],
        [helper.make_tensor_value_info(names[1], dtype, shape)],
    )
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()
    return made


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(identity([1, 8, 8, 3], TensorProto.UINT8, ("image", "score")), r"found \[image\]", id="input"),
        pytest.param(identity([1, 8, 8, 3], TensorProto.UINT8, ("frame", "y")), r"\[y\]", id="output"),
        pytest.param(identity([1, 8, 8, 3], TensorProto.FLOAT), "frame does not follow", id="float-frame"),
        pytest.param(identity(["n", 8, 8, 3], TensorProto.UINT8), "fixed dimensions", id="dynamic"),
        pytest.param(identity([1, 8, 8, 3], TensorProto.UINT8), "score does not follow", id="score-shape"),
    ],
)
def test_a_model_off_the_contract_is_refused(model: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        open_engine("onnxruntime", Artefact(model))


def test_openvino_keeps_its_cache_where_it_was_told(tiny_bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    engine = opened(tiny_bundle, "openvino-fp32", EngineOptions(cache_dir=cache))
    assert list(cache.iterdir()) == []
    assert isinstance(engine, CompilingEngine)
    engine.keep_compiled()
    engine.close()
    assert list(cache.iterdir())


def test_onnx_runtime_refuses_a_cache(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cache"):
        opened(tiny_bundle, "onnx-fp32", EngineOptions(cache_dir=tmp_path))


def test_a_score_alone_is_a_whole_model() -> None:
    engine = open_engine("onnxruntime", Artefact(tiny.model(with_map=False).SerializeToString()))
    engine.input[:] = 255
    assert engine.run().map is None
    assert engine.run().score == pytest.approx(1)


def test_threads_that_do_not_spin_compute_the_same_bits(tiny_bundle: Path) -> None:
    spinning, resting = (opened(tiny_bundle, "onnx-fp32", EngineOptions(spin=spin)) for spin in (True, False))
    for engine in (spinning, resting):
        engine.input[0] = tiny.frames(1, shape=(32, 32, 3))[0]
    found, expected = resting.run(), spinning.run()
    assert found.score == expected.score
    np.testing.assert_array_equal(found.map, expected.map)
    assert resting.info == spinning.info
    spinning.close()
    resting.close()


@pytest.mark.parametrize(("spin", "entry"), [(True, None), (False, "0")], ids=["spins", "rests"])
def test_onnx_runtime_is_told_whether_to_spin(tiny_bundle: Path, spin: bool, entry: str | None) -> None:
    engine = opened(tiny_bundle, "onnx-fp32", EngineOptions(spin=spin))
    assert spinning_entry(engine) == entry
    engine.close()


def test_scoring_leaves_the_cores_to_the_decoders(tiny_bundle: Path) -> None:
    job = open_job(ScoreJob(bundle=tiny_bundle, variant="onnx-fp32"))
    assert spinning_entry(job.scorer.engine) == "0"
    job.close()


def spinning_entry(engine: Engine) -> str | None:
    """What ONNX Runtime says of its session; ``None``: nothing was set."""
    assert isinstance(engine, OnnxRuntimeEngine)
    options = engine._session.get_session_options()
    try:
        entry: str = options.get_session_config_entry("session.intra_op.allow_spinning")
    except RuntimeError:
        return None
    return entry


AVX2 = ["FP32", "INT8", "BIN", "EXPORT_IMPORT"]
AMX = ["BF16", "FP16", "FP32", "INT8", "BIN", "EXPORT_IMPORT"]


@pytest.mark.parametrize(
    ("precision", "capabilities"),
    [
        pytest.param("bf16", AMX, id="bf16-where-it-can"),
        pytest.param("fp32", AVX2, id="fp32"),
        pytest.param("fp16", AVX2, id="fp16-is-storage-alone"),
        pytest.param("int8", AVX2, id="int8"),
    ],
)
def test_a_precision_that_the_device_has(precision: str, capabilities: list[str]) -> None:
    check_precision(precision, "CPU", capabilities)


def test_bfloat16_on_a_device_without_it_is_refused() -> None:
    with pytest.raises(EngineError) as caught:
        check_precision("bf16", "CPU", AVX2)

    assert str(caught.value) == (
        "the variant calculates in bfloat16, and OpenVINO's CPU does not do that here: expected BF16 among its "
        "capabilities, found FP32, INT8, BIN, EXPORT_IMPORT; choose another --variant"
    )


HERE = load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def open_bf16(bundle: Path) -> Engine:
    source = Bundle.open(bundle)
    return open_engine("openvino", source.artefact(source.variant("openvino-fp32")), precision="bf16")


@pytest.mark.skipif("BF16" in HERE, reason="this CPU calculates in bfloat16")
def test_a_bf16_variant_is_refused_here(tiny_bundle: Path) -> None:
    with pytest.raises(EngineError, match="expected BF16 among its capabilities"):
        open_bf16(tiny_bundle)


@pytest.mark.skipif("BF16" not in HERE, reason="this CPU does not calculate in bfloat16")
def test_a_bf16_variant_calculates_in_bfloat16(tiny_bundle: Path) -> None:
    engine = open_bf16(tiny_bundle)
    engine.input[0] = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)

    score = engine.run().score

    assert score == pytest.approx(engine.input.reshape(4, 8, 4, 8, 3).mean((1, 3, 4)).max() / 255, rel=2e-2)
    assert engine.info.precision == "bf16"
    engine.close()
