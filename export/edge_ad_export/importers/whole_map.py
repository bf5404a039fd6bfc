"""Lays a map over the whole picture where the graph begins with a centre crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad_export.embedded import find_embedded
from edge_ad_export.importers.crop import find_crop, pad_map
from edge_ad_export.importers.crop_openvino import find_crop_openvino
from edge_ad_export.importers.outputs import static_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

__all__ = ["WholeMap", "lay_over_picture"]


@dataclass(frozen=True)
class WholeMap:
    """``model``: the graph as it was, or a copy with more nodes. ``name``: of the map in it."""

    model: ir.Model
    name: str | None


def lay_over_picture(model: ir.Model, name: str, output: str, shape: Sequence[int]) -> WholeMap:
    """The map ``name`` of an NCHW graph whose input has this ``shape``.

    ``output``: an output of the map's shape, the map itself where it is one.
    """
    crop = (find_crop_openvino if find_embedded(model) else find_crop)(model, shape)
    size = None if crop is None else static_outputs(model, tuple(shape)).get(output)
    if crop is None or size is None:
        return WholeMap(model, name)
    return WholeMap(pad_map(model, name, crop, size), f"{name}_padded")
