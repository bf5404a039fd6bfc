"""Where the channels of a stack of feature maps come from, and how coarse they are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad_export.graph.match import made_by, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ChannelSource", "channel_sources"]


@dataclass(frozen=True)
class ChannelSource:
    """Channel ``index`` of ``source``, each pixel of it repeated ``factor`` times in both directions."""

    source: ir.Value
    index: int
    factor: int = 1


def channel_sources(value: ir.Value) -> tuple[ChannelSource, ...] | None:
    """One entry a channel of ``value`` ``[1, c, h, w]``, traced through ``Gather``, ``Concat`` and nearest ``Resize``.

    ``None`` where the value has no such shape.
    """
    shape = static_shape(value)
    if shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    gather, concat = made_by(value, "Gather"), made_by(value, "Concat")
    found: tuple[ChannelSource, ...] | None = None
    if gather is not None and gather.attributes.get_int("axis", 0) in (1, -3):
        found = _gathered(gather)
    elif concat is not None and concat.attributes.get_int("axis", 0) in (1, -3):
        parts = [None if part is None else channel_sources(part) for part in concat.inputs]
        found = None if None in parts else tuple(channel for part in parts if part is not None for channel in part)
    else:
        found = _repeated(value)
    return found or tuple(ChannelSource(value, index) for index in range(shape[1]))


def _gathered(node: ir.Node) -> tuple[ChannelSource, ...] | None:
    data, indices = node.inputs[0], read_array(node.inputs[1])
    sources = None if data is None else channel_sources(data)
    if sources is None or indices is None or indices.ndim != 1:
        return None
    return tuple(sources[int(index)] for index in indices)


def _repeated(value: ir.Value) -> tuple[ChannelSource, ...] | None:
    node = made_by(value, "Resize")
    source = None if node is None else node.inputs[0]
    if node is None or source is None or not _repeats(node):
        return None
    before, after = static_shape(source), static_shape(value)
    inner = channel_sources(source)
    if before is None or after is None or inner is None:
        return None
    factor = after[2] // before[2]
    if factor * before[2] != after[2] or factor * before[3] != after[3] or before[1] != after[1]:
        return None
    return tuple(ChannelSource(channel.source, channel.index, channel.factor * factor) for channel in inner)


def _repeats(node: ir.Node) -> bool:
    """Whether upsampling by a whole factor repeats pixels: pixel ``i`` of the result is ``i // factor``."""
    if node.attributes.get_string("mode", "nearest") != "nearest" or "axes" in node.attributes:
        return False
    coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    return (coordinates, rounding == "floor") in {("asymmetric", True), ("half_pixel", False)} and rounding != "ceil"
