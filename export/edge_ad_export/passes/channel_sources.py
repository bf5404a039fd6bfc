"""Where the channels of a stack of feature maps come from, and how coarse they are there."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.graph.match import made_by, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ChannelSource", "channel_sources"]


# Of a size: an exporter writes 63 / 15 in float32.
_SIZE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ChannelSource:
    """Channel ``index`` of ``source``. ``rows`` and ``columns``: which of the source's each one of the map repeats."""

    source: ir.Value
    index: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]


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
    rows, columns = tuple(range(shape[2])), tuple(range(shape[3]))
    return found or tuple(ChannelSource(value, index, rows, columns) for index in range(shape[1]))


def _gathered(node: ir.Node) -> tuple[ChannelSource, ...] | None:
    data, indices = node.inputs[0], read_array(node.inputs[1])
    sources = None if data is None else channel_sources(data)
    if sources is None or indices is None or indices.ndim != 1:
        return None
    return tuple(sources[int(index)] for index in indices)


def _repeated(value: ir.Value) -> tuple[ChannelSource, ...] | None:
    node = made_by(value, "Resize")
    source = None if node is None else node.inputs[0]
    if node is None or source is None:
        return None
    before, after = static_shape(source), static_shape(value)
    inner = channel_sources(source)
    if before is None or after is None or inner is None or before[1] != after[1]:
        return None
    rows, columns = (_read_along(node, axis, before[axis], after[axis]) for axis in (2, 3))
    if rows is None or columns is None:
        return None
    return tuple(
        ChannelSource(
            one.source,
            one.index,
            tuple(one.rows[row] for row in rows),
            tuple(one.columns[column] for column in columns),
        )
        for one in inner
    )


def _read_along(node: ir.Node, axis: int, before: int, after: int) -> tuple[int, ...] | None:
    """Which pixel each pixel of the larger map repeats; ``None`` where it is no repetition, or where rounding decides.

    By a whole factor pixel ``i`` is ``i // factor``. Otherwise an engine calculates it in float32, and two engines
    may differ where it is close to the next one. A scale that the node states need not be the ratio of the sizes.
    """
    if node.attributes.get_string("mode", "nearest") != "nearest" or "axes" in node.attributes or after < before:
        return None
    coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    asymmetric = (coordinates, rounding) == ("asymmetric", "floor")
    centred = coordinates == "half_pixel" and rounding in ("round_prefer_floor", "round_prefer_ceil")
    scales = read_array(node.inputs[2]) if len(node.inputs) > 2 else None
    scale = after / before if scales is None or scales.size == 0 else float(scales[axis])
    if scale == after // before:
        return tuple(i // (after // before) for i in range(after)) if asymmetric or centred else None
    if not asymmetric or abs(scale * before - after) > _SIZE_TOLERANCE:
        return None
    exact = tuple(floor(Fraction(i * before, after)) for i in range(after))
    in_float = np.floor(np.arange(after, dtype=np.float32) / np.float32(scale)).astype(np.int64)
    return exact if exact == tuple(map(int, in_float)) else None
