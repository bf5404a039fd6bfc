"""What an importer hands on: a model of any origin, described so that nothing after it needs to know the origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.model.clip_spec import ClipOptions
    from edge_ad_export.model.head import Head, Unfitted
    from edge_ad_export.model.head_options import HeadOptions
    from edge_ad_export.model.input_spec import Color, InputSpec, Kernel, Layout, Size

__all__ = ["ImportOptions", "ImportedModel", "Provenance"]

Provenance = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class ImportOptions:
    """What the user says about a model that the file does not say. ``None``: found, or the importer's default.

    ``scale`` divides the pixel values (255: the model takes 0 to 1); ``mean`` and ``std`` are subtracted and
    divided after that, one value or one per channel, in the model's colour order. ``input_value``: ``NAME=NUMBER`` or
    ``NAME=FILE.npy`` for inputs beside the image.
    """

    importer: str | None = None
    score_output: str | None = None
    map_output: str | None = None
    size: Size | None = None
    color: Color | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout | None = None
    head: HeadOptions | None = None
    clip: ClipOptions | None = None
    input_value: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedModel:
    """A trained model as its file has it, and where its raw score and map are.

    ``model`` is never changed: passes work on clones, and the parity check runs it as it is. ``score`` and ``map``
    name values of its graph, before any clamp, normalisation or threshold; at least one of them is given, unless a
    ``head`` makes both of other values. ``unfitted``: the head, where it has yet to learn from normal images.
    ``kernel``: the resampling that the model was trained with, where the file says.
    ``assumptions`` are the lines that the user should read: what the file did not say.
    """

    model: ir.Model
    input: InputSpec
    score: str | None
    map: str | None
    family: str
    importer: str
    provenance: Provenance = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    head: Head | None = None
    unfitted: Unfitted | None = None
    kernel: Kernel | None = None

    @property
    def outputs_read(self) -> tuple[str, ...]:
        """The names of the graph's values that score and map are, or that a head makes them of."""
        reader = self.head or self.unfitted
        if reader is not None:
            return reader.inputs
        return tuple(name for name in (self.score, self.map) if name is not None)

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        """What comes out in the end."""
        if self.head is not None:
            return self.head.roles
        named: tuple[tuple[Literal["score", "map"], str | None], ...] = (("score", self.score), ("map", self.map))
        return tuple(role for role, name in named if name is not None)
