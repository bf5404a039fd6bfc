"""What each importer makes of a file, and the one line it answers a bad one with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import export_models
from support.export_models import RANGE, SIDE, THRESHOLD, Tail, Tiny

from edge_ad.errors import EdgeAdError, InputError, ModelError
from edge_ad_export import ImportOptions, ModelFile, Size, import_model
from edge_ad_export.reference.engine import ReferenceEngine


def plain(**changes: object) -> Tiny:
    names = {"input_name": "image", "score_name": "badness", "map_name": "where"}
    return Tiny(**{**names, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tiny", "external"),
    [
        pytest.param(Tiny(tail="clip", opset=14), False, id="legacy"),
        pytest.param(Tiny(tail="min-max", opset=14), False, id="first-2.x"),
        pytest.param(Tiny(tail="dynamo"), True, id="dynamo-external-data"),
        pytest.param(Tiny(tail="dynamo", batch=2), False, id="dynamo-batch-2"),
    ],
)
def test_anomalib_gives_the_score_and_map_before_its_normalisation(tmp_path: Path, tiny: Tiny, external: bool) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path, tiny, external=external)))

    raw = Tiny(batch=tiny.batch, opset=tiny.opset)
    frame = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    values = np.repeat(frame[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255), tiny.batch or 1, axis=0)
    score, anomaly_map = export_models.run(export_models.build(raw), values)
    engine = ReferenceEngine(imported)
    engine.input[:] = frame
    found = engine.run()
    assert imported.importer == "anomalib2"
    assert found.score == score[0, 0]
    assert found.map is not None
    np.testing.assert_array_equal(found.map, anomaly_map[0, 0])
    assert dict(imported.provenance) == {
        "baked_image_threshold": THRESHOLD,
        "baked_image_range": RANGE,
        "baked_pixel_threshold": THRESHOLD,
        "baked_pixel_range": RANGE,
    }


@pytest.mark.parametrize(
    ("tiny", "score", "anomaly_map"),
    [
        pytest.param(Tiny(), "pred_score", "anomaly_map", id="post-processor-off"),
        pytest.param(Tiny(with_map=False), "pred_score", None, id="no-map"),
    ],
)
def test_anomalib_without_normalisation_is_raw_already(
    tmp_path: Path, tiny: Tiny, score: str, anomaly_map: str | None
) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path, tiny)))

    assert (imported.score, imported.map) == (score, anomaly_map)
    assert set(imported.provenance.values()) == {None}
    assert imported.assumptions == ()


@pytest.mark.parametrize(
    ("tiny", "options", "score", "anomaly_map"),
    [
        pytest.param(plain(), ImportOptions(), "badness", "where", id="by-shape"),
        pytest.param(plain(score_name="a_score", map_name="map"), ImportOptions(), "a_score", "map", id="by-name"),
        pytest.param(plain(with_map=False), ImportOptions(), "badness", None, id="score-alone"),
        pytest.param(plain(with_score=False), ImportOptions(), None, "where", id="map-alone"),
        pytest.param(plain(batch=1), ImportOptions(map_output="where"), None, "where", id="only-the-one-named"),
        pytest.param(plain(tail="clip"), ImportOptions(score_output="val_12"), "val_12", None, id="inner-value"),
        pytest.param(Tiny(), ImportOptions(importer="onnx"), "pred_score", "anomaly_map", id="importer-named"),
    ],
)
def test_plain_onnx_finds_its_outputs(
    tmp_path: Path, tiny: Tiny, options: ImportOptions, score: str | None, anomaly_map: str | None
) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path, tiny)), options)

    assert (imported.importer, imported.score, imported.map) == ("onnx", score, anomaly_map)


def test_plain_onnx_says_what_it_assumes(tmp_path: Path) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path, plain(with_score=False))))

    assert imported.assumptions == (
        "assumed: colour order RGB (--color)",
        "assumed: pixels divided by 255 (--scale)",
        "assumed: no mean or standard deviation (--mean, --std)",
        "assumed: higher is more anomalous in where",
        "assumed: the score is the largest value of where (--score-output)",
    )


def test_plain_onnx_assumes_nothing_that_was_said(tmp_path: Path) -> None:
    said = ImportOptions(color="bgr", scale=1.0, mean=(1.0, 2.0, 3.0), std=(4.0,))

    imported = import_model(ModelFile(export_models.write(tmp_path, plain())), said)

    assert imported.assumptions == ("assumed: higher is more anomalous in badness",)
    assert (imported.input.color, imported.input.scale, imported.input.mean) == ("bgr", 1.0, (1.0, 2.0, 3.0))


def test_a_size_is_taken_where_the_model_takes_any(tmp_path: Path) -> None:
    path = export_models.write(tmp_path, Tiny(size=None))

    imported = import_model(ModelFile(path), ImportOptions(size=Size(40, 24)))

    assert imported.input.shape(1) == (1, 3, 24, 40)


@pytest.mark.parametrize(
    ("tiny", "options", "error", "message"),
    [
        pytest.param(
            Tiny(), ImportOptions(importer="torch"), InputError, r"choose one of anomalib2, .*onnx", id="importer"
        ),
        pytest.param(
            Tiny(), ImportOptions(color="bgr"), ModelError, "--color does not apply", id="contradicts-anomalib"
        ),
        pytest.param(
            plain(), ImportOptions(importer="anomalib2"), ModelError, "found badness, where", id="not-anomalib"
        ),
        pytest.param(Tiny(size=None), ImportOptions(), InputError, "--size WIDTHxHEIGHT", id="any-size"),
        pytest.param(Tiny(), ImportOptions(size=Size(8, 8)), InputError, "takes 32x32 pixels", id="other-size"),
        pytest.param(plain(), ImportOptions(color="gray"), ModelError, "which has 3 channels", id="gray-of-three"),
        pytest.param(
            plain(channels=1), ImportOptions(color="rgb"), ModelError, "which has 1 channels", id="rgb-of-one"
        ),
        pytest.param(plain(channels=4), ImportOptions(), ModelError, "--layout", id="four-channels"),
        pytest.param(plain(), ImportOptions(mean=(1.0, 2.0)), InputError, "--mean has 2 values", id="two-means"),
        pytest.param(
            plain(), ImportOptions(std=(0.0,)), InputError, "--std 0.0: expected numbers above 0", id="zero-std"
        ),
        pytest.param(plain(), ImportOptions(scale=-1.0), InputError, "--scale -1.0: expected", id="negative-scale"),
        pytest.param(
            plain(), ImportOptions(score_output="x"), ModelError, "no such value; inputs: image", id="no-such"
        ),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, tiny: Tiny, options: ImportOptions, error: type[EdgeAdError], message: str
) -> None:
    path = export_models.write(tmp_path, tiny)

    with pytest.raises(error, match=message):
        import_model(ModelFile(path), options)


def tensor(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


IMAGE = tensor("image", 1, 3, 8, 8)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        pytest.param([tensor("clip", 1, 8, 3, 8, 8)], [tensor("score", 1)], "expected one image", id="five-dimensions"),
        pytest.param([IMAGE], [tensor("a", 1), tensor("b", 1)],
                     "a and b .*--score-output.*outputs: a float.*b float", id="two-scores"),
        pytest.param([IMAGE], [tensor("a", 1, 1, 4, 4), tensor("b", 1, 1, 8, 8)],
                     "a and b .*--map-output", id="two-maps"),
        pytest.param([IMAGE], [tensor("logits", 1, 1000)],
                     "no output.*--score-output or --map-output.*logits float", id="classifier"),
        pytest.param([tensor("image", 1, 1, 8, 8)], [tensor("plane", 1, 1, 8, 8)],
                     "no output.*plane float", id="map-or-reconstruction"),
    ],
)  # fmt: skip
def test_plain_onnx_never_guesses(
    tmp_path: Path, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], message: str
) -> None:
    nodes = [helper.make_node("Reshape", [inputs[0].name, f"{o.name}_shape"], [o.name]) for o in outputs]
    shapes = [
        helper.make_tensor(f"{o.name}_shape", TensorProto.INT64, [len(dims)], dims)
        for o in outputs
        for dims in [[d.dim_value for d in o.type.tensor_type.shape.dim]]
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, shapes), ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(ModelError, match=message):
        import_model(ModelFile(tmp_path / "model.onnx"))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.onnx does not exist"):
        ModelFile(tmp_path / "gone.onnx")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        ModelFile(tmp_path)


@pytest.mark.parametrize("keep", [pytest.param(0.5, id="half"), pytest.param(0.99, id="most")])
def test_truncated_file(tmp_path: Path, keep: float) -> None:
    path = export_models.write(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])

    with pytest.raises(ModelError, match=r"model\.onnx .*truncated"):
        import_model(ModelFile(path))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")

    with pytest.raises(InputError, match=r"model\.onnx.* is empty"):
        import_model(ModelFile(tmp_path / "model.onnx"))


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path = export_models.write(tmp_path, external=True)
    (tmp_path / "model.onnx.data").unlink()

    with pytest.raises(ModelError, match=r"weights in model\.onnx\.data, which is not beside it"):
        import_model(ModelFile(path))


def test_truncated_external_data_is_named(tmp_path: Path) -> None:
    path = export_models.write(tmp_path, external=True)
    data = tmp_path / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:100])

    with pytest.raises(ModelError, match=r"model\.onnx\.data .*truncated: expected at least \d+ bytes, found 100"):
        import_model(ModelFile(path))


def test_the_hash_covers_external_data(tmp_path: Path) -> None:
    path = export_models.write(tmp_path, external=True)
    before = ModelFile(path).sha256
    data = tmp_path / "model.onnx.data"
    changed = bytearray(data.read_bytes())
    changed[0] ^= 1
    data.write_bytes(changed)

    assert ModelFile(path).sha256 != before


@pytest.mark.parametrize("tail", ["clip", "min-max", "dynamo"])
def test_import_does_not_change_the_file_or_the_graph(tmp_path: Path, tail: Tail) -> None:
    path = export_models.write(tmp_path, Tiny(tail=tail))
    before = path.read_bytes()
    file = ModelFile(path)
    nodes = [node.op_type for node in file.onnx.graph]

    import_model(file)

    assert path.read_bytes() == before
    assert [node.op_type for node in file.onnx.graph] == nodes
