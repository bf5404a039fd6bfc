"""Which axis of a feature is its channels, and which token is a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from edge_ad.errors import ModelError
from edge_ad_export.graph.axes import Axes, Axis, labels_of, unknown
from edge_ad_export.heads.features import LayerOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_export.model.head_options import FeatureLayout, HeadOptions
    from edge_ad_export.model.input_spec import Size

__all__ = ["LAYOUT_OPTIONS", "Feature", "read_feature"]

LAYOUT_OPTIONS = frozenset({"feature_layout", "feature_grid", "feature_skip"})
"""What the user may say of the layout of features, for every family that reads some."""


_MAPS: tuple[FeatureLayout, ...] = ("nchw", "nhwc", "ncwh", "nwhc")
_TOKENS: tuple[FeatureLayout, ...] = ("nlc", "ncl")
_FORMS = (
    "features [batch, channels, height, width], [batch, height, width, channels], [batch, patches, channels] or "
    "[batch, channels]"
)


@dataclass(frozen=True)
class Feature:
    """A value of the graph that holds features.

    ``axes``: what the graph says of its axes, ``None`` where it cannot be followed. ``picture``: the model's input.
    ``batch``: how many pictures it takes at once. ``assume``: takes a line that says what its shape alone told.
    """

    name: str
    shape: tuple[int, ...] | None
    axes: Axes | None
    picture: Size
    batch: int = 1
    assume: Callable[[str], None] = lambda _line: None


@dataclass(frozen=True)
class _Grid:
    """Patches in raster order, ``skip`` tokens in front of them."""

    rows: int
    columns: int
    skip: int = 0


def read_feature(feature: Feature, options: HeadOptions) -> LayerOutput:
    """Reads the layout; what the user says of it counts first, then what the graph does, then the shape.

    Raises:
        ModelError: the value is of no layout that holds features, or it may be read in several ways. The message
            names the option that settles it.
    """
    sizes, axes, changed = _of_one_picture(feature)
    if len(sizes) == 1 or (sorted(sizes)[:-1] == [1] * (len(sizes) - 1) and not _places(axes)):
        return LayerOutput(feature.name, math.prod(sizes), 1, 1, dims=_dims(sizes, changed=changed))
    if len(sizes) == 2 and (labels_of(axes[0]), labels_of(axes[1])) == ({"h"}, {"w"}):  # one channel
        return LayerOutput(feature.name, 1, *sizes, dims=(1, 1, *sizes))
    if len(sizes) == 2:
        found = _tokens(feature, options, sizes, axes)
        return replace(found, dims=_dims(sizes, changed=changed))
    layout = _map_layout(feature, options, sizes, axes)
    at = [sizes[layout.index(letter) - 1] for letter in "chw"]
    return LayerOutput(feature.name, at[0], at[1], at[2], layout, dims=_dims(sizes, changed=changed))


def _of_one_picture(feature: Feature) -> tuple[tuple[int, ...], Axes, bool]:
    """Lengths and meaning of the axes without the batch, and whether the value needs another shape for that."""
    shape = feature.shape
    if shape is None or 0 in shape or not shape:
        _no_features(feature)
    axes = feature.axes or unknown(shape)
    batched = len(shape) > 1 and shape[0] == feature.batch
    if not batched and feature.batch > 1:
        _no_features(feature)
    sizes, axes = (shape[1:], axes[1:]) if batched else (shape, axes)
    if len(sizes) > 3:
        left = [(size, axis) for size, axis in zip(sizes, axes, strict=True) if size > 1]
        if len(left) not in (2, 3) or len(shape) > 5:
            _no_features(feature)
        return tuple(size for size, _ in left), tuple(axis for _, axis in left), True
    return sizes, axes, not batched


def _dims(sizes: tuple[int, ...], *, changed: bool) -> tuple[int, ...] | None:
    return (1, *sizes) if changed else None


def _no_features(feature: Feature) -> NoReturn:
    found = "an unknown shape" if feature.shape is None else f"the shape {list(feature.shape)}"
    raise ModelError(f"{feature.name} has {found}: expected {_FORMS}; name another with --feature-output")


def _places(axes: Axes) -> bool:
    return any(labels_of(axis) & {"h", "w"} and "c" not in labels_of(axis) for axis in axes)


def _map_layout(feature: Feature, options: HeadOptions, sizes: tuple[int, ...], axes: Axes) -> FeatureLayout:
    said = options.feature_layout
    if said in _TOKENS:
        raise ModelError(
            f"--feature-layout {said}: {feature.name} has the shape {list(feature.shape or ())}, which is nchw or nhwc"
        )
    if said is not None:
        return said
    fitting = [layout for layout in _MAPS if _agrees(layout, axes)]
    known = [layout for layout in fitting if layout in ("nchw", "nhwc")] or fitting
    if len(known) == 1:
        return known[0]
    shaped = [layout for layout in known if _has_aspect(layout, sizes, feature.picture)]
    if len(shaped) == 1:
        return shaped[0]
    raise ModelError(
        f"{feature.name} has the shape {list(feature.shape or ())}, and the graph does not tell which axis is its "
        "channels: say --feature-layout nchw or --feature-layout nhwc"
    )


def _agrees(layout: FeatureLayout, axes: Axes) -> bool:
    return all(_may_be(letter, axis) for letter, axis in zip(layout[1:], axes, strict=True))


def _may_be(letter: str, axis: Axis) -> bool:
    labels = labels_of(axis)
    if labels <= {"?"}:
        return True
    return "c" in labels if letter == "c" else labels <= {letter, "?"}


def _has_aspect(layout: FeatureLayout, sizes: tuple[int, ...], picture: Size) -> bool:
    """Whether rows and columns are in about the proportion of the picture's."""
    rows, columns = (sizes[layout.index(letter) - 1] for letter in "hw")
    expected = columns * picture.height / picture.width
    return abs(rows - expected) <= 1 or 0.8 < rows / expected < 1.25


def _tokens(feature: Feature, options: HeadOptions, sizes: tuple[int, ...], axes: Axes) -> LayerOutput:
    layout = _token_layout(feature, options, axes)
    at, channels = (0, sizes[1]) if layout == "nlc" else (1, sizes[0])
    grid = _grid(feature, options, sizes[at], axes[at])
    after = sizes[at] - grid.skip - grid.rows * grid.columns
    return LayerOutput(feature.name, channels, grid.rows, grid.columns, layout, grid.skip, after)


def _token_layout(feature: Feature, options: HeadOptions, axes: Axes) -> FeatureLayout:
    said = options.feature_layout
    if said in _TOKENS:
        return said
    if said is not None:
        raise ModelError(
            f"--feature-layout {said}: {feature.name} has the shape {list(feature.shape or ())}, which is nlc "
            "[batch, patches, channels] or ncl [batch, channels, patches]"
        )
    channels, places = (["c" in labels_of(axis) for axis in axes], [_places((axis,)) for axis in axes])
    if channels == [True, False] or places == [False, True]:
        return "ncl"
    if channels == [True, True] or places == [True, True]:
        raise ModelError(
            f"{feature.name} has the shape {list(feature.shape or ())}, and the graph does not tell which axis is its "
            "channels: say --feature-layout nlc [batch, patches, channels] or ncl [batch, channels, patches]"
        )
    return "nlc"


def _grid(feature: Feature, options: HeadOptions, tokens: int, axis: Axis) -> _Grid:
    if options.feature_grid is not None:
        rows, columns = options.feature_grid.height, options.feature_grid.width
        skip = options.feature_skip if options.feature_skip is not None else tokens - rows * columns
        if skip < 0 or skip + rows * columns > tokens:
            raise ModelError(
                f"--feature-grid {columns}x{rows} and {max(skip, 0)} skipped: {feature.name} has {tokens} tokens"
            )
        return _Grid(rows, columns, skip)
    found = _traced_grid(axis, tokens)
    if found is not None and options.feature_skip in (None, found.skip):
        return found
    return _shaped_grid(feature, options, tokens)


def _traced_grid(axis: Axis, tokens: int) -> _Grid | None:
    """Where the rows and columns of the picture lie in an axis, ``None`` where the graph does not tell."""
    pieces = axis[0].parts if len(axis) == 1 and axis[0].parts else ((tokens, axis),)
    skip, found = 0, None
    for size, piece in pieces:
        if labels_of(piece) & {"h", "w", "c"}:
            labels = [factor.label for factor in piece]
            sizes = {factor.label: factor.size for factor in piece}
            if found is not None or labels not in (["h", "w"], ["h"], ["w"]):
                return None
            found = _Grid(sizes.get("h", 1), sizes.get("w", 1), skip)
        skip += size
    return found


def _shaped_grid(feature: Feature, options: HeadOptions, tokens: int) -> _Grid:
    """By the number of tokens and the picture's shape: square patches that fill it, a class token or none in front."""
    picture = feature.picture
    skips = (0, 1) if options.feature_skip is None else (options.feature_skip,)
    step = math.gcd(picture.width, picture.height)
    grids = [
        _Grid(picture.height // patch, picture.width // patch, skip)
        for skip in skips
        for patch in range(1, step + 1)
        if step % patch == 0 and (picture.height // patch) * (picture.width // patch) == tokens - skip
    ]
    if len(grids) == 1:
        (grid,) = grids
        first = ", the first token left out" if grid.skip == 1 else ""
        feature.assume(f"{feature.name} is {grid.columns}x{grid.rows} patches{first} (--feature-grid, --feature-skip)")
        return grid
    raise ModelError(
        f"{feature.name} has {tokens} tokens, and the graph does not tell which of them is which place of a picture of "
        f"{picture}: say how many patches are side by side and one above the other with --feature-grid WxH, and how "
        "many tokens in front of them are no patches with --feature-skip N"
    )
