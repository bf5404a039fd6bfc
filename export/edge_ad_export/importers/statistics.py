"""Mean, scale and colour order that stand in a model's file, whatever wrote it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad_export.importers.albumentations import from_model_info, is_true, unused_entries

if TYPE_CHECKING:
    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.model.imported import ImportOptions

__all__ = ["ToldOptions", "read_statistics"]

_STATISTICS = ("mean_values", "scale_values")
# Entries of ONNX files that hold statistics in a unit that nobody states.
_UNCLEAR = {"mean", "std", "normalize", "normalization", "preprocessing", "image_mean", "image_std"}


@dataclass(frozen=True)
class ToldOptions:
    """The options, those that were not given filled in from the file; ``notes``: what of the file is used or not."""

    options: ImportOptions
    notes: tuple[str, ...] = ()


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
    if not any(name in info for name in _STATISTICS):
        return ToldOptions(options, tuple(notes))
    if is_true(info.get("embedded_processing", "")):
        notes.append("the file says that mean and scale are in the graph already (embedded_processing)")
        return ToldOptions(replace(options, scale=options.scale or 1.0), tuple(notes))
    if any(given is not None for given in (options.mean, options.std, options.scale)):
        notes.append("mean_values and scale_values of the file are not used, as --mean, --std or --scale is given")
        return ToldOptions(options, tuple(notes))
    found = from_model_info(info, file.path)
    notes.append("mean, scale and colour order are those that the file states in model_info (--mean, --std, --scale)")
    return ToldOptions(replace(options, mean=found.mean, std=found.std, scale=found.scale), tuple(notes))


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
