"""Quantization of a tiny model: int8, layers back to float, the search, speed, targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import export_models, tiny
from support.export_models import SIDE, Tiny, with_one_wide_channel

from edge_ad.bundle.records import Fidelity, Variant
from edge_ad.engines.processor import Processor
from edge_ad.errors import InputError, ModelError
from edge_ad_export import ExportRequest, Gate, ModelFile, export_bundle, import_model
from edge_ad_export.lowering.contract import lower
from edge_ad_export.lowering.recipes import RECIPES, FloatModel, calculates_bf16_here, chosen_recipes
from edge_ad_export.quantize.quantizers import quantize_apart
from edge_ad_export.quantize.settings import TARGETS, Plan, Target, choose_target, settings_for
from edge_ad_export.variants.mixed_precision import fewest_floats, rank_layers
from edge_ad_export.variants.probes import Probes, Runner
from edge_ad_export.variants.quantizer import Quantizer, open_quantizer
from edge_ad_export.variants.result import TimedVariant, most_in_float, not_worth_shipping, outpaced_by, pick_default

EngineName = Literal["onnxruntime", "openvino"]
ENGINES = ("onnxruntime", "openvino")
ENDINGS = {"onnxruntime": "onnx", "openvino": "xml"}
VNNI, AVX2 = (Processor("x86_64", frozenset(sets)) for sets in (("avx2", "avx_vnni"), ("avx2",)))
ARM = Processor("aarch64", frozenset({"asimd"}))
THIS = choose_target("this", Processor("x86_64", frozenset({"avx2", "avx512_vnni"})))


def pixels(count: int, seed: int) -> list[NDArray[np.uint8]]:
    return [image[None] for image in export_models.parts(count, seed=seed, shape=(SIDE, SIDE, 3))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ir.Model:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    ir.save(with_one_wide_channel(export_models.build(Tiny())), path)
    return lower(import_model(ModelFile(path)), lambda _: True).model


@pytest.fixture(scope="module")
def quantizer(model: ir.Model) -> Iterator[Quantizer]:
    with open_quantizer(_for_both(model), Plan("normal", THIS, 1)) as made:
        made.use_calibration_data(pixels(6, seed=1), pixels(6, seed=2))
        yield made


EVERY_MODEL = [name for name in RECIPES if not name.endswith("shortlist")]


def _for_both(model: ir.Model) -> dict[EngineName, FloatModel]:
    return dict.fromkeys(("onnxruntime", "openvino"), FloatModel(model))


def float_file(model: ir.Model, engine: EngineName, folder: Path) -> Path:
    recipe = RECIPES["openvino-fp32" if engine == "openvino" else "onnx-fp32"]
    path = folder / f"float.{ENDINGS[engine]}"
    recipe.write(FloatModel(model), path, None)
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_go_back_to_float_one_by_one(
    model: ir.Model, quantizer: Quantizer, engine: EngineName, tmp_path: Path
) -> None:
    runner = Runner(engine, 1)
    probes = Probes(pixels(6, seed=3), float_file(model, engine, tmp_path), runner)
    quantized = quantizer.int8(engine).quantized
    path = tmp_path / f"candidate.{ENDINGS[engine]}"

    def damage(*floats: str) -> float:
        quantized.save(path, floats)
        return probes.damage(probes.run(path, runner))

    whole = damage()
    assert whole > 0.1
    assert damage(*quantized.layers) < whole / 10  # not nothing: OpenVINO keeps float weights in 16 bits
    assert min(damage(layer) for layer in quantized.layers) < whole
    assert damage() == whole


@pytest.mark.parametrize("engine", ENGINES)
def test_the_most_harmful_layer_comes_first(
    model: ir.Model, quantizer: Quantizer, engine: EngineName, tmp_path: Path
) -> None:
    runner = Runner(engine, 1)
    probes = Probes(pixels(6, seed=3), float_file(model, engine, tmp_path), runner)
    quantized = quantizer.int8(engine).quantized

    ranking = rank_layers(quantized, probes, runner, tmp_path, np.inf)

    path = tmp_path / f"left.{ENDINGS[engine]}"
    left = []
    for layer in ranking.layers:
        quantized.save(path, (layer,))
        left.append(probes.damage(probes.run(path, runner)))
    assert sorted(ranking.layers) == sorted(quantized.layers)
    assert left == sorted(left)


def test_a_ranking_without_time_keeps_the_order_of_suspicion(
    model: ir.Model, quantizer: Quantizer, tmp_path: Path
) -> None:
    runner = Runner("onnxruntime", 1)
    probes = Probes(pixels(2, seed=3), float_file(model, "onnxruntime", tmp_path), runner)
    quantized = quantizer.int8("onnxruntime").quantized

    ranking = rank_layers(quantized, probes, runner, tmp_path, -np.inf)

    assert (ranking.layers, ranking.unmeasured) == (quantized.layers, len(quantized.layers))


@given(count=st.integers(2, 200), needed=st.integers(1, 250))
def test_as_few_layers_in_float_as_the_gate_needs(count: int, needed: int) -> None:
    asked = []

    def holds(floats: int) -> bool:
        asked.append(floats)
        return floats >= needed

    expected = needed if needed < count else None
    assert fewest_floats(count - 1, holds) == expected
    assert len(asked) <= 2 + count.bit_length()


@pytest.mark.parametrize("engine", ENGINES)
def test_mixed_takes_more_float_where_the_gate_asks_for_more(quantizer: Quantizer, engine: EngineName) -> None:
    all_of_them = len(quantizer.int8(engine).quantized.layers)
    gates = [Gate(-1, correlation) for correlation in (-1, 0.9, 0.9999, 1.0)]
    found = [quantizer.mixed(engine, gate) for gate in gates]

    counts = [all_of_them if mixed is None else mixed.count for mixed in found]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, all_of_them)


def test_no_effort_no_mixed_variant(model: ir.Model) -> None:
    with open_quantizer(_for_both(model), Plan("low", THIS, 1)) as quantizer:
        assert quantizer.mixed("onnxruntime", Gate()) is None


@pytest.mark.parametrize(("engine", "least"), [("onnx", 0.98), ("openvino", 0.99)])
def test_what_fails_the_gate_in_int8_is_shipped_in_mixed_precision(tmp_path: Path, engine: str, least: float) -> None:
    ir.save(with_one_wide_channel(export_models.build(Tiny())), tmp_path / "model.onnx")
    request = ExportRequest(
        model=tmp_path / "model.onnx",
        images=tiny.write_images(tmp_path / "normals", export_models.parts(12)),
        target=tmp_path / "part",
        gate=Gate(0.5, least, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1),
        variants=(f"{engine}-fp32", f"{engine}-int8"),
        target_cpus=("x86-avx2",),  # no variant is left out for its latency
        report=tmp_path / "page.html",
        threads=1,
    )
    said: list[str] = []

    trials = {trial.id: trial for trial in export_bundle(request, said.append).bundle.manifest.trials}

    assert list(trials) == [f"{engine}-{form}" for form in ("fp32", "int8", "mixed")]
    assert "map correlation" in str(trials[f"{engine}-int8"].rejected)
    assert [line for line in said if "looking for the operations that do most harm" in line]
    assert trials[f"{engine}-mixed"].rejected is None
    assert " operations in float" in str(trials[f"{engine}-mixed"].made)
    assert f"{engine}-mixed" in (tmp_path / "page.html").read_text()


def test_for_another_cpu_latency_decides_nothing(tmp_path: Path) -> None:
    request = ExportRequest(
        model=export_models.write(tmp_path, Tiny()),
        images=tiny.write_images(tmp_path / "normals", export_models.parts(5)),
        target=tmp_path / "part",
        variants=("onnx-fp32", "openvino-fp32", "openvino-fp16"),
        target_cpus=("arm64",),
        gate=Gate(-1, -1, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1),
        report=tmp_path / "page.html",
        threads=1,
    )
    said: list[str] = []

    manifest = export_bundle(request, said.append).bundle.manifest

    assert [trial.rejected for trial in manifest.trials] == [None] * 3
    assert manifest.default_variant == "openvino-fp16"
    assert manifest.provenance["target_cpu"] == "arm64"
    assert [line for line in said if "latencies are this machine's and were not measured there" in line]
    assert "Made for arm64: the latencies on this page were not measured there." in (tmp_path / "page.html").read_text()


def test_a_quantizer_that_fails_is_named_in_one_line(tmp_path: Path) -> None:
    model = ir.from_onnx_text(
        '<ir_version: 8, opset_import: ["" : 18]> g (uint8[1, 4, 4, 3] frame) => (float[1] score) '
        "<int64[4] all = {0, 1, 2, 3}, int64[1] one = {1}> "
        "{ x = Cast<to=1>(frame) m = ReduceMax<keepdims=0>(x, all) score = Reshape(m, one) }"
    )
    ir.save(model, tmp_path / "float.onnx")
    np.save(tmp_path / "pixels.npy", np.zeros((2, 4, 4, 3), np.uint8))

    with pytest.raises(ModelError, match=r"^quantizing with NNCF, .* failed: .*no convolution .* to quantize$"):
        quantize_apart(
            tmp_path / "float.onnx", tmp_path / "pixels.npy", tmp_path / "int8.onnx",
            settings_for("openvino", "low", THIS)[0],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "processor", "signed", "seven_bits", "first"),
    [
        pytest.param("this", AVX2, False, True, "openvino-int8", id="this-avx2"),
        pytest.param("this", VNNI, False, False, "openvino-int8", id="this-vnni"),
        pytest.param("this", replace(VNNI, max_isa="AVX2"), False, True, "openvino-int8", id="this-held-to-avx2"),
        pytest.param("this", ARM, True, False, "onnx-int8", id="this-arm"),
        pytest.param("x86-avx2", ARM, False, True, "openvino-int8", id="avx2"),
        pytest.param("x86-vnni", AVX2, False, False, "openvino-int8", id="vnni"),
        pytest.param("arm64", AVX2, True, False, "onnx-int8", id="arm64"),
    ],
)
def test_targets(
    name: Literal["this", "x86-avx2", "x86-vnni", "arm64"],
    processor: Processor,
    signed: bool,
    seven_bits: bool,
    first: str,
) -> None:
    target = choose_target(name, processor)

    assert (target.signed_activations, target.seven_bit_weights, target.preference[0]) == (signed, seven_bits, first)
    assert target.measured is (name == "this")
    settings = settings_for("onnxruntime", "normal", target)
    assert {(one.signed, one.seven_bits) for one in settings} == {(signed, seven_bits)}


@pytest.mark.parametrize(("target", "in_int8"), [("x86-avx2", False), ("x86-vnni", True)])
def test_openvino_makes_shortlists_in_float_without_vnni(target: str, *, in_int8: bool) -> None:
    assert {one.shortlists for one in settings_for("openvino", "high", TARGETS[target])} == {in_int8}
    assert all(one.shortlists for one in settings_for("onnxruntime", "high", TARGETS[target]))


def timed(name: str, latencies_ms: list[float], size_bytes: int = 100) -> TimedVariant:
    return TimedVariant(RECIPES[name], latencies_ms, size_bytes)


@pytest.mark.parametrize(
    ("mine", "size", "expected"),
    [
        pytest.param([1.0, 2.0, 3.0], 50, None, id="equal-and-smaller"),
        pytest.param([1.04, 2.08, 3.12], 89, None, id="within-the-noise-and-smaller"),
        pytest.param([1.2, 2.4, 3.6], 25, "1.20 times as slow as openvino-fp32, which is more precise", id="slower"),
        pytest.param([0.5, 1.0, 9.0], 100, None, id="one-bad-round"),
        pytest.param([0.9, 1.8, 2.7], 100, None, id="faster"),
        pytest.param(
            [0.96, 2.0, 3.0], 91, "neither faster nor smaller than openvino-fp32, which is more precise", id="no-gain"
        ),
    ],
)
def test_int8_has_to_be_faster_or_smaller(mine: list[float], size: int, expected: str | None) -> None:
    others = [timed("onnx-fp32", [0.1] * 3, 10), timed("openvino-fp32", [1.0, 2.0, 3.0])]

    assert not_worth_shipping(timed("openvino-int8", mine, size), others) == expected


def test_16_bits_need_not_be_smaller_in_a_small_file() -> None:
    assert not_worth_shipping(timed("openvino-fp16", [1.0]), [timed("openvino-fp32", [1.0])]) is None


@pytest.mark.parametrize(
    ("mine", "other", "slower"),
    [
        pytest.param("openvino-bf16", "openvino-fp32", True, id="bf16-after-fp32"),
        pytest.param("openvino-bf16", "openvino-fp16", True, id="bf16-after-fp16"),
        pytest.param("openvino-bf16", "openvino-int8", False, id="bf16-before-int8"),
        pytest.param("openvino-int8", "openvino-bf16", True, id="int8-after-bf16"),
        pytest.param("openvino-fp16", "openvino-bf16", False, id="fp16-before-bf16"),
    ],
)
def test_what_counts_as_more_precise(mine: str, other: str, slower: bool) -> None:
    slow, fast = timed(mine, [2.0] * 3), timed(other, [1.0] * 3)

    assert (not_worth_shipping(slow, [slow, fast]) is not None) is slower


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        pytest.param(0.5, 0.9, id="twice-as-fast"),
        pytest.param(0.75, 0.8, id="a-quarter-faster"),
        pytest.param(0.97, 0.0, id="hardly-faster"),
        pytest.param(1.5, 0.0, id="slower"),
    ],
)
def test_how_much_of_an_int8_variant_may_be_in_float(mine: float, expected: float) -> None:
    """What is left in int8 has to gain 5 % yet."""
    others = [timed("onnx-fp32", [0.1]), timed("openvino-fp16", [1.0]), timed("openvino-int8", [mine])]

    assert most_in_float(timed("openvino-int8", [mine]), others) == pytest.approx(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mixed_form_keeps_to_the_share_that_may_be_in_float(quantizer: Quantizer, engine: EngineName) -> None:
    layers = len(quantizer.int8(engine).quantized.layers)

    mixed = quantizer.mixed(engine, Gate(-1, -1), 2 / 3)

    assert mixed is not None
    assert (mixed.count, mixed.most) == (1, int(2 / 3 * layers))
    assert quantizer.mixed(engine, Gate(-1, -1), 0.0) is None


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        pytest.param(0.8, None, id="much-faster"),
        pytest.param(0.9, "openvino-fp16", id="hardly-faster"),
        pytest.param(2.0, "openvino-fp16", id="slower"),
    ],
)
def test_nothing_is_mixed_that_is_hardly_faster_as_it_is(mine: float, expected: str | None) -> None:
    others = [timed("onnx-fp32", [0.1]), timed("openvino-fp16", [1.0]), timed("openvino-int8", [mine])]

    assert outpaced_by(timed("openvino-int8", [mine]), others) == expected


@pytest.mark.parametrize(
    ("capabilities", "instructions", "expected"),
    [
        pytest.param(("FP32", "INT8", "BF16"), {"avx2", "amx_bf16"}, True, id="both"),
        pytest.param(("FP32", "INT8", "BF16"), {"avx2", "avx512f"}, False, id="emulated"),
        pytest.param(("FP32", "INT8"), {"avx2", "amx_bf16"}, False, id="openvino-without"),
    ],
)
def test_where_bfloat16_can_gain(
    monkeypatch: pytest.MonkeyPatch, capabilities: tuple[str, ...], instructions: set[str], *, expected: bool
) -> None:
    processor = Processor("x86_64", frozenset(instructions))
    monkeypatch.setattr("edge_ad_export.lowering.recipes.this_processor", lambda: processor)
    monkeypatch.setattr("edge_ad_export.lowering.recipes.openvino_capabilities", lambda: capabilities)

    assert calculates_bf16_here() is expected


@pytest.mark.parametrize(
    ("ids", "bf16", "expected"),
    [
        pytest.param((), True, EVERY_MODEL, id="all"),
        pytest.param((), False, [name for name in EVERY_MODEL if name != "openvino-bf16"], id="all-without-bf16"),
        pytest.param(("openvino-shortlist",), False, ["openvino-shortlist"], id="a-shortlist"),
        pytest.param(("openvino-bf16", "onnx-fp32"), True, ["onnx-fp32", "openvino-bf16"], id="asked-for"),
        pytest.param(("openvino-int8",), False, ["openvino-int8"], id="another-one"),
    ],
)
def test_bfloat16_is_tried_where_it_can_gain(ids: tuple[str, ...], *, bf16: bool, expected: list[str]) -> None:
    assert [recipe.id for recipe in chosen_recipes(ids, bf16=bf16)] == expected


def test_bfloat16_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="and this one has none: leave it out") as refused:
        chosen_recipes(("openvino-bf16",), bf16=False)

    (named,) = re.findall(r"\((.+?)\)", str(refused.value))
    enough = [Processor("x86_64", frozenset({one})).calculates_bf16 for one in named.split(" or ")]
    assert enough == [True, True]


def variant(name: str, latency_ms: float, size_bytes: int) -> Variant:
    fidelity = Fidelity(
        images=5, score_max_abs=0, score_max_rel=0, spearman=1, map_correlation_min=1,
        latency_ms=latency_ms, size_bytes=size_bytes,
    )  # fmt: skip
    return Variant(
        id=name, engine="openvino", precision="fp32", model="m", map=None, fidelity=fidelity, golden_tolerance=1.0
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(THIS, "openvino-fp16", id="fastest-then-smallest"),
        pytest.param(TARGETS["arm64"], "onnx-int8", id="arm64"),
        pytest.param(TARGETS["x86-avx2"], "openvino-fp16", id="avx2"),
    ],
)
def test_default_variant(target: Target, expected: str) -> None:
    variants = [
        variant("openvino-fp32", 10.0, 900),
        variant("openvino-fp16", 10.3, 500),
        variant("onnx-int8", 12.0, 100),
    ]

    assert pick_default(variants, target) == expected
