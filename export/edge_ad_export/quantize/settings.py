"""How an int8 graph is made: by which tool, with which of its settings, for which CPU and how hard it is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from edge_ad_export.quantize.targets import Target

__all__ = ["Effort", "Plan", "Settings", "settings_for"]


Effort = Literal["low", "normal", "high"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Weights are int8 per channel and symmetric; what is chosen here concerns the activations, int8 per tensor.

    ``calibrator``: how their range is found. ``preset``: NNCF's; ``performance`` has symmetric ranges, which some
    kernels need. ``signed``: int8, else uint8; OpenVINO chooses itself. ``seven_bits``: weights keep a bit free, for
    CPUs whose sums of 8-bit products saturate.
    """

    tool: Literal["onnxruntime", "nncf"]
    calibrator: Literal["minmax", "percentile"] = "minmax"
    preset: Literal["mixed", "performance"] = "mixed"
    accurate_bias: bool = False
    signed: bool = True
    seven_bits: bool = False

    @property
    def label(self) -> str:
        """For people."""
        tool = "ONNX Runtime's quantizer" if self.tool == "onnxruntime" else "NNCF"
        extras: list[str] = [self.calibrator, f"{self.preset} preset"] if self.tool == "nncf" else [self.calibrator]
        if self.accurate_bias:
            extras.append("accurate bias correction")
        return f"{tool}, {', '.join(extras)}"


def settings_for(engine: Literal["onnxruntime", "openvino"], effort: Effort, target: Target) -> tuple[Settings, ...]:
    """What is tried, the likeliest first. ``low``: one; ``normal``: one of each tool that fits; ``high``: all.

    For OpenVINO biases are corrected layer by layer, on what the layers before really give, unless ``low`` asks for
    haste: a distance to a bank adds up the shifts of all features.
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
        )

    fast, accurate = one("nncf"), one("nncf", accurate_bias=True)
    others = (one("nncf", "percentile"), one("nncf", preset="performance", accurate_bias=True))
    ort = (one("onnxruntime"), one("onnxruntime", "percentile"))
    if engine == "openvino":
        return {"low": (fast,), "normal": (accurate,), "high": (accurate, fast, *others)}[effort]
    return {"low": ort[:1], "normal": (ort[0], fast), "high": (*ort, fast, accurate, *others)}[effort]


@dataclass(frozen=True)
class Plan:
    """How hard to look, and for which kind of CPU. ``threads``: of the engines."""

    effort: Effort
    target: Target
    threads: int | None
