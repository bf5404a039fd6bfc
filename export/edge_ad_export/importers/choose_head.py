"""Which head a model gets, as far as its outputs and the options tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad_export.heads import FAMILIES
from edge_ad_export.importers.outputs import is_map, is_score
from edge_ad_export.model.head_options import HeadOptions

if TYPE_CHECKING:
    from edge_ad_export.model.imported import ImportOptions

__all__ = ["choose_head"]

# Options that belong to one family only.
_TELLING = {"anomalous_class": "score", "normal_class": "score"}
_MAP_OPTIONS = {"blur", "map_score"}
_RECONSTRUCTION_OPTIONS = _MAP_OPTIONS | {"error"}
# A plane shaped like a gray input may be a map as well: only its name tells.
_RECONSTRUCTION_NAMES = ("rec", "decod", "x_hat")

Shapes = Mapping[str, tuple[int, ...] | None]


def choose_head(
    options: ImportOptions, shape: tuple[int, ...], outputs: Callable[[], Shapes], *, gray: bool
) -> ImportOptions:
    """The options with a family, or without a head where the outputs are taken as they are.

    ``shape``: of the input; ``outputs``: gives the shapes of the outputs that may be a reconstruction.

    Raises:
        InputError: an option belongs to a head that nothing tells.
    """
    head = options.head or HeadOptions()
    if head.family is not None:
        return options
    if options.score_output or options.map_output:
        return options if options.head is None else _by_outputs(options, head)
    given = set(head.given())
    if telling := given & _TELLING.keys():
        return replace(options, head=replace(head, family=_TELLING[min(telling)]))
    if given <= _RECONSTRUCTION_OPTIONS and (name := _reconstruction(shape, outputs(), gray=gray)):
        return replace(options, head=replace(head, family="reconstruction", predicted_output=(name,)))
    if not given:
        return options
    if given <= _MAP_OPTIONS:
        return replace(options, head=replace(head, family="map"))
    names = " and ".join("--" + name.replace("_", "-") for name in sorted(given))
    raise InputError(f"{names}: which head it is for cannot be told; say --family {' | '.join(FAMILIES)}")


def _by_outputs(options: ImportOptions, head: HeadOptions) -> ImportOptions:
    """An output was named as score or map, and something was said of its head."""
    return replace(options, head=replace(head, family="score" if options.score_output else "map"))


def _reconstruction(shape: tuple[int, ...], outputs: Shapes, *, gray: bool) -> str | None:
    """The one output that is shaped like the picture, in a model that gives no score or map beside it."""
    others = [dims for dims in outputs.values() if dims is not None and dims != shape]
    if any(is_score(dims, shape[0]) or is_map(dims, shape) for dims in others):
        return None
    alike = [
        name
        for name, dims in outputs.items()
        if dims == shape and (not gray or any(part in name.lower() for part in _RECONSTRUCTION_NAMES))
    ]
    return alike[0] if len(alike) == 1 else None
