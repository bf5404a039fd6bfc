"""Kinds of device that a bundle is made for, and what their CPUs want of an int8 graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_ad_metrics.machine import Cpu

__all__ = ["TARGETS", "Target", "TargetName", "choose_target"]

TargetName = Literal["this", "x86-avx2", "x86-vnni", "arm64"]


@dataclass(frozen=True)
class Target:
    """``preference``: variants by expected speed, the best first, where nothing can be measured.

    ``measured``: latencies measured here hold there.
    """

    id: str
    signed_activations: bool
    seven_bit_weights: bool
    preference: tuple[str, ...]
    measured: bool = False


_X86 = ("openvino-int8", "openvino-mixed", "openvino-fp16", "openvino-fp32", "onnx-int8", "onnx-mixed", "onnx-fp32")
# OpenVINO hardly has int8 kernels for ARM; ONNX Runtime's are made for it.
_ARM = ("onnx-int8", "onnx-mixed", "openvino-fp16", "onnx-fp32", "openvino-fp32", "openvino-int8", "openvino-mixed")

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.id: target
        for target in (
            # Without VNNI sums of unsigned by signed products saturate in 16 bits unless the weights have 7.
            Target("x86-avx2", signed_activations=False, seven_bit_weights=True, preference=_X86),
            Target("x86-vnni", signed_activations=False, seven_bit_weights=False, preference=_X86),
            Target("arm64", signed_activations=True, seven_bit_weights=False, preference=_ARM),
        )
    }
)

_VNNI = {"avx_vnni", "avx512_vnni"}


def choose_target(name: TargetName, cpu: Cpu) -> Target:
    """The profile of that name; ``this`` is the one of the CPU at work, whose latencies are measured."""
    if name != "this":
        return TARGETS[name]
    instructions = set(cpu.instructions)
    kind = "arm64" if "asimd" in instructions else "x86-vnni" if instructions & _VNNI else "x86-avx2"
    return replace(TARGETS[kind], id="this", measured=True)
