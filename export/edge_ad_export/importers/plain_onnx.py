"""Imports any ONNX graph from one image to a score or a map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.imported import ImportedModel, ImportOptions
from edge_ad_export.importers.inputs import describe, only_input, resolve_input
from edge_ad_export.passes import SelectOutputsPass, SimplifyPass, StaticShapePass
from edge_ad_export.passes.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_export.importers.model_file import ModelFile

__all__ = ["PlainOnnxImporter"]

_SCORE_NAMES = ("score", "pred_score", "anomaly_score")
_MAP_NAMES = ("map", "anomaly_map")
_FLOATS = {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}


@dataclass(frozen=True)
class _Outputs:
    score: str | None
    map: str | None


class PlainOnnxImporter:
    """The graph says nothing of its meaning: what it does not say is assumed, and every assumption is reported.

    Outputs are found by name (``score``, ``map`` and their kin) or by shape: one number an image is a score, one
    plane an image is a map. Two that fit, or a plane shaped like the input, which may be a reconstruction, are
    never guessed at: the user names them.
    """

    def recognises(self, file: ModelFile) -> bool:
        return bool(file.onnx.graph.outputs)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        resolved = resolve_input(only_input(file), options)
        outputs = _outputs(file, options, resolved.spec.shape(resolved.spec.batch))
        assumed = [*resolved.assumed, f"higher is more anomalous in {outputs.score or outputs.map}"]
        if outputs.score is None:
            assumed.append(f"the score is the largest value of {outputs.map} (--score-output)")
        return ImportedModel(
            model=file.onnx,
            input=resolved.spec,
            score=outputs.score,
            map=outputs.map,
            family="onnx",
            importer="onnx",
            assumptions=tuple(f"assumed: {line}" for line in assumed),
        )


def _outputs(file: ModelFile, options: ImportOptions, shape: tuple[int, ...]) -> _Outputs:
    known = ir.convenience.create_value_mapping(file.onnx.graph)
    for option, name in (("--score-output", options.score_output), ("--map-output", options.map_output)):
        if name is not None and name not in known:
            raise ModelError(f"{option} {name}: the model has no such value; {_listing(file)}")
    if options.score_output or options.map_output:
        return _Outputs(options.score_output, options.map_output)
    outputs = _static_outputs(file, shape)
    found = _Outputs(
        score=_pick(file, outputs, _SCORE_NAMES, "--score-output", lambda dims: math.prod(dims) == shape[0]),
        map=_pick(file, outputs, _MAP_NAMES, "--map-output", lambda dims: _is_plane(dims) and dims != shape),
    )
    if found.score is None and found.map is None:
        raise ModelError(
            f"no output of {file.path} is plainly a score (one number an image) or an anomaly map (one plane an "
            f"image): name one with --score-output or --map-output; {_listing(file)}"
        )
    return found


def _pick(
    file: ModelFile,
    outputs: dict[str, tuple[int, ...] | None],
    names: tuple[str, ...],
    option: str,
    fits: Callable[[tuple[int, ...]], bool],
) -> str | None:
    named = [name for name in outputs if name in names]
    shaped = [name for name, dims in outputs.items() if dims is not None and fits(dims)]
    candidates = named or shaped
    if len(candidates) > 1:
        raise ModelError(
            f"{' and '.join(candidates)} of {file.path} both fit: name one with {option}; {_listing(file)}"
        )
    return candidates[0] if candidates else None


def _static_outputs(file: ModelFile, shape: tuple[int, ...]) -> dict[str, tuple[int, ...] | None]:
    """Float outputs and their shapes for an input of ``shape``, as far as they can be told."""
    names = [str(value.name) for value in file.onnx.graph.outputs if value.dtype in _FLOATS]
    copy = file.onnx.clone()
    for step in (SelectOutputsPass(names), StaticShapePass(shape), SimplifyPass()):
        step(copy)
    return {name: static_shape(value) for name, value in zip(names, copy.graph.outputs, strict=True)}


def _is_plane(dims: tuple[int, ...]) -> bool:
    """``[batch, 1, h, w]`` or ``[batch, h, w]``."""
    return len(dims) in (3, 4) and set(dims[1:-2]) <= {1} and dims[-1] > 1 and dims[-2] > 1


def _listing(file: ModelFile) -> str:
    graph = file.onnx.graph
    return f"inputs: {describe(graph.inputs)}; outputs: {describe(graph.outputs)}"
