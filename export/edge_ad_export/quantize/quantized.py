"""An int8 graph whose layers can be put back to float one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["Quantized"]


class Quantized(Protocol):
    """``layers``: the names of the operations that work on quantized values, those that lose most by experience
    first (:func:`~edge_ad_export.quantize.priority.in_priority`)."""

    layers: tuple[str, ...]

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model, the layers ``floats`` in float; for OpenVINO the weights beside it."""
        ...
