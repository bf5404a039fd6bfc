"""A bundle for several kinds of CPU: which variant a device takes, with CPUs that are described and not there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from support import tiny
from support.changed_bundle import change, spoil_golden
from support.tiny_calibration import calibrate

from edge_ad.bundle import MANIFEST, Bundle
from edge_ad.cli import main
from edge_ad.detector import Detector
from edge_ad.engines.processor import Processor, this_processor
from edge_ad.errors import BundleFormatError, CalibrationError, GoldenError
from edge_ad.scoring.verification import verify_bundle

VNNI = Processor("x86_64", frozenset({"avx2", "avx512_vnni"}))
AVX2 = Processor("x86_64", frozenset({"avx2"}))
ARM = Processor("aarch64", frozenset({"asimd", "i8mm"}))
RISCV = Processor("riscv64")
FRAME = np.zeros(tiny.FRAME, np.uint8)
ORDERS = {"x86-vnni": ("openvino-fp32", "onnx-fp32"), "x86-avx2": ("onnx-fp32",)}


@pytest.fixture
def fleet(tiny_bundle: Path) -> Path:
    """Where there is VNNI the OpenVINO variant comes first; elsewhere on x86 there is only the other one."""
    return change(tiny_bundle, targets=ORDERS)


@pytest.mark.parametrize(
    ("processor", "kinds"),
    [
        pytest.param(VNNI, ("x86-vnni", "x86-avx2"), id="avx512-vnni"),
        pytest.param(Processor("AMD64", frozenset({"avx_vnni"})), ("x86-vnni", "x86-avx2"), id="avx-vnni"),
        pytest.param(AVX2, ("x86-avx2",), id="avx2"),
        pytest.param(Processor("x86_64"), ("x86-avx2",), id="x86-of-which-nothing-is-known"),
        pytest.param(ARM, ("arm64",), id="arm64"),
        pytest.param(Processor("armv7l"), (), id="arm-32-bit"),
        pytest.param(RISCV, (), id="another-architecture"),
        pytest.param(Processor("x86_64", VNNI.instructions, "AVX2"), ("x86-avx2",), id="held-back-to-avx2"),
        pytest.param(Processor("x86_64", VNNI.instructions, "avx512_core"), ("x86-avx2",), id="held-back-to-avx512"),
        pytest.param(
            Processor("x86_64", frozenset({"avx2", "avx_vnni"}), "AVX2_VNNI"),
            ("x86-vnni", "x86-avx2"),
            id="to-avx-vnni",
        ),
        pytest.param(Processor("x86_64", frozenset({"avx512_vnni"}), "AVX2_VNNI"), ("x86-avx2",), id="has-512-only"),
        pytest.param(Processor("x86_64", VNNI.instructions, "all"), ("x86-vnni", "x86-avx2"), id="not-held-back"),
        pytest.param(Processor("x86_64", AVX2.instructions, "AVX2_VNNI"), ("x86-avx2",), id="has-none-to-allow"),
    ],
)
def test_the_kinds_of_a_cpu(processor: Processor, kinds: tuple[str, ...]) -> None:
    assert processor.kinds == kinds


@pytest.mark.parametrize(
    ("instructions", "max_isa", "expected"),
    [
        pytest.param({"avx2", "avx512_bf16"}, "", True, id="avx512-bf16"),
        pytest.param({"avx2", "amx_bf16"}, "", True, id="amx"),
        pytest.param({"avx2", "avx512_vnni"}, "", False, id="emulated"),
        pytest.param({"amx_bf16"}, "AVX2", False, id="held-back-to-avx2"),
        pytest.param({"amx_bf16"}, "avx512_core_vnni", False, id="held-back-to-vnni"),
        pytest.param({"amx_bf16"}, "AVX512_CORE_AMX", True, id="held-back-to-amx"),
        pytest.param({"amx_bf16"}, "DEFAULT", True, id="not-held-back"),
    ],
)
def test_where_bfloat16_is_calculated(instructions: set[str], max_isa: str, *, expected: bool) -> None:
    assert Processor("x86_64", frozenset(instructions), max_isa).calculates_bf16 is expected


def test_the_limit_of_openvino_is_read_from_the_environment() -> None:
    assert this_processor({"ONEDNN_MAX_CPU_ISA": "AVX2"}).max_isa == "AVX2"
    assert this_processor({}).max_isa == ""


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        pytest.param(VNNI, "openvino-fp32", id="vnni"),
        pytest.param(AVX2, "onnx-fp32", id="avx2"),
        pytest.param(RISCV, "onnx-fp32", id="the-default-where-it-was-made-for-no-such-cpu"),
    ],
)
def test_a_device_takes_what_is_first_for_its_cpu(fleet: Path, processor: Processor, expected: str) -> None:
    assert Bundle.open(fleet, processor).variant().id == expected
    with Detector.open(Bundle.open(fleet, processor)) as detector:
        assert detector.variant.id == expected
        assert detector.passed_over == ()
        assert "calibrated" not in str(detector.choice)


def test_of_the_calibrated_ones_it_takes_the_first(fleet: Path) -> None:
    calibrate(fleet, 0.4, variant="onnx-fp32")
    with Detector.open(Bundle.open(fleet, VNNI)) as detector:
        assert (detector.variant.id, detector.score(FRAME).threshold) == ("onnx-fp32", 0.4)
    calibrate(fleet, 0.3, variant="openvino-fp32")
    with Detector.open(Bundle.open(fleet, VNNI)) as detector:
        assert (detector.variant.id, detector.score(FRAME).threshold) == ("openvino-fp32", 0.3)
        assert detector.choice == (
            "openvino-fp32 scores: it is the fastest calibrated variant for this kind of CPU (x86-vnni) "
            "whose golden frames agree here"
        )
    with Detector.open(Bundle.open(fleet, VNNI), self_test=False) as detector:
        assert "golden frames were not checked" in str(detector.choice)
    with Detector.open(Bundle.open(fleet, VNNI), "onnx-fp32") as detector:
        assert detector.choice is None


def test_one_that_is_calibrated_for_another_group_is_not_taken(fleet: Path) -> None:
    calibrate(fleet, 0.3, station="left", variant="openvino-fp32")
    calibrate(fleet, 0.4, station="right", variant="onnx-fp32")
    opened = Bundle.open(fleet, VNNI)
    assert (opened.variant(None, "left").id, opened.variant(None, "right").id) == ("openvino-fp32", "onnx-fp32")
    with Detector.open(opened, station="right") as detector:
        assert detector.variant.id == "onnx-fp32"
    with pytest.raises(CalibrationError, match="no calibration for the group 'middle'"):
        Detector.open(opened, station="middle")


def test_one_whose_golden_frames_differ_is_passed_over_and_never_taken(fleet: Path) -> None:
    spoil_golden(fleet, "openvino-fp32")
    calibrate(fleet, 0.3, variant="openvino-fp32")
    with pytest.raises(GoldenError):
        Detector.open(Bundle.open(fleet, VNNI))
    calibrate(fleet, 0.4, variant="onnx-fp32")
    with Detector.open(Bundle.open(fleet, VNNI)) as detector:
        assert detector.variant.id == "onnx-fp32"
        (why,) = detector.passed_over
    assert why.startswith("openvino-fp32 is not used: openvino-fp32 gives other scores on this device")
    with pytest.raises(GoldenError):
        Detector.open(Bundle.open(fleet, VNNI), "openvino-fp32")


def test_what_a_calibration_covers(fleet: Path) -> None:
    def covered(**fields: object) -> list[str]:
        return [one.id for one in Bundle.open(change(fleet, **fields)).to_calibrate()]

    as_int8 = [
        msgspec.structs.replace(one, precision="int8" if one.engine == "openvino" else "fp32")
        for one in Bundle.open(fleet).manifest.variants
    ]
    assert covered() == ["openvino-fp32", "onnx-fp32"]
    assert covered(targets={"x86-vnni": ORDERS["x86-vnni"]}) == ["openvino-fp32"]
    assert covered(variants=as_int8) == ["openvino-fp32", "onnx-fp32"]
    assert covered(targets={"x86-vnni": ("openvino-fp32",)}) == ["openvino-fp32"]
    assert covered(targets=msgspec.UNSET) == ["onnx-fp32"]


def test_verify_runs_what_is_meant_for_this_cpu(fleet: Path) -> None:
    spoil_golden(fleet, "openvino-fp32")
    checked = verify_bundle(Bundle.open(fleet, AVX2))
    found = {one.id: (one.skipped, one.made_for) for one in checked.variants}
    assert (checked.problem, checked.scores, checked.target) == (None, "onnx-fp32", "x86-avx2")
    assert found == {
        "onnx-fp32": (None, ("x86-vnni", "x86-avx2")),
        "openvino-fp32": ("it is made for x86-vnni, and this CPU is x86-avx2", ("x86-vnni",)),
    }
    with pytest.raises(GoldenError):  # nothing is calibrated that could take its place
        verify_bundle(Bundle.open(fleet, VNNI))
    calibrate(fleet, 0.3, variant="openvino-fp32")
    calibrate(fleet, 0.4, variant="onnx-fp32")
    assert verify_bundle(Bundle.open(fleet, VNNI)).scores == "onnx-fp32"


def test_info_and_verify_show_what_a_device_takes(fleet: Path) -> None:
    everywhere = ("openvino-fp32", "onnx-fp32")
    change(fleet, targets=dict.fromkeys(("x86-vnni", "x86-avx2", "arm64"), everywhere))
    info = CliRunner().invoke(main, ["info", str(fleet)])
    assert "what a device takes, by its CPU\n  x86-vnni: openvino-fp32, onnx-fp32\n" in info.output
    verify = CliRunner().invoke(main, ["verify", str(fleet)])
    assert "openvino-fp32 (for x86-vnni, x86-avx2, arm64): 2 golden frames replayed, all equal" in verify.output


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param({"x86-vnni": ("none",)}, id="no-such-variant"),
        pytest.param({"x86-vnni": ()}, id="no-variant"),
        pytest.param({"x86-vnni": ("onnx-fp32", "onnx-fp32")}, id="twice"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused(fleet: Path, targets: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(BundleFormatError, match="variants for x86-vnni are"):
        Bundle.open(change(fleet, targets=targets))


def test_a_kind_of_cpu_that_this_version_does_not_know_is_no_obstacle(fleet: Path) -> None:
    change(fleet, targets={**ORDERS, "riscv64-v": ("onnx-fp32",)})
    assert Bundle.open(fleet, AVX2).target == "x86-avx2"


def test_a_bundle_for_one_kind_says_nothing_that_an_earlier_version_would_refuse(tiny_bundle: Path) -> None:
    change(tiny_bundle)
    assert "targets" not in msgspec.json.decode((tiny_bundle / MANIFEST).read_bytes())
    assert Bundle.open(tiny_bundle, VNNI).target is None
