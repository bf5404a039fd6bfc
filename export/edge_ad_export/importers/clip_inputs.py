"""The clip input of a graph: its order, length, size and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.static_shape import describe
from edge_ad_export.importers.inputs import ResolvedInput, fill_in
from edge_ad_export.model.clip_spec import ORDERS, ClipOptions, ClipOrder, ClipSpec
from edge_ad_export.model.imported import ImportOptions
from edge_ad_export.model.input_spec import InputSpec, Size

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.files.model_file import ModelFile

__all__ = ["resolve_clip"]

_PREDICTING = "next-frame"


def resolve_clip(file: ModelFile, options: ImportOptions) -> ResolvedInput:
    """Reads what the shape of a clip input says and fills in the rest from the options or the defaults.

    Raises:
        ModelError: the graph has no clip input, or its order cannot be told.
        InputError: length or size cannot be told, or contradict the options.
    """
    inputs = file.onnx.graph.inputs
    if len(inputs) != 1 or inputs[0].shape is None or len(inputs[0].shape) not in (3, 4, 5):
        raise ModelError(
            f"{file.path} takes {describe(inputs)}, expected one clip: [batch, frames, channels, height, width] in "
            "any order, frames stacked as [batch, frames x channels, height, width], or vectors [batch, frames, size]"
        )
    (entry,) = inputs
    asked = options.clip or ClipOptions()
    allowed = {"flow": (2,), "features": (1,), "frame": (1,) if options.color == "gray" else (1, 3)}[asked.input]
    order = asked.order or _order(entry, allowed, asked)
    dims = dict(zip(_axes(order), _dims(entry), strict=True))
    head = options.head
    predicting = head is not None and head.family == _PREDICTING
    channels, taken = _channels_and_frames(entry, dims, order, asked, allowed, predicting=predicting)
    size = Size(dims["w"] or 0, dims.get("h", 1) or 0)
    size = size if size.width and size.height else _asked_size(entry, options)
    length = taken + predicting
    if asked.length not in (None, length):
        raise InputError(
            f"--clip-length {asked.length} does not fit the model: {describe([entry])} makes clips of {length}"
            + (", the predicted frame included" if predicting else "")
        )
    spec = InputSpec(
        name=str(entry.name),
        size=size,
        color=options.color or ("rgb" if asked.input == "frame" and channels == 3 else "gray"),
        layout="nchw",
        batch=dims["n"] or 1,
        clip=ClipSpec(length, taken, channels, order, asked.input),
    )
    if spec.batch != 1:
        raise ModelError(f"{describe([entry])} insists on {spec.batch} clips at once: export the model with batch 1")
    return fill_in(spec, entry, options) if asked.input == "frame" else ResolvedInput(_plain(spec), ())


def _plain(spec: InputSpec) -> InputSpec:
    """Flow and vectors are taken as they are."""
    return InputSpec(spec.name, spec.size, spec.color, spec.layout, scale=1.0, clip=spec.clip)


def _dims(entry: ir.Value) -> list[int | None]:
    return [dim if isinstance(dim, int) else None for dim in entry.shape or ()]


def _axes(order: ClipOrder) -> str:
    if order == "vectors":
        return "ntw"
    return "nchw" if order == "stacked" else "".join("ntchw"[axis] for axis in ORDERS[order])


def _order(entry: ir.Value, allowed: tuple[int, ...], asked: ClipOptions) -> ClipOrder:
    dims = _dims(entry)
    if len(dims) == 3 or asked.input == "features":
        return "vectors"
    if len(dims) == 4:
        return "stacked"
    fitting: list[ClipOrder] = []
    for order, axis in (("tchw", 2), ("cthw", 1), ("thwc", 4)):
        if dims[axis] in allowed:
            fitting.append(order)  # type: ignore[arg-type]
    if len(fitting) != 1:
        raise ModelError(
            f"cannot tell frames and channels of {describe([entry])} apart: say --clip-layout tchw, cthw or thwc"
        )
    return fitting[0]


def _channels_and_frames(
    entry: ir.Value,
    dims: dict[str, int | None],
    order: ClipOrder,
    asked: ClipOptions,
    allowed: tuple[int, ...],
    *,
    predicting: bool,
) -> tuple[int, int]:
    found, frames = dims.get("c", 1), dims.get("t")
    wanted = None if asked.length is None else asked.length - predicting
    if order == "stacked":
        total = found or 0
        channels = next((count for count in allowed if wanted and count * wanted == total), 0)
        channels = channels or next((count for count in reversed(allowed) if total % count == 0), 0)
        found, frames = channels, total // channels if channels else None
    frames = frames or wanted
    if not frames or not found:
        raise InputError(f"{describe([entry])} takes clips of any length: say how long with --clip-length FRAMES")
    return found, frames


def _asked_size(entry: ir.Value, options: ImportOptions) -> Size:
    if options.size is None:
        raise InputError(f"{describe([entry])} takes pictures of any size: say which one with --size WIDTHxHEIGHT")
    return options.size
