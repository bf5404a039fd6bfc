"""A graph with rare operators is run in OpenVINO in a process of its own first: a crash costs its variants alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.field_cli import check_scores, export, exported
from support.field_models import SIDE, Net, c2_of, small_c2, small_model, write_pictures

from edge_ad.errors import ModelError
from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.embedded import embed
from edge_ad_export.importers import engine_trial as importer_trial
from edge_ad_export.importers.engine_trial import run_onnxruntime_once
from edge_ad_export.lowering import engine_trial
from edge_ad_export.lowering.engine_trial import rare_operators, run_openvino_once, try_openvino

HALF = SIDE // 2
MS = "com.microsoft"


def with_mish() -> Net:
    """The small model with an operator behind it that few models have."""
    net = Net(18)
    net.op("Mish", net.op("Abs", small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))), out="map")
    net.output("map", [1, 1, HALF, HALF])
    return net


def mish(pixels: np.ndarray) -> np.ndarray:
    plain = np.abs(c2_of(pixels))
    return plain * np.tanh(np.log1p(np.exp(plain)))


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process that dies of a signal in place of the one that runs the graph."""

    def crash(step: str, function: str, **arguments: object) -> None:
        assert function.endswith(":run_openvino_once")
        assert Path(str(arguments["path"])).is_file()
        run_isolated(step, "os:abort")

    monkeypatch.setattr(engine_trial, "run_isolated", crash)


def test_common_graphs_are_not_tried_apart(crashing: None) -> None:
    model = ir.from_proto(small_model(batch=1).proto())
    assert rare_operators(model) == ()
    try_openvino(model, None)


def test_operators_of_other_domains_are_rare() -> None:
    net = Net()
    net.op("Gelu", net.input("input", [1, 3]), out="y", domain="com.microsoft")
    net.output("y", [1, 3])
    assert rare_operators(ir.from_proto(net.proto())) == ("Gelu",)


def test_what_lies_in_an_openvino_model_is_looked_at(tmp_path: Path) -> None:
    import openvino

    model = openvino.convert_model(with_mish().save(tmp_path / "m.onnx"))
    assert rare_operators(embed(model)) == ("Mish",)


def test_a_crash_costs_the_openvino_variants(tmp_path: Path, crashing: None) -> None:
    images = write_pictures(tmp_path / "img")
    made = exported(with_mish().save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=())
    check_scores(made, mish)
    rejected = {name: str(trial["rejected"]) for name, trial in made.trials.items() if name.startswith("openvino-")}
    assert {"openvino-fp32", "openvino-fp16", "openvino-int8"} <= rejected.keys()
    assert all("Mish" in why and "SIGABRT" in why for why in rejected.values()), rejected


def test_a_crash_on_an_openvino_model_is_a_line(tmp_path: Path, crashing: None) -> None:
    import openvino

    images = write_pictures(tmp_path / "img")
    source = with_mish().save(tmp_path / "m.onnx")
    openvino.save_model(openvino.convert_model(source), tmp_path / "ir" / "m.xml", compress_to_fp16=False)
    done = export(tmp_path / "ir" / "m.xml", images, tmp_path / "out" / "b", variants=())
    assert done.refused("Mish", "SIGABRT")


@pytest.fixture
def crashing_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process that dies in place of the one that runs the model in ONNX Runtime."""

    def crash(step: str, function: str, **arguments: object) -> None:
        assert function.endswith(":run_onnxruntime_once")
        assert Path(str(arguments["path"])).is_file()
        run_isolated(step, "os:abort")

    monkeypatch.setattr(importer_trial, "run_isolated", crash)


def with_quick_gelu() -> Net:
    net = Net()
    net.op("QuickGelu", net.op("Abs", small_c2(net, net.input("input", ["b", 3, "h", "w"]))), out="map", domain=MS)
    net.output("map", ["b", 1, "rows", "columns"])
    return net


def test_a_crash_of_onnxruntime_is_a_line(tmp_path: Path, crashing_onnxruntime: None) -> None:
    images = write_pictures(tmp_path / "img")
    model = with_quick_gelu().save(tmp_path / "m.onnx")
    done = export(model, images, tmp_path / "out" / "b", "--size", "96x96")
    assert done.refused("ONNX Runtime", "QuickGelu", "SIGABRT")


def test_standard_operators_are_not_tried_apart(tmp_path: Path, crashing_onnxruntime: None) -> None:
    images = write_pictures(tmp_path / "img")
    exported(small_model(batch=1).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")


@pytest.mark.parametrize("sides", [[96, 96], []])
def test_the_child_runs_a_model_of_any_size_and_is_silent_of_errors(tmp_path: Path, sides: list[int]) -> None:
    path = with_quick_gelu().save(tmp_path / "m.onnx")
    run_onnxruntime_once(str(path), sides)
    path.write_bytes(b"no model")
    run_onnxruntime_once(str(path), sides)


@pytest.mark.usefixtures("new_interpreters")
def test_a_graph_that_runs_is_kept(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "img")
    model = with_mish().save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=("onnx-fp32", "openvino-fp32"))
    check_scores(made, mish, variants=("onnx-fp32", "openvino-fp32"))


@pytest.mark.usefixtures("new_interpreters")
def test_what_the_child_finds_is_said(tmp_path: Path) -> None:
    import openvino

    path = tmp_path / "m.xml"
    openvino.save_model(openvino.convert_model(with_mish().save(tmp_path / "m.onnx")), path)
    run_openvino_once(str(path))
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelError, match="Mish"):
        run_isolated("running Mish", "edge_ad_export.lowering.engine_trial:run_openvino_once", path=str(path))
