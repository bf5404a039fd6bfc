"""An int8 graph whose layers can be put back to float one by one, in the order in which they are suspected of harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from edge_ad_export.graph.backbone import Op

__all__ = ["Quantized", "in_priority"]


def in_priority(layers: Sequence[Op]) -> tuple[str, ...]:
    """Names of layers given in the order of execution: depthwise convolutions, whose channels share one range however
    different they are, then the rest as they come, since an early error goes through all that follows."""
    depthwise = [op.name for op in layers if op.kernel is not None and op.kernel.shape[1] == 1]
    return (*depthwise, *(op.name for op in layers if op.name not in set(depthwise)))


class Quantized(Protocol):
    """``layers``: the names of the operations that work on quantized values, those that lose most by experience
    first (:func:`~edge_ad_export.quantize.int8_graph.in_priority`)."""

    layers: tuple[str, ...]

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model, the layers ``floats`` in float; for OpenVINO the weights beside it."""
        ...
