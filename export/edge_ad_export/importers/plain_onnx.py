"""Imports any ONNX graph from one image to a score or a map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_ad.errors import ModelError
from edge_ad_export.heads import make_head
from edge_ad_export.heads.request import HeadRequest
from edge_ad_export.importers.choose_head import choose_head
from edge_ad_export.importers.clip_inputs import resolve_clip
from edge_ad_export.importers.inputs import ResolvedInput, resolve_input
from edge_ad_export.importers.outputs import OutputNames, Shapes, check_named, is_map, is_score, listing, static_outputs
from edge_ad_export.importers.raw_outputs import find_raw_outputs, removed
from edge_ad_export.importers.reshape_input import add_batch_axis, check_size
from edge_ad_export.importers.statistics import read_statistics
from edge_ad_export.model.head import Unfitted
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.model.imported import ImportedModel, ImportOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_export.files.model_file import ModelFile

__all__ = ["PlainOnnxImporter"]

_SCORE_NAMES = ("score", "pred_score", "anomaly_score")
_MAP_NAMES = ("map", "anomaly_map")
_ACTIVATIONS = ("Softmax", "SoftMax", "LogSoftmax", "Sigmoid")


class PlainOnnxImporter:
    """The graph says nothing of its meaning: what it does not say is assumed, and every assumption is reported.

    Outputs are found by name (``score``, ``map`` and similar names) or by shape: one number per image is a score, one
    plane per image is a map. Two that fit, or a plane shaped like the input, which may be a reconstruction, are
    never guessed at: the user names them.
    """

    def recognises(self, file: ModelFile) -> bool:
        return bool(file.onnx.graph.outputs)

    def load(self, file: ModelFile, options: ImportOptions) -> ImportedModel:
        told = read_statistics(file, options)
        options = told.options
        clips = options.clip is not None
        if not clips:
            add_batch_axis(file)
        resolved = resolve_clip(file, options) if clips else resolve_input(file, options)
        resolved = replace(resolved, notes=told.notes)
        spec = resolved.spec
        shape = spec.shape(spec.batch)
        if options.size is not None:
            check_size(file, shape, options.size)
        options = choose_head(options, shape, lambda: static_outputs(file.onnx, shape), gray=spec.color == "gray")
        if options.head is not None and options.head.family is not None:
            family = options.head.family
            options, notes = _before_clamp(file, options)
            resolved = replace(resolved, notes=(*resolved.notes, *notes))
            return replace(_headed(HeadRequest(file, spec, options, family), resolved), kernel=told.kernel)
        outputs = _outputs(file, options, shape)
        read = find_raw_outputs(file.onnx, [name for name in (outputs.score, outputs.map) if name is not None])
        if options.score_output or options.map_output:  # the user's word counts
            read = read.as_named(file.onnx)
        score, anomaly_map = (None if name is None else read.raw[name] for name in (outputs.score, outputs.map))
        assumed = [*resolved.assumed, f"higher is more anomalous in {outputs.score or outputs.map}"]
        if outputs.score is None:
            assumed.append(f"the score is the largest value of {outputs.map} (--score-output)")
        return ImportedModel(
            model=read.model,
            input=resolved.spec,
            score=None if score is None else score.name,
            map=None if anomaly_map is None else anomaly_map.name,
            family="onnx",
            importer="onnx",
            kernel=told.kernel,
            provenance=removed(score, anomaly_map) if any(raw.found for raw in read.raw.values()) else {},
            assumptions=(*(f"assumed: {line}" for line in assumed), *resolved.notes, *read.warnings()),
        )


def _before_clamp(file: ModelFile, options: ImportOptions) -> tuple[ImportOptions, tuple[str, ...]]:
    """For a head that takes one output: the options with the value before its normalisation; and what to say of it.

    What the user named is taken as it is. A head reads classes before their softmax or sigmoid by itself.
    """
    head = options.head or HeadOptions()
    if head.family not in ("map", "score"):
        return options, ()
    named = options.map_output if head.family == "map" else options.score_output
    outputs = [str(value.name) for value in file.onnx.graph.outputs]
    if (named or outputs[0]) not in outputs or (named is None and len(outputs) > 1):
        return options, ()
    name = named or outputs[0]
    read = find_raw_outputs(file.onnx, [name])
    if named is not None:
        read = read.as_named(file.onnx)
    raw = read.raw[name]
    by_class = head.family == "score" or head.anomalous_class is not None or head.normal_class is not None
    if not raw.found:
        return options, () if by_class and (raw.clamp or "").startswith(_ACTIVATIONS) else read.warnings()
    file.replace_graph(read.model)
    line = f"{name} is read before its normalisation and clamp, which were taken away"
    if head.family == "map":
        return replace(options, map_output=raw.name), (line,)
    return replace(options, score_output=raw.name), (line,)


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
        assumptions=(*(f"assumed: {line}" for line in (*resolved.assumed, *request.assumed)), *resolved.notes),
        head=None if isinstance(made, Unfitted) else made,
        unfitted=made if isinstance(made, Unfitted) else None,
    )


def _outputs(file: ModelFile, options: ImportOptions, shape: tuple[int, ...]) -> OutputNames:
    check_named(file, options)
    if options.score_output or options.map_output:
        return OutputNames(options.score_output, options.map_output)
    outputs = static_outputs(file.onnx, shape)
    _refuse_loss(file, outputs, shape)
    found = OutputNames(
        score=_pick(file, outputs, _SCORE_NAMES, "--score-output", lambda dims: is_score(dims, shape[0])),
        map=_pick(file, outputs, _MAP_NAMES, "--map-output", lambda dims: is_map(dims, shape) and dims != shape),
    )
    if found.score is None and found.map is None:
        raise ModelError(
            f"no output of {file.path} is plainly a score (one number per image) or an anomaly map (one plane per "
            f"image): name one with --score-output or --map-output, or say with --family what the outputs are; "
            f"{listing(file)}"
        )
    return found


def _refuse_loss(file: ModelFile, outputs: Shapes, shape: tuple[int, ...]) -> None:
    """A lone number beside features or a reconstruction may be a training loss: it is no score unless it is named so.

    Raises:
        ModelError: there is one.
    """
    if any(name in _SCORE_NAMES for name in outputs):
        return
    numbers = {name: dims for name, dims in outputs.items() if dims is not None and is_score(dims, shape[0])}
    others = [
        name
        for name, dims in outputs.items()
        if name not in numbers and (dims is None or dims == shape or not is_map(dims, shape))
    ]
    if all(outputs[name] == shape for name in others):
        # Beside a reconstruction a number with an axis of images is the model's own score.
        numbers = {name: dims for name, dims in numbers.items() if not dims or "loss" in name.lower()}
    if numbers and others:
        raise ModelError(
            f"{' and '.join(numbers)} of {file.path} may be a training loss, as {' and '.join(others)} are outputs "
            "too: say what the other outputs are, such as --family student-teacher with --feature-output and "
            "--predicted-output, or --family reconstruction; or take the number as the score with "
            f"--score-output {next(iter(numbers))}"
        )


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
