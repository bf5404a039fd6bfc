"""What a head is made from: the model, its input and what the user said."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import onnx_ir as ir

from edge_ad.errors import InputError, ModelError
from edge_ad_export.graph.axes import labels_of
from edge_ad_export.graph.static_shape import describe, static_shape
from edge_ad_export.graph.trace_axes import trace_axes
from edge_ad_export.heads.embedding import FitOptions
from edge_ad_export.heads.feature_layout import Feature, read_feature
from edge_ad_export.heads.features import FeatureStack, LayerOutput
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.model.head_options import HeadOptions, Interpolation, MapScore
from edge_ad_export.passes import SelectOutputsPass, SimplifyPass, StaticShapePass

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_export.files.model_file import ModelFile
    from edge_ad_export.graph.axes import Axes
    from edge_ad_export.model.head import Unfitted
    from edge_ad_export.model.imported import ImportOptions
    from edge_ad_export.model.input_spec import InputSpec

__all__ = ["HeadRequest"]

_Fit = TypeVar("_Fit", bound="Unfitted")


class HeadRequest:
    """Hands a head what it asks for, and refuses in one line what is not there."""

    def __init__(self, file: ModelFile, spec: InputSpec, importing: ImportOptions, family: str) -> None:
        self.file = file
        self.spec = spec
        self.importing = importing
        self.options = importing.head or HeadOptions()
        self.family = family
        self._assumed: list[str] = []

    @property
    def assumed(self) -> tuple[str, ...]:
        """What neither the file nor the user said."""
        return tuple(self._assumed)

    def assume(self, line: str) -> None:
        self._assumed.append(line)

    def value(self, name: str) -> ir.Value:
        """A value of the graph. Raises :class:`ModelError`."""
        if name not in self._known:
            raise ModelError(f"the model has no value {name}; {self.listing()}")
        return self._known[name]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Its shape at the input's size, ``None`` where it cannot be told. Raises :class:`ModelError`."""
        self.value(name)
        value = ir.convenience.create_value_mapping(self._sized.graph)[name]
        return static_shape(value) or self._simplified_shape(name)

    def only_output(self) -> str:
        """The model's output where it has one. Raises :class:`ModelError`."""
        names = [str(value.name) for value in self.file.onnx.graph.outputs]
        if len(names) > 1:
            option = {"score": "--score-output", "map": "--map-output", "reconstruction": "--predicted-output"}
            raise ModelError(
                f"{self.file.path} has {len(names)} outputs: name the one for --family {self.family} with "
                f"{option.get(self.family, '--feature-output')}; {self.listing()}"
            )
        return names[0]

    def feature_outputs(self) -> tuple[str, ...]:
        """What ``--feature-output`` named, or the one output. Raises :class:`ModelError`."""
        return self.options.feature_output or (self.only_output(),)

    def features(self, interpolation: Interpolation) -> FeatureStack:
        """The named layers; ``interpolation`` where the user says none. Raises :class:`ModelError`."""
        layers = tuple(self.layer(name) for name in self.feature_outputs())
        options = self.options
        return FeatureStack(layers, options.feature_pool or "none", options.feature_resize or interpolation)

    def layer(self, name: str) -> LayerOutput:
        """A value that holds features. Raises :class:`ModelError` where its layout is of no use or not known."""
        spec = self.spec
        feature = Feature(name, self.shape(name), self.axes(name), spec.size, spec.batch, self.assume)
        return read_feature(feature, self.options)

    def axes(self, name: str) -> Axes | None:
        """What each axis of a value stands for, ``None`` where its shape is not known. Raises :class:`ModelError`."""
        self.value(name)
        found = self._traced.get(name)
        if found is None or any("?" in labels_of(axis) for axis in found):
            return trace_axes(self._simplified(name), self._letters).get(name, found)
        return found

    def postprocessor(self, rows: int, columns: int, *, blur_px: float = 0.0) -> MapPostprocessor:
        """Blur and score of a map; ``blur_px`` where the user says nothing."""
        size = self.spec.size
        sigma = blur_px if self.options.blur is None else self.options.blur
        return MapPostprocessor(
            rows,
            columns,
            sigma * rows / size.height,
            sigma * columns / size.width,
            self.options.map_score or MapScore(),
        )

    def head_data(self) -> Path | None:
        """The file of what was learnt, ``None`` with ``--fit``. Raises :class:`InputError` for both or neither."""
        path, fit = self.options.head_data, self.options.fit
        if (path is None) == (fit is None):
            found = "neither" if fit is None else "both"
            raise InputError(
                f"--family {self.family} takes what it learnt from --head-data FILE, or learns it from the normal "
                f"images of --fit PATH: found {found}, say one"
            )
        if path is not None and (wrong := [name for name in self.options.given() if name.startswith("fit_")]):
            raise InputError(f"--{wrong[0].replace('_', '-')} belongs to --fit, which --head-data takes the place of")
        return path

    def fit_options(self) -> FitOptions:
        default, said = FitOptions(), self.options
        return FitOptions(said.fit_channels or default.channels, said.fit_shared, said.fit_bank or default.bank)

    def fitting(self, unfitted: _Fit) -> _Fit:
        """Notes what the user should know of a fit."""
        self.assume("the images of --fit are not used again to calibrate: what a head has learnt from scores too low")
        return unfitted

    def listing(self) -> str:
        """Inputs and outputs with their shapes."""
        graph = self.file.onnx.graph
        return f"inputs: {describe(graph.inputs)}; outputs: {describe(graph.outputs)}"

    @cached_property
    def _known(self) -> dict[str, ir.Value]:
        return dict(ir.convenience.create_value_mapping(self.file.onnx.graph))

    @cached_property
    def _sized(self) -> ir.Model:
        copy = self.file.onnx.clone()
        StaticShapePass(self.spec.shape(self.spec.batch))(copy)
        return copy

    @cached_property
    def _traced(self) -> dict[str, Axes]:
        return trace_axes(self._sized, self._letters)

    @property
    def _letters(self) -> str:
        """What the axes of the model's input are."""
        order = self.spec.clip.order if self.spec.clip else "stacked"
        return self.spec.layout if order == "stacked" else f"n{order}"

    def _simplified_shape(self, name: str) -> tuple[int, ...] | None:
        """Of a value whose shape is computed in the graph."""
        return static_shape(self._simplified(name).graph.outputs[0])

    def _simplified(self, name: str) -> ir.Model:
        """The part of the graph that leads to a value, with constants folded."""
        copy = self.file.onnx.clone()
        for step in (SelectOutputsPass([name]), StaticShapePass(self.spec.shape(self.spec.batch)), SimplifyPass()):
            step(copy)
        return copy
