"""The extractor of a two-stage bundle: any model of single images whose output is read as a vector a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge_ad.errors import InputError, ModelError
from edge_ad_export.files.model_file import ModelFile
from edge_ad_export.files.torch_file import TorchOptions
from edge_ad_export.graph.static_shape import describe
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.request import HeadRequest
from edge_ad_export.importers.checks import check_model
from edge_ad_export.importers.clip_inputs import resolve_clip
from edge_ad_export.importers.inputs import ResolvedInput, resolve_input
from edge_ad_export.importers.random_nodes import switch_off_dropout
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.imported import ImportedModel, ImportOptions
from edge_ad_export.model.input_spec import Size

__all__ = ["ExtractorOptions", "ImportedExtractor", "check_fit", "import_extractor", "scorer_options"]

_CLIP_AXES = 5


@dataclass(frozen=True)
class ExtractorOptions:
    """``model``: its file. ``output``: the value of its graph that is the vector; ``None``: the only output.
    ``length``: how many frames in a row it takes, where its input leaves that open.

    What an :class:`~edge_ad_export.model.imported.ImportOptions` says of pictures is said of the extractor.
    """

    model: Path
    output: str | None = None
    length: int | None = None


@dataclass(frozen=True)
class ImportedExtractor:
    """An extractor as its file has it.

    Attributes:
        file: the model's file.
        model: the imported model, of which one value is read.
        output: that value. One with places, such as ``[1, n, h, w]``, becomes a vector by its mean over them.
    """

    file: ModelFile
    model: ImportedModel
    output: LayerOutput

    @property
    def snippet(self) -> int:
        """How many frames in a row make a vector."""
        return self.model.input.clip.length if self.model.input.clip else 1

    @property
    def size(self) -> int:
        """How many features a vector has."""
        return self.output.channels


def import_extractor(options: ExtractorOptions, importing: ImportOptions, torch: TorchOptions) -> ImportedExtractor:
    """Reads the extractor's file as that of any image model, or of one that takes snippets of frames.

    Raises:
        InputError: no such file, or its size or length is not told.
        ModelError: it takes no image or several at once, or nothing of that name, or nothing like a vector, comes out.
    """
    file = ModelFile(options.model, replace(torch, state_dict=None))
    resolved = _resolve(file, options, importing)
    if resolved.spec.batch != 1:
        raise ModelError(
            f"the extractor {file.path} insists on {resolved.spec.batch} images at once: export it with batch 1"
        )
    request = HeadRequest(file, resolved.spec, importing, "extractor")
    name = options.output or _only_output(file)
    output = _output(name, request)
    assumed = [f"extractor: {line}" for line in resolved.assumed]
    if not output.is_vector:
        assumed.append(f"extractor: a vector is the mean of {name} over its {output.rows * output.columns} places")
    model = ImportedModel(
        model=file.onnx,
        input=resolved.spec,
        score=name,
        map=None,
        family="extractor",
        importer="onnx",
        assumptions=tuple(f"assumed: {line}" for line in assumed),
    )
    model = switch_off_dropout(model)
    try:
        check_model(model, file.path)
    except ModelError as error:  # whose advice is for scores
        raise ModelError(str(error).replace("--score-output or --map-output", "--extractor-output")) from None
    return ImportedExtractor(file, model, output)


def scorer_options(importing: ImportOptions, extractor: ImportedExtractor | None) -> ImportOptions:
    """What is left to say of the scorer, which takes what the extractor makes.

    Raises:
        InputError: nothing says that the scorer takes clips, or they are to be of something else.
    """
    if extractor is None:
        return importing
    if importing.clip is None:
        raise InputError("--extractor makes vectors for a scorer of clips: say --clip-length T or --family mil")
    if importing.clip.input == "flow":
        raise InputError("--extractor makes vectors of pictures, not of flow: leave --clip-input out")
    return ImportOptions(
        importer=importing.importer,
        score_output=importing.score_output,
        map_output=importing.map_output,
        size=Size(extractor.size, 1),
        head=importing.head and replace(importing.head, feature_layout=None, feature_grid=None, feature_skip=None),
        clip=replace(importing.clip, input="features", order=None),
    )


def check_fit(scorer: ImportedModel, extractor: ImportedExtractor | None) -> None:
    """Raises :class:`ModelError` where the scorer takes other vectors than the extractor makes."""
    if extractor is not None and scorer.input.size.width != extractor.size:
        raise ModelError(
            f"the extractor {extractor.file.path} makes vectors of {extractor.size} features, and the scorer takes "
            f"{scorer.input.size.width}: name another value with --extractor-output"
        )


def _resolve(file: ModelFile, options: ExtractorOptions, importing: ImportOptions) -> ResolvedInput:
    inputs, order = file.onnx.graph.inputs, importing.clip.order if importing.clip else None
    axes = len(inputs[0].shape) if len(inputs) == 1 and inputs[0].shape is not None else 0
    if axes == _CLIP_AXES or order == "stacked" or options.length is not None:
        clip = ClipOptions(length=options.length, order=order)
        try:
            return resolve_clip(file, replace(importing, clip=clip, head=None))
        except InputError as error:  # what is said of a clip is said of the snippet here
            raise InputError(str(error).replace("--clip-length", "--extractor-length")) from None
    return resolve_input(file, importing)


def _output(name: str, request: HeadRequest) -> LayerOutput:
    shape, spec = request.shape(name), request.spec
    if shape is not None and len(shape) == _CLIP_AXES and 0 not in shape:
        if max(shape[:-1]) == 1:
            return LayerOutput(name, shape[-1], 1, 1)
        if spec.clip is not None and spec.clip.order == "thwc":
            raise ModelError(f"{name} has the shape {list(shape)}: of a model in the order thwc expected one vector")
        _, channels, times, rows, columns = shape
        return LayerOutput(name, channels, times * rows, columns)
    return request.layer(name)


def _only_output(file: ModelFile) -> str:
    outputs = file.onnx.graph.outputs
    if len(outputs) != 1:
        raise ModelError(
            f"the extractor {file.path} has {len(outputs)} outputs: name the one with --extractor-output; "
            f"{describe(outputs)}"
        )
    return str(outputs[0].name)
