"""One bundle for several kinds of CPU: what is made for each, in which order a device tries it, and what is said."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support import export_models, tiny
from support.export_models import Tiny, with_one_wide_channel

from edge_ad.bundle import Bundle, Manifest
from edge_ad.bundle.records import Fidelity, Variant
from edge_ad.engines.processor import Processor
from edge_ad.errors import GateError
from edge_ad_export import ExportRequest, Gate, export_bundle
from edge_ad_export.lowering.recipes import RECIPES, Recipe
from edge_ad_export.pages.variant_table import target_lines
from edge_ad_export.quantize.settings import TARGETS, Plan
from edge_ad_export.variants.fleet import for_targets, order_by_target, remarks_on_targets

VNNI, AVX2, ARM = (TARGETS[name] for name in ("x86-vnni", "x86-avx2", "arm64"))
THREE = Plan("low", VNNI, 1, (AVX2, ARM))
ON_VNNI = Processor("x86_64", frozenset({"avx512_vnni"}))


def test_each_kind_of_cpu_gets_its_int8_and_equal_ones_are_shared() -> None:
    recipes = [RECIPES[name] for name in ("onnx-fp32", "onnx-int8", "openvino-fp16", "openvino-int8")]

    assert {one.id: one.made_for for one in for_targets(recipes, THREE)} == {
        "onnx-fp32": (),
        "onnx-int8": ("x86-vnni",),
        "onnx-int8-x86-avx2": ("x86-avx2",),
        "onnx-int8-arm64": ("arm64",),
        "openvino-fp16": (),
        "openvino-int8": ("x86-vnni", "arm64"),
        "openvino-int8-x86-avx2": ("x86-avx2",),
    }
    assert for_targets(recipes, Plan("low", VNNI, 1)) == tuple(recipes)


def test_each_target_has_a_plan_of_its_own() -> None:
    assert THREE.for_target("arm64") == Plan("low", ARM, 1)
    assert THREE.for_target(None) == Plan("low", VNNI, 1)
    assert (THREE.measured, Plan("low", replace(VNNI, measured=True), 1, (AVX2,)).measured) == (False, False)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(("x86-avx2", "arm64", "x86-avx2"), ["x86-avx2", "arm64"], id="twice-counts-once"),
        pytest.param((), ["x86-vnni"], id="none-is-this-one"),
    ],
)
def test_the_targets_of_a_request(
    asked: tuple[str, ...], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_ad_export.request.this_processor", lambda: ON_VNNI)
    request = ExportRequest(model=tmp_path, images=tmp_path, target=tmp_path, target_cpus=asked)  # type: ignore[arg-type]

    assert [one.id for one in request.plan.targets] == expected


def shipped(**latencies_ms: float) -> tuple[list[Variant], list[Recipe]]:
    """Variants by id, with ``_`` for ``-``, and their recipes."""
    recipes = {one.id: one for one in for_targets(list(RECIPES.values()), THREE)}
    names = {name.replace("_", "-"): latency for name, latency in latencies_ms.items()}
    variants = [
        Variant(
            id=name, engine=recipes[name].engine, precision=recipes[name].precision, model="m", map=None,
            fidelity=Fidelity(
                images=5, score_max_abs=0, score_max_rel=0, spearman=1, map_correlation_min=1,
                latency_ms=latency, size_bytes=100,
            ),
            golden_tolerance=1.0,
        )
        for name, latency in names.items()
    ]  # fmt: skip
    return variants, [recipes[name] for name in names]


def test_a_device_tries_what_its_kind_of_cpu_is_known_for() -> None:
    variants, recipes = shipped(
        onnx_fp32=9, onnx_int8=8, onnx_int8_x86_avx2=7, onnx_int8_arm64=6, openvino_fp16=5, openvino_int8=4,
        openvino_int8_x86_avx2=3, openvino_bf16=2,
    )  # fmt: skip

    assert order_by_target(variants, recipes, THREE) == {
        "x86-vnni": (
            "openvino-int8", "openvino-int8-x86-avx2", "openvino-fp16", "onnx-int8", "onnx-int8-x86-avx2", "onnx-fp32",
            "openvino-bf16",
        ),
        "x86-avx2": ("openvino-int8-x86-avx2", "openvino-fp16", "onnx-int8-x86-avx2", "onnx-fp32"),
        "arm64": ("onnx-int8-arm64", "openvino-fp16", "onnx-fp32", "openvino-int8"),
    }  # fmt: skip
    assert order_by_target(variants, recipes, Plan("low", VNNI, 1)) == {}


def test_a_target_without_any_variant_is_refused() -> None:
    with pytest.raises(GateError, match="no variant for x86-avx2 passes the gate, no bundle was written"):
        order_by_target(*shipped(openvino_int8=4), THREE)


@pytest.mark.parametrize(
    ("latencies_ms", "expected"),
    [
        pytest.param(
            {"openvino_fp16": 5.0, "openvino_int8": 9.0, "onnx_fp32": 7.0},
            ("openvino-fp16", "onnx-fp32", "openvino-int8"),
            id="int8-is-slower",
        ),
        pytest.param(
            {"openvino_fp16": 5.0, "openvino_int8": 3.0, "openvino_int8_x86_avx2": 2.0},
            ("openvino-int8", "openvino-int8-x86-avx2", "openvino-fp16"),
            id="its-own-int8-before-that-for-others",
        ),
        pytest.param(
            {"openvino_fp16": 5.0, "openvino_int8_x86_avx2": 2.0},
            ("openvino-int8-x86-avx2", "openvino-fp16"),
            id="only-that-for-others-passed",
        ),
    ],
)
def test_on_this_cpu_it_tries_what_was_measured_to_be_fastest(
    latencies_ms: dict[str, float], expected: tuple[str, ...]
) -> None:
    plan = Plan("low", replace(VNNI, measured=True), 1, (AVX2,))

    assert order_by_target(*shipped(**latencies_ms), plan)["x86-vnni"] == expected


@pytest.mark.parametrize(
    ("plan", "processor", "said"),
    [
        pytest.param(Plan("low", replace(VNNI, measured=True), 1), ON_VNNI, [], id="for-this-cpu"),
        pytest.param(Plan("low", VNNI, 1, (AVX2,)), ON_VNNI, ["made for x86-vnni, x86-avx2: lat"], id="both-exact"),
        pytest.param(
            Plan("low", AVX2, 1, (ARM,)),
            ON_VNNI,
            [
                "made for x86-avx2, arm64: lat",
                "int8 for arm64: its exact scores cannot be measured on this CPU (x86-vnni)",
            ],
            id="another-architecture",
        ),
        pytest.param(
            Plan("low", VNNI, 1, (AVX2,)),
            Processor("x86_64", frozenset({"avx2"})),
            ["made for x86-vnni, x86-avx2: lat", "int8 for x86-vnni: sums of 8-bit products saturate on this CPU"],
            id="saturating-here",
        ),
    ],
)
def test_what_cannot_be_measured_here_is_said(plan: Plan, processor: Processor, said: list[str]) -> None:
    found = list(remarks_on_targets(plan, processor))

    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said
    assert list(remarks_on_targets(plan, processor, int8=False)) == [one for one in found if "made for" in one]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for x86 with and without VNNI, of a model whose sums in 8 bits are as large as they can be."""
    folder = tmp_path_factory.mktemp("fleet")
    model = export_models.build(Tiny())
    for name in ("teacher.0", "teacher.1"):
        weights = model.graph.initializers[name]
        assert weights.const_value is not None
        weights.const_value = ir.tensor(np.full(weights.const_value.shape.numpy(), 0.02, np.float32), name=name)
    ir.save(model, folder / "model.onnx")
    anything = Gate(-1, -1, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1)
    request = ExportRequest(
        model=folder / "model.onnx",
        images=tiny.write_images(folder / "normals", export_models.parts(8)),
        target=folder / "part",
        gate=anything,
        variants=("openvino-fp16", "openvino-int8"),
        target_cpus=("x86-vnni", "x86-avx2"),
        effort="low",
        threads=1,
    )
    return export_bundle(request).bundle.path


@pytest.mark.slow
def test_one_bundle_has_what_each_kind_of_cpu_takes(fleet: Path) -> None:
    manifest: Manifest = Bundle.open(fleet).manifest

    assert manifest.orders == {
        "x86-vnni": ("openvino-int8", "openvino-int8-x86-avx2", "openvino-fp16"),
        "x86-avx2": ("openvino-int8-x86-avx2", "openvino-fp16"),
    }
    assert manifest.default_variant == "openvino-int8"
    assert manifest.provenance["target_cpu"] == "x86-vnni, x86-avx2"
    assert target_lines(manifest) == [
        "on x86-vnni a device takes openvino-int8, or openvino-fp16 if that scores differently there",
        "on x86-avx2 a device takes openvino-int8-x86-avx2, or openvino-fp16 if that scores differently there",
    ]


ON_AVX2 = """
import json, sys
from edge_ad import Detector
from edge_ad.errors import GoldenError

def differs(variant):
    try:
        Detector.open(sys.argv[1], variant).close()
    except GoldenError:
        return True
    return False

with Detector.open(sys.argv[1]) as detector:
    chosen = [detector.variant.id, list(detector.passed_over)]
print(json.dumps({"chosen": chosen, "eight_bits_differ": differs("openvino-int8")}))
"""


@pytest.fixture(scope="module")
def played_on_avx2(fleet: Path) -> dict[str, object]:
    """What a process does whose OpenVINO is held back to AVX2."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip(f"{platform.machine()} cannot calculate as an x86 CPU")
    held_back = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", ON_AVX2, str(fleet)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=held_back)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_without_vnni_a_device_takes_the_variant_that_is_exact_there(played_on_avx2: dict[str, object]) -> None:
    assert played_on_avx2["chosen"] == ["openvino-int8-x86-avx2", []]


@pytest.mark.slow
def test_without_vnni_the_other_one_saturates(fleet: Path, played_on_avx2: dict[str, object]) -> None:
    made_on = Bundle.open(fleet).manifest.provenance["cpu_kind"]
    if made_on != "x86-vnni":
        pytest.skip(f"the golden frames were made on {made_on}, which saturates as well")
    assert played_on_avx2["eight_bits_differ"]


@pytest.mark.slow
def test_each_kind_of_cpu_has_a_mixed_form_of_its_own(tmp_path: Path) -> None:
    ir.save(with_one_wide_channel(export_models.build(Tiny())), tmp_path / "model.onnx")
    request = ExportRequest(
        model=tmp_path / "model.onnx",
        images=tiny.write_images(tmp_path / "normals", export_models.parts(12)),
        target=tmp_path / "part",
        gate=Gate(0.5, 0.99, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1),
        variants=("openvino-fp32", "openvino-int8"),
        target_cpus=("x86-vnni", "x86-avx2"),
        report=tmp_path / "page.html",
        threads=1,
    )

    manifest = export_bundle(request).bundle.manifest

    assert {trial.id: trial.rejected is None for trial in manifest.trials} == {
        "openvino-fp32": True, "openvino-int8": False, "openvino-mixed": True,
        "openvino-int8-x86-avx2": False, "openvino-mixed-x86-avx2": True,
    }  # fmt: skip
    assert manifest.orders == {
        "x86-vnni": ("openvino-mixed", "openvino-mixed-x86-avx2", "openvino-fp32"),
        "x86-avx2": ("openvino-mixed-x86-avx2", "openvino-fp32"),
    }
    page = (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert "On x86-avx2 a device takes openvino-mixed-x86-avx2, or openvino-fp32 if that scores differently" in page
