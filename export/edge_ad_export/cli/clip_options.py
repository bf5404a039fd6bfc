"""The options of ``edge-ad export`` that describe clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_ad.cli.options import add_options

if TYPE_CHECKING:
    from edge_ad.bundle.records import Smoothing
    from edge_ad_export.importers.extractor import ExtractorOptions
    from edge_ad_export.model.clip_spec import ClipOptions

__all__ = ["CLIP_FAMILIES", "clip_options", "read_clip_options", "read_extractor_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_STEPS_MAX = 4096
CLIP_FAMILIES = ("next-frame", "clip-reconstruction", "mil")


def _smoothing(ctx: click.Context, param: click.Parameter, value: str | None) -> Smoothing | None:
    from edge_ad.bundle.records import Smoothing

    if value is None:
        return None
    kind, _, numbers = value.partition(":")
    parts = numbers.split("/") if kind == "k-of-n" else ["1", numbers]
    if (
        kind not in ("mean", "k-of-n")
        or len(parts) != 2
        or not all(p.isdecimal() and 0 < int(p) <= 4096 for p in parts)
    ):
        raise click.BadParameter(f"expected mean:N or k-of-n:K/N, found {value!r}", ctx=ctx, param=param)
    k, window = map(int, parts)
    if k > window:
        raise click.BadParameter(f"{k} of {window}: expected K up to N", ctx=ctx, param=param)
    return Smoothing(kind="mean" if kind == "mean" else "k_of_n", window=window, k=k)


_STEPS = click.IntRange(1, _STEPS_MAX)
_CLIP_OPTIONS = (
    click.option(
        "--clip-length",
        type=_STEPS,
        metavar="T",
        help="The model scores clips of T samples, with next-frame the predicted one included. Found from its input "
        "where that is of a fixed length and --family says that it takes clips.",
    ),
    click.option("--clip-stride", type=_STEPS, default=1, show_default=True, help="Frames from sample to sample."),
    click.option("--clip-hop", type=_STEPS, default=1, show_default=True, help="Frames from one score to the next."),
    click.option(
        "--clip-layout",
        type=click.Choice(["tchw", "cthw", "thwc", "stacked"]),
        help="Order of the clip's axes, or the extractor's; stacked: frames on the channel axis. Found from the shape "
        "otherwise.",
    ),
    click.option(
        "--clip-input",
        type=click.Choice(["frame", "flow", "features"]),
        default="frame",
        show_default=True,
        help="What a sample is: the picture, its optical flow, or a vector that the caller hands in.",
    ),
    click.option(
        "--extractor",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Two-stage: a model of single images that makes the vectors which MODEL scores. Options of pictures are "
        "the extractor's then.",
    ),
    click.option(
        "--extractor-output",
        metavar="NAME",
        help="Which value of the extractor is the vector; its only output otherwise. Of a value with places "
        "their mean is taken.",
    ),
    click.option(
        "--extractor-length",
        type=_STEPS,
        metavar="FRAMES",
        help="The extractor takes so many frames in a row. Found from its input where that is of a fixed length.",
    ),
    click.option(
        "--smooth",
        metavar="mean:N|k-of-n:K/N",
        callback=_smoothing,
        help="Score over time: the mean of the last N scores, or the K-th largest of them.",
    ),
)


def clip_options(function: _F) -> _F:
    """Adds what says how a model takes clips."""
    return add_options(function, _CLIP_OPTIONS)


def read_clip_options(given: dict[str, Any]) -> ClipOptions | None:
    """What was said about clips; ``None`` for a model of single images.

    Raises :class:`InputError` for options of clips without a length or a family that says clips.
    """
    from edge_ad.errors import InputError
    from edge_ad_export.model.clip_spec import ClipOptions

    options = ClipOptions(
        length=given["clip_length"],
        stride=given["clip_stride"],
        hop=given["clip_hop"],
        order=given["clip_layout"],
        input=given["clip_input"],
        smoothing=given["smooth"],
    )
    if options.length is not None or given["family"] in CLIP_FAMILIES:
        return options
    if options != ClipOptions():
        raise InputError(f"options of clips were given: say --clip-length T or --family {' | '.join(CLIP_FAMILIES)}")
    return None


def read_extractor_options(given: dict[str, Any]) -> ExtractorOptions | None:
    """What was said about an extractor, ``None`` without one. Raises :class:`InputError` for half of it."""
    from edge_ad.errors import InputError
    from edge_ad_export.importers.extractor import ExtractorOptions

    if given["extractor"] is None:
        if given["extractor_output"] is not None or given["extractor_length"] is not None:
            raise InputError(
                "--extractor-output and --extractor-length are about an extractor: say --extractor FILE too"
            )
        return None
    return ExtractorOptions(given["extractor"], given["extractor_output"], given["extractor_length"])
