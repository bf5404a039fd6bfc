"""The one image input of a graph: its layout, size, colours and batch; and options that contradict what a file says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.static_shape import describe
from edge_ad_export.model.imported import ImportOptions
from edge_ad_export.model.input_spec import Color, InputSpec, Layout, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.files.model_file import ModelFile

__all__ = ["ResolvedInput", "fill_in", "inapplicable", "refuse_options", "resolve_input"]


_WHOLE = {
    ir.DataType.UINT8,
    ir.DataType.INT8,
    ir.DataType.UINT16,
    ir.DataType.INT16,
    ir.DataType.INT32,
    ir.DataType.INT64,
}
_NUMBERS = {*_WHOLE, ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}


@dataclass(frozen=True)
class ResolvedInput:
    """``assumed`` names what neither the file nor the user said; ``notes``: what else the user should know."""

    spec: InputSpec
    assumed: tuple[str, ...]
    notes: tuple[str, ...] = ()


def resolve_input(file: ModelFile, options: ImportOptions) -> ResolvedInput:
    """Reads what the shape of the one image input says and fills in the rest from the options or the defaults.

    Raises:
        ModelError: there is not one input of an image; layout or channels cannot be told, or contradict the options.
        InputError: the size cannot be told, or contradicts ``--size``; ``--mean`` or ``--std`` of a wrong length.
    """
    frame = _only_input(file)
    dims = [dim if isinstance(dim, int) else None for dim in frame.shape or ()]
    layout = options.layout or _layout(frame, dims)
    batch, channels, height, width = dims if layout == "nchw" else (dims[0], dims[3], dims[1], dims[2])
    color = _color(frame, channels, options.color)
    size = _size(frame, width, height, options.size)
    return fill_in(InputSpec(str(frame.name), size, color, layout, batch=batch or 1), frame, options)


def fill_in(spec: InputSpec, entry: ir.Value, options: ImportOptions) -> ResolvedInput:
    """Scale, mean and standard deviation from the options or the defaults. Raises :class:`InputError`."""
    default_scale = 1.0 if entry.dtype in _WHOLE else 255.0
    centred = entry.dtype == ir.DataType.INT8 and options.mean is None and options.scale is None
    filled = replace(
        spec,
        scale=_positive("--scale", (default_scale if options.scale is None else options.scale,))[0],
        mean=_numbers("--mean", options.mean or ((128.0,) if centred else (0.0,)), spec.channels),
        std=_positive("--std", _numbers("--std", options.std or (1.0,), spec.channels)),
    )
    return ResolvedInput(filled, _assumed(filled, options))


def _only_input(file: ModelFile) -> ir.Value:
    """The graph's image input. Raises :class:`ModelError` unless there is one, of four dimensions, of numbers."""
    inputs = file.onnx.graph.inputs
    if len(inputs) != 1:
        raise ModelError(
            f"{file.path} has {len(inputs)} inputs, expected one image: {describe(inputs)}; give the others a fixed "
            "value with --input-value NAME=NUMBER or NAME=FILE.npy"
        )
    (frame,) = inputs
    if frame.shape is not None and len(frame.shape) == 5:
        raise ModelError(
            f"{file.path} takes {describe(inputs)}, expected one image: for a clip of images say --clip-length FRAMES"
        )
    if frame.shape is None or len(frame.shape) != 4 or frame.dtype not in _NUMBERS:
        raise ModelError(
            f"{file.path} takes {describe(inputs)}, expected one image: float16, float32, "
            "float64 or whole numbers, [batch, channels, height, width] or [batch, height, width, channels]"
        )
    return frame


def _layout(frame: ir.Value, dims: Sequence[int | None]) -> Layout:
    nchw, nhwc = dims[1] in (1, 3), dims[3] in (1, 3)
    if nchw == nhwc:
        raise ModelError(f"cannot tell where the channels of {describe([frame])} are: say --layout nchw or nhwc")
    return "nchw" if nchw else "nhwc"


def _color(frame: ir.Value, channels: int | None, asked: Color | None) -> Color:
    if channels not in (1, 3, None):
        raise ModelError(f"{describe([frame])} has {channels} channels: expected 1 (gray) or 3")
    color: Color = asked or ("gray" if channels == 1 else "rgb")
    if channels is not None and (color == "gray") != (channels == 1):
        raise ModelError(f"--color {color} does not fit {describe([frame])}, which has {channels} channels")
    return color


def _size(frame: ir.Value, width: int | None, height: int | None, asked: Size | None) -> Size:
    found = Size(width or 0, height or 0)
    if asked is None and (width is None or height is None):
        raise InputError(f"{describe([frame])} takes images of any size: say which one with --size WIDTHxHEIGHT")
    if asked is None:
        return found
    if width not in (None, asked.width) or height not in (None, asked.height):
        raise InputError(f"--size {asked} does not fit the model: {describe([frame])} takes {found} pixels")
    return asked


def _numbers(option: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) not in (1, channels):
        raise InputError(f"{option} has {len(numbers)} values: expected 1 or {channels}, one per channel")
    return numbers


def _positive(option: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    if min(numbers) <= 0:
        raise InputError(f"{option} {','.join(map(str, numbers))}: expected numbers above 0")
    return numbers


def _assumed(spec: InputSpec, options: ImportOptions) -> tuple[str, ...]:
    assumed = []
    if options.color is None and spec.color != "gray":
        assumed.append(f"colour order {spec.color.upper()} (--color)")
    if options.scale is None:
        assumed.append(f"pixels divided by {spec.scale:g} (--scale)")
    if spec.mean == (128.0,) * len(spec.mean) and options.mean is None:
        assumed.append("128 is subtracted from pixels, as the input is int8 (--mean)")
    elif options.mean is None and options.std is None:
        assumed.append("no mean or standard deviation (--mean, --std)")
    return tuple(assumed)


def inapplicable(options: ImportOptions, applicable: Collection[str]) -> list[str]:
    """Every option given but the ``applicable`` ones, in the order of their names."""
    given = [f.name for f in fields(options) if f.name != "head" and getattr(options, f.name) not in (None, ())]
    if options.head is not None:
        given += [*options.head.given(), *(["family"] if options.head.family else [])]
    return sorted(set(given) - {"importer", "input_value", *applicable})


def refuse_options(options: ImportOptions, applicable: Collection[str], reason: str) -> None:
    """Raises :class:`ModelError` that names every option given but the ``applicable`` ones."""
    if refused := inapplicable(options, applicable):
        names = ", ".join("--" + name.replace("_", "-") for name in refused)
        raise ModelError(f"{names} does not apply: {reason}; leave it out, or say --importer onnx")
