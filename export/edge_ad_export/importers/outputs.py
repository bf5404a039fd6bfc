"""The outputs of a graph by their shapes, and the family of model by the names of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.embedded import embedded_model, find_embedded
from edge_ad_export.graph.match import plane_of, read_array
from edge_ad_export.graph.static_shape import describe, static_shape
from edge_ad_export.passes import SelectOutputsPass, SimplifyPass, StaticShapePass

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.model.imported import ImportOptions

__all__ = [
    "FLOATS",
    "OutputNames",
    "Shapes",
    "anomalib_outputs",
    "check_named",
    "find_family",
    "is_map",
    "is_score",
    "listing",
    "static_outputs",
    "weight_names",
]


Shapes = Mapping[str, tuple[int, ...] | None]
FLOATS = {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}
# What anomalib before 2.0 calls its first output; the others get a number.
_FIRST = "output"


@dataclass(frozen=True)
class OutputNames:
    """The names of the values that are score and map."""

    score: str | None
    map: str | None


def static_outputs(model: ir.Model, shape: tuple[int, ...]) -> dict[str, tuple[int, ...] | None]:
    """Float outputs and their shapes for an input of ``shape``, as far as they can be told.

    Constants among the outputs, such as a threshold, are left out.
    """
    names = [str(value.name) for value in model.graph.outputs if value.dtype in FLOATS]
    copy = model.clone()
    for step in (SelectOutputsPass(names), StaticShapePass(shape), SimplifyPass()):
        step(copy)
    made = zip(names, copy.graph.outputs, strict=True)
    return {name: static_shape(value) for name, value in made if read_array(value) is None}


def is_map(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """One plane per image of a model with an input of this ``shape``, wherever the axes of length 1 are.

    Two axes without any for the batch may be vectors as well: they are a map where they are as long, for their
    breadth, as the picture.
    """
    plane = plane_of(dims, shape[0])
    if plane is None or (len(dims) > 1 and dims[0] == shape[0]):
        return plane is not None
    return any(abs(plane[0] * columns - plane[1] * rows) <= max(rows, columns) for rows, columns in _sides(shape))


def _sides(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Rows and columns of the picture, for either place of its channels."""
    if len(shape) != 4:
        return (shape[-2:],) if len(shape) > 2 else ()  # type: ignore[return-value]
    both = ((1, shape[2:]), (3, shape[1:3]))
    return tuple((sides[0], sides[1]) for channel, sides in both if shape[channel] in (1, 3))


def is_score(dims: tuple[int, ...], batch: int) -> bool:
    """One number per image."""
    return prod(dims) == batch


def anomalib_outputs(file: ModelFile, options: ImportOptions, shape: tuple[int, ...]) -> OutputNames:
    """Which is which in an export of anomalib before 2.0: by shape, and of several maps the one named ``output``.

    The score comes first in some models (DFM, FRE) and second in others (PatchCore); most have a map alone, whose
    largest value is the score then. EfficientAD has three maps, of which the first is the combined one.

    Raises:
        ModelError: no output is a score or a map, or several are.
    """
    check_named(file, options)
    if options.score_output or options.map_output:
        return OutputNames(options.score_output, options.map_output)
    shapes = {name: dims for name, dims in static_outputs(file.onnx, shape).items() if dims is not None}
    scores = [name for name, dims in shapes.items() if is_score(dims, shape[0])]
    maps = [name for name, dims in shapes.items() if is_map(dims, shape)]
    if _FIRST in maps:
        maps = [_FIRST]
    if _FIRST not in shapes or len(scores) > 1 or len(maps) > 1 or not scores + maps:
        raise ModelError(
            f"{file.path} has no output named {_FIRST} with one score or map, as exports of anomalib before 2.0 have: "
            f"name them with --score-output and --map-output; {listing(file)}"
        )
    return OutputNames(*(found[0] if found else None for found in (scores, maps)))


def check_named(file: ModelFile, options: ImportOptions) -> None:
    """Raises :class:`ModelError` where an option names a value that the model does not have."""
    known = ir.convenience.create_value_mapping(file.onnx.graph)
    for option, name in (("--score-output", options.score_output), ("--map-output", options.map_output)):
        if name is not None and name not in known:
            raise ModelError(f"{option} {name}: the model has no such value; {listing(file)}")


def listing(file: ModelFile) -> str:
    """What the model takes and gives, for a message."""
    graph = file.onnx.graph
    return f"inputs: {describe(graph.inputs)}; outputs: {describe(graph.outputs)}"


# Names that only one of anomalib's models gives its weights.
_FAMILIES = {
    "memory_bank": "patchcore",
    "gaussian.inv_covariance": "padim",
    "student_model.": "stfpm",
    "teacher.conv": "efficientad",
    "fast_flow_blocks": "fastflow",
}


def find_family(model: ir.Model) -> str:
    """The family, ``anomalib`` where nothing tells."""
    names = weight_names(model)
    return next((family for part, family in _FAMILIES.items() if any(part in name for name in names)), "anomalib")


def weight_names(model: ir.Model) -> tuple[str, ...]:
    """The names of the constants, those of an embedded model among them."""
    node = find_embedded(model)
    inside = [] if node is None else embedded_model(node).get_ops()
    constants = (op.get_friendly_name() for op in inside if op.get_type_name() == "Constant")
    return (*model.graph.initializers, *constants)
