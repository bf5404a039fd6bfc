"""Mean, scale and colour order that stand in a model's file or beside it, whatever wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edge_ad.errors import ModelError
from edge_ad_export.importers.albumentations import from_model_info, is_true, unused_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.model.imported import ImportOptions
    from edge_ad_export.model.input_spec import Kernel

__all__ = ["ToldOptions", "read_statistics"]

_STATISTICS = ("mean_values", "scale_values")
# Entries of ONNX files that hold statistics in a unit that nobody states.
_UNCLEAR = {"mean", "std", "normalize", "normalization", "preprocessing", "image_mean", "image_std"}
# Hugging Face's, beside models that were saved or exported with its libraries.
_PROCESSOR = "preprocessor_config.json"
# Those of PaddleX, PaddleSeg, PaddleDetection and others. They are not read, but named where they have statistics.
_DESCRIPTIONS = ("inference.yml", "inference.yaml", "deploy.yaml", "deploy.yml", "infer_cfg.yml", "model.yml")
_NORMALIZING = re.compile(r"normalize", re.IGNORECASE)
_NUMBERS = re.compile(r"^[\s-]*(mean|std)\s*:\s*((?:\[[^\]]*\])|(?:(?:\s*-\s*[\d.eE+-]+\s*$)+))", re.MULTILINE)
_WHOLE = {"UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64"}


@dataclass(frozen=True)
class ToldOptions:
    """The options, those that were not given filled in from the file; ``notes``: what of the file is used or not.
    ``kernel``: how pictures were resized in training, ``None`` where nothing says."""

    options: ImportOptions
    notes: tuple[str, ...] = ()
    kernel: Kernel | None = None


class _Processor(msgspec.Struct):
    """``preprocessor_config.json`` of a vision model. The statistics are of pixels times ``rescale_factor``."""

    do_normalize: bool = True
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, ...] | float | None = None
    image_std: tuple[float, ...] | float | None = None
    do_resize: bool = True
    resample: int | None = None


# Pillow's numbers of its filters.
_RESAMPLE: Mapping[int, Kernel] = {0: "nearest", 2: "antialiased-linear", 3: "antialiased-cubic"}


def read_statistics(file: ModelFile, options: ImportOptions) -> ToldOptions:
    """What the user says wins over the file, for all of mean, standard deviation and scale together.

    Raises:
        ModelError: the file holds statistics that cannot be read.
    """
    info = file.model_info
    notes = [*unused_entries(info), *_unclear(file)]
    color = options.color
    if color is None and "reverse_input_channels" in info and not _is_gray(file):
        color = "rgb" if is_true(info["reverse_input_channels"]) else "bgr"
    options = replace(options, color=color)
    kernel, of_kernel = _stated_kernel(file)
    told = _told(file, options, notes)
    return replace(told, notes=(*told.notes, *of_kernel), kernel=kernel)


def _told(file: ModelFile, options: ImportOptions, notes: list[str]) -> ToldOptions:
    info = file.model_info
    found, place = _stated(file, info, options)
    if found is None:
        return ToldOptions(options, (*notes, *(_beside(file) if _is_open(options) else ())))
    if is_true(info.get("embedded_processing", "")):
        notes.append("the file says that mean and scale are in the graph already (embedded_processing)")
        return ToldOptions(replace(options, scale=options.scale or 1.0), tuple(notes))
    if not _is_open(options):
        notes.append(f"the mean and scale stated in {place} are not used, as --mean, --std or --scale is given")
        return ToldOptions(options, tuple(notes))
    dtype = file.onnx.graph.inputs[0].dtype
    if dtype is not None and dtype.name in _WHOLE and file.format == "tflite":
        notes.append(f"the mean and scale stated in {place} are not used: the quantized model takes pixels as they are")
        return ToldOptions(options, tuple(notes))
    notes.append(f"mean and scale are those stated in {place} (--mean, --std, --scale)")
    return ToldOptions(replace(options, mean=found.mean, std=found.std, scale=found.scale), tuple(notes))


def _is_open(options: ImportOptions) -> bool:
    return options.mean is None and options.std is None and options.scale is None


def _stated(file: ModelFile, info: Mapping[str, str], options: ImportOptions) -> tuple[ImportOptions | None, str]:
    """``options`` with mean, standard deviation and scale of the file; ``None`` without any. And where they stand."""
    if any(name in info for name in _STATISTICS):
        found = from_model_info(info, file.path)
        place = "the file's metadata" if file.format == "tflite" else "the file's model_info"
        return replace(options, mean=found.mean, std=found.std, scale=found.scale), place
    return _processor(file, options), f"the {_PROCESSOR} beside the file"


def _read_processor(file: ModelFile) -> _Processor | None:
    """Raises :class:`ModelError` where the file beside is damaged."""
    path = file.path.parent / _PROCESSOR
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Processor)
    except (msgspec.DecodeError, OSError) as error:
        raise ModelError(f"{path} beside the model cannot be read ({error}): copy it again, or take it away") from None


def _stated_kernel(file: ModelFile) -> tuple[Kernel | None, tuple[str, ...]]:
    """The kernel of the training and a line about it."""
    found = _read_processor(file)
    if found is None or found.resample is None or not found.do_resize:
        return None, ()
    kernel = _RESAMPLE.get(found.resample)
    if kernel is None:
        return None, (
            f"the {_PROCESSOR} beside the file resizes with Pillow's filter {found.resample}, which edge-ad does not "
            "have: area is taken, or choose with --kernel",
        )
    return kernel, (f"pictures are resized with {kernel}, as the {_PROCESSOR} beside the file says (--kernel)",)


def _processor(file: ModelFile, options: ImportOptions) -> ImportOptions | None:
    """Raises :class:`ModelError` where the file beside is damaged."""
    found = _read_processor(file)
    if found is None:
        return None
    mean = found.image_mean if found.do_normalize else None
    std = found.image_std if found.do_normalize else None
    return replace(
        options,
        scale=1 / found.rescale_factor if found.do_rescale and found.rescale_factor > 0 else 1.0,
        mean=(mean,) if isinstance(mean, float) else mean or (0.0,),
        std=(std,) if isinstance(std, float) else std or (1.0,),
    )


def _is_gray(file: ModelFile) -> bool:
    shape = file.onnx.graph.inputs[0].shape
    return shape is None or 3 not in list(shape)


def _unclear(file: ModelFile) -> list[str]:
    found = sorted(name for name in file.onnx.metadata_props if name.lower() in _UNCLEAR)
    return [
        f"the file's metadata says {name} {file.onnx.metadata_props[name]}, which is not used: say it with --mean, "
        "--std and --scale"
        for name in found
    ]


def _beside(file: ModelFile) -> list[str]:
    """A line for each description beside the model that names a normalisation."""
    notes = []
    folder = file.path if file.path.is_dir() else file.path.parent
    for path in (folder / name for name in _DESCRIPTIONS):
        text = path.read_text(errors="replace") if path.is_file() else ""
        if _NORMALIZING.search(text):
            numbers = ", ".join(f"{what} {' '.join(values.split())}" for what, values in _NUMBERS.findall(text))
            notes.append(
                f"{path.name} beside the model describes a normalisation{f' ({numbers})' if numbers else ''}, which is "
                "not read: say it with --mean, --std and --scale"
            )
    return notes
