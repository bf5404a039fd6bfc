"""Imports any ONNX graph from one image to a score or a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.heads import make_head
from edge_ad_export.heads.request import HeadRequest
from edge_ad_export.importers.choose_head import choose_head
from edge_ad_export.importers.clip_inputs import resolve_clip
from edge_ad_export.importers.inputs import ResolvedInput, resolve_input
from edge_ad_export.importers.outputs import OutputNames, check_named, is_map, is_score, listing, static_outputs
from edge_ad_export.model.head import Unfitted
from edge_ad_export.model.imported import ImportedModel, ImportOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_export.files.model_file import ModelFile

__all__ = ["PlainOnnxImporter"]

_SCORE_NAMES = ("score", "pred_score", "anomaly_score")
_MAP_NAMES = ("map", "anomaly_map")


class PlainOnnxImporter:
    """The graph says nothing of its meaning: what it does not say is assumed, and every assumption is reported.

    Outputs are found by name (``score``, ``map`` and their kin) or by shape: one number an image is a score, one
    plane an image is a map. Two that fit, or a plane shaped like the input, which may be a reconstruction, are
    never guessed at: the user names them.
    """

    def recognises(self, file: ModelFile) -> bool:
        return bool(file.onnx.graph.outputs)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        clips = options.clip is not None
        resolved = resolve_clip(file, options) if clips else resolve_input(file, options)
        spec = resolved.spec
        shape = spec.shape(spec.batch)
        options = choose_head(options, shape, lambda: static_outputs(file.onnx, shape), gray=spec.color == "gray")
        if options.head is not None and options.head.family is not None:
            return _headed(HeadRequest(file, spec, options, options.head.family), resolved)
        outputs = _outputs(file, options, shape)
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


def _headed(request: HeadRequest, resolved: ResolvedInput) -> ImportedModel:
    """Score and map are made by a head."""
    made = make_head(request)
    return ImportedModel(
        model=request.file.onnx,
        input=resolved.spec,
        score=None,
        map=None,
        family=request.family,
        importer="onnx",
        assumptions=tuple(f"assumed: {line}" for line in (*resolved.assumed, *request.assumed)),
        head=None if isinstance(made, Unfitted) else made,
        unfitted=made if isinstance(made, Unfitted) else None,
    )


def _outputs(file: ModelFile, options: ImportOptions, shape: tuple[int, ...]) -> OutputNames:
    check_named(file, options)
    if options.score_output or options.map_output:
        return OutputNames(options.score_output, options.map_output)
    outputs = static_outputs(file.onnx, shape)
    found = OutputNames(
        score=_pick(file, outputs, _SCORE_NAMES, "--score-output", lambda dims: is_score(dims, shape[0])),
        map=_pick(file, outputs, _MAP_NAMES, "--map-output", lambda dims: is_map(dims) and dims != shape),
    )
    if found.score is None and found.map is None:
        raise ModelError(
            f"no output of {file.path} is plainly a score (one number an image) or an anomaly map (one plane an "
            f"image): name one with --score-output or --map-output, or say with --family what the outputs are; "
            f"{listing(file)}"
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
        raise ModelError(f"{' and '.join(candidates)} of {file.path} both fit: name one with {option}; {listing(file)}")
    return candidates[0] if candidates else None
