"""What an export makes of an extractor: its input, its variants, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from support import export_onnx, tiny_stages

from edge_ad.cli import main
from edge_ad.errors import InputError, ModelError
from edge_ad.scoring.verification import verify_bundle
from edge_ad_export import ExportRequest, Gate, ImportOptions, export_bundle
from edge_ad_export.files.torch_file import TorchOptions
from edge_ad_export.importers.extractor import ExtractorOptions, import_extractor
from edge_ad_export.model.clip_spec import ClipOptions


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., ExportRequest]:
    return partial(tiny_stages.make_request, tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_the_extractor_is_quantized_and_the_scorer_is_not(request_for: Callable[..., ExportRequest]) -> None:
    gate = Gate(min_spearman=-1, max_roc_auc_lost=1, max_more_false_rejects=1)
    request = replace(request_for(), variants=("onnx-int8", "openvino-int8"), gate=gate, effort="low")
    bundle = export_bundle(request).bundle
    first, second = bundle.manifest.variants
    assert (first.id, second.id) == ("onnx-int8", "openvino-int8")
    graphs = [onnx.load(bundle.path / str(name)).graph for name in (first.model, first.extractor)]
    assert [any(node.op_type == "QuantizeLinear" for node in graph.node) for graph in graphs] == [False, True]
    texts = [(bundle.path / str(name)).read_text() for name in (second.model, second.extractor)]
    assert ["FakeQuantize" in text for text in texts] == [False, True]
    assert [len(one.replays) for one in verify_bundle(bundle.path).variants] == [3, 3]


def test_what_int8_spoils_is_put_back_to_float_in_the_extractor(request_for: Callable[..., ExportRequest]) -> None:
    gate = Gate(min_spearman=0.992, max_roc_auc_lost=1, max_more_false_rejects=1)
    request = replace(request_for(), variants=("onnx-fp32", "openvino-int8"), gate=gate)
    manifest = export_bundle(request).bundle.manifest
    trials = {trial.id: trial for trial in manifest.trials}
    assert "rank correlation" in str(trials["openvino-int8"].rejected)
    assert "1 of 2 operations in float" in str(trials["openvino-mixed"].made)


def test_an_extractor_that_exists_in_openvino_alone_has_variants_there(
    request_for: Callable[..., ExportRequest], tmp_path: Path
) -> None:
    import openvino as ov

    request = request_for("grid")
    assert request.extractor is not None
    ov.save_model(ov.convert_model(request.extractor.model), tmp_path / "backbone.xml", compress_to_fp16=False)
    request = replace(request, variants=(), effort="low", extractor=ExtractorOptions(tmp_path / "backbone.xml", "grid"))
    manifest = export_bundle(request).bundle.manifest
    trials = {trial.id: trial for trial in manifest.trials}
    assert {name.partition("-")[0] for name in trials} == {"openvino"}
    fidelity = trials["openvino-fp32"].fidelity
    assert fidelity is not None
    assert fidelity.score_max_rel < 1e-5


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(
            lambda r, d: replace(r, model=tiny_stages.write_scorer(d / "five.onnx", 5)),
            (InputError, ModelError),
            "--size 6x1 does not fit|makes vectors of 6 features, and the scorer takes 5",
            id="another length",
        ),
        pytest.param(
            lambda r, _: replace(r, extractor=replace(r.extractor, output="nothing")),
            ModelError,
            "the model has no value nothing",
            id="no such value",
        ),
        pytest.param(
            lambda r, _: replace(r, importing=replace(r.importing, clip=None)),
            InputError,
            "--extractor makes vectors for a scorer of clips: say --clip-length T or --family mil",
            id="no clip",
        ),
        pytest.param(
            lambda r, _: replace(r, importing=replace(r.importing, clip=ClipOptions(input="flow"))),
            InputError,
            "of pictures, not of flow",
            id="flow",
        ),
        pytest.param(
            lambda r, d: replace(r, images=vector_file(d)),
            InputError,
            "this model takes pictures: a video or a folder of frames",
            id="vectors for pictures",
        ),
        pytest.param(
            lambda r, _: replace(r, extractor=None, importing=replace(r.importing, clip=ClipOptions(input="features"))),
            InputError,
            "this model takes an .npy file of vectors",
            id="pictures for vectors",
        ),
        pytest.param(
            lambda r, d: replace(r, extractor=ExtractorOptions(tiny_stages.write_extractor(d / "two.onnx", batch=2))),
            ModelError,
            "insists on 2 images at once",
            id="batch",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    request_for: Callable[..., ExportRequest],
    tmp_path: Path,
    change: Callable[[ExportRequest, Path], ExportRequest],
    error: type[Exception],
    message: str,
) -> None:
    request = change(request_for(), tmp_path)
    with pytest.raises(error, match=message):
        export_bundle(request)
    assert not request.target.exists()


def vector_file(folder: Path) -> str:
    np.save(folder / "normal.npy", np.random.default_rng(0).random((40, 6), np.float32))
    return str(folder / "normal.npy")


@pytest.mark.parametrize(
    ("shape", "said", "order", "snippet"),
    [
        pytest.param("1, 3, 16, 16", {}, None, 1, id="picture"),
        pytest.param("1, 3, 4, 16, 16", {}, "cthw", 4, id="cthw"),
        pytest.param("1, 4, 3, 16, 16", {}, "tchw", 4, id="tchw"),
        pytest.param("1, 4, 16, 16, 3", {}, "thwc", 4, id="thwc"),
        pytest.param("1, 12, 16, 16", {"order": "stacked"}, "stacked", 4, id="stacked"),
        pytest.param("1, 3, t, 16, 16", {"length": 5}, "cthw", 5, id="any length"),
    ],
)
def test_what_an_extractor_takes_is_read_from_its_shape(
    tmp_path: Path, shape: str, said: dict[str, Any], order: str | None, snippet: int
) -> None:
    nodes = "vector = ReduceMean<keepdims: int = 0>(clip, places)"
    places = [axis for axis, side in enumerate(shape.split(", ")) if axis and side not in ("3", "12")]
    size = 12 if "12" in shape else 3
    model = export_onnx.graph(f"float[{shape}] clip", f"float[1, {size}] vector", nodes, places=np.array(places))
    options = ExtractorOptions(tiny_stages.write(tmp_path / "e.onnx", model), length=said.get("length"))
    importing = ImportOptions(clip=ClipOptions(order=said.get("order")))
    found = import_extractor(options, importing, TorchOptions())
    clip = found.model.input.clip
    assert (found.snippet, found.size) == (snippet, size)
    assert getattr(clip, "order", None) == order


def test_an_extractor_of_any_length_asks_for_one(tmp_path: Path) -> None:
    nodes = "vector = ReduceMean<keepdims: int = 0>(clip, places)"
    graph = export_onnx.graph("float[1, 3, t, 16, 16] clip", "float[1, 3] vector", nodes, places=np.array([2, 3, 4]))
    options = ExtractorOptions(tiny_stages.write(tmp_path / "e.onnx", graph))
    with pytest.raises(InputError, match="say how long with --extractor-length"):
        import_extractor(options, ImportOptions(clip=ClipOptions()), TorchOptions())


def test_half_an_extractor_is_refused(request_for: Callable[..., ExportRequest]) -> None:
    request = request_for()
    arguments = ["export", request.model, "--images", request.images, "-o", request.target, "--family", "mil"]
    done = run(*arguments, "--extractor-output", "vector")
    assert done.exit_code == 2
    assert "--extractor-output and --extractor-length are about an extractor" in done.output
