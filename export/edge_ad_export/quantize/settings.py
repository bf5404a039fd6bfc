"""How an int8 graph is made: for which kind of CPU, by which quantizer, and how many ways are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_ad.engines.processor import X86_AVX2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_ad.engines.processor import Processor

__all__ = ["TARGETS", "Effort", "Plan", "Settings", "Target", "TargetName", "choose_target", "settings_for"]

TargetName = Literal["this", "x86-avx2", "x86-vnni", "arm64"]


@dataclass(frozen=True)
class Target:
    """A kind of CPU that int8 variants are made for.

    ``preference``: the variants by expected speed, the fastest first, for CPUs on which nothing can be measured.
    ``measured``: whether latencies that are measured here are valid for this CPU.
    """

    id: str
    signed_activations: bool
    seven_bit_weights: bool
    preference: tuple[str, ...]
    measured: bool = False


_X86 = (
    "openvino-int8",
    "openvino-mixed",
    "openvino-shortlist",
    "openvino-fp16",
    "openvino-fp32",
    "onnx-int8",
    "onnx-mixed",
    "onnx-shortlist",
    "onnx-fp32",
)
# OpenVINO has few int8 kernels for ARM; ONNX Runtime has good ones.
_ARM = (
    "onnx-int8",
    "onnx-mixed",
    "onnx-shortlist",
    "openvino-shortlist",
    "openvino-fp16",
    "onnx-fp32",
    "openvino-fp32",
    "openvino-int8",
    "openvino-mixed",
)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.id: target
        for target in (
            # Without VNNI the sums of 8-bit products saturate in 16 bits, unless the weights have only 7 bits.
            Target("x86-avx2", signed_activations=False, seven_bit_weights=True, preference=_X86),
            Target("x86-vnni", signed_activations=False, seven_bit_weights=False, preference=_X86),
            Target("arm64", signed_activations=True, seven_bit_weights=False, preference=_ARM),
        )
    }
)


def choose_target(name: TargetName, processor: Processor) -> Target:
    """The target of that name; ``this`` means the CPU of this computer, on which latencies are measured."""
    if name != "this":
        return TARGETS[name]
    kind = processor.kinds[0] if processor.kinds else X86_AVX2
    return replace(TARGETS[kind], measured=True)


Effort = Literal["low", "normal", "high"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a graph is quantized. Weights are always int8, symmetric, with one scale for each channel; activations have
    one scale for each tensor, and most settings are about them.

    ``tool``: which quantizer. ``calibrator``: how the range of an activation is found. ``preset``: of NNCF;
    ``performance`` gives symmetric ranges, which some kernels need. ``accurate_bias``: biases are corrected layer by
    layer. ``signed``: activations are int8 instead of uint8; OpenVINO decides this itself. ``seven_bits``: weights use
    only 7 bits, for CPUs on which sums of 8-bit products saturate. ``shortlists``: the products that make the shortlist
    of a search are quantized too.
    """

    tool: Literal["onnxruntime", "nncf"]
    calibrator: Literal["minmax", "percentile"] = "minmax"
    preset: Literal["mixed", "performance"] = "mixed"
    accurate_bias: bool = False
    signed: bool = True
    seven_bits: bool = False
    shortlists: bool = True

    @property
    def label(self) -> str:
        """The settings in words, for people."""
        tool = "ONNX Runtime's quantizer" if self.tool == "onnxruntime" else "NNCF"
        extras: list[str] = [self.calibrator, f"{self.preset} preset"] if self.tool == "nncf" else [self.calibrator]
        if self.accurate_bias:
            extras.append("accurate bias correction")
        return f"{tool}, {', '.join(extras)}"


def settings_for(engine: Literal["onnxruntime", "openvino"], effort: Effort, target: Target) -> tuple[Settings, ...]:
    """The settings that are tried, the most promising first: one for ``low``, one of each suitable tool for
    ``normal``, all for ``high``.

    For OpenVINO, biases are corrected layer by layer with the real outputs of the layers before, except for ``low``,
    which has to be quick. This matters because a distance to a bank of vectors adds up the shifts of all features.
    """

    def one(
        tool: Literal["onnxruntime", "nncf"],
        calibrator: Literal["minmax", "percentile"] = "minmax",
        preset: Literal["mixed", "performance"] = "mixed",
        *,
        accurate_bias: bool = False,
    ) -> Settings:
        return Settings(
            tool=tool,
            calibrator=calibrator,
            preset=preset,
            accurate_bias=accurate_bias,
            signed=target.signed_activations,
            seven_bits=target.seven_bit_weights,
            # There OpenVINO is no faster at this product in int8 than in float, as measured with AVX2.
            shortlists=not (engine == "openvino" and target.seven_bit_weights),
        )

    fast, accurate = one("nncf"), one("nncf", accurate_bias=True)
    others = (one("nncf", "percentile"), one("nncf", preset="performance", accurate_bias=True))
    ort = (one("onnxruntime"), one("onnxruntime", "percentile"))
    if engine == "openvino":
        return {"low": (fast,), "normal": (accurate,), "high": (accurate, fast, *others)}[effort]
    return {"low": ort[:1], "normal": (ort[0], fast), "high": (*ort, fast, accurate, *others)}[effort]


@dataclass(frozen=True)
class Plan:
    """How long to search for a good int8 variant, and for which kinds of CPU. ``threads``: of the engines.
    ``further``: the targets beside the first one, each of another kind."""

    effort: Effort
    target: Target
    threads: int | None
    further: tuple[Target, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """All kinds of CPU."""
        return (self.target, *self.further)

    def for_target(self, name: str | None) -> Plan:
        """The plan for the target of that id alone; for ``None`` the first one."""
        found = next((target for target in self.targets if target.id == name), self.target)
        return replace(self, target=found, further=())

    @property
    def measured(self) -> bool:
        """Whether latencies that are measured here decide which variants are worth shipping: for this CPU alone."""
        return self.target.measured and not self.further
