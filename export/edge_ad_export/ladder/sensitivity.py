"""Which int8 layers do the most harm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_export.ladder.probes import Probes, Runner
    from edge_ad_export.quantize.quantized import Quantized

__all__ = ["Ranking", "rank_layers"]


@dataclass(frozen=True)
class Ranking:
    """``layers``: all int8 layers, the most harmful first. ``measured``: how many of them there was time for."""

    layers: tuple[str, ...]
    measured: int


def rank_layers(quantized: Quantized, probes: Probes, runner: Runner, folder: Path, deadline_s: float) -> Ranking:
    """Puts one layer at a time to float and measures how much damage is gone: leave one out.

    NNCF's own accuracy control does the same, but can be neither stopped in time nor told what precision the engine
    is to calculate in, which on CPUs with AMX drowns the effect of a layer in that of bfloat16.

    Args:
        folder: for temporary files.
        deadline_s: of ``time.monotonic``; what has not been measured then follows in the order of
            :attr:`Quantized.layers`.
    """
    path = folder / f"candidate.{'xml' if runner.engine == 'openvino' else 'onnx'}"
    left: dict[str, float] = {}
    for layer in quantized.layers:
        if monotonic() > deadline_s:
            break
        quantized.save(path, (layer,))
        left[layer] = probes.damage(probes.run(path, runner))
    rest = [layer for layer in quantized.layers if layer not in left]
    return Ranking((*sorted(left, key=lambda layer: left[layer]), *rest), len(left))
