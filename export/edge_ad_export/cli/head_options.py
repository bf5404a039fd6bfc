"""The options of ``edge-ad export`` that describe the head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_ad.cli.options import add_options
from edge_ad_export.heads import FAMILIES

if TYPE_CHECKING:
    from edge_ad_export.model.head_options import HeadOptions, MapScore

__all__ = ["head_options", "read_head_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _map_score(ctx: click.Context, param: click.Parameter, value: str | None) -> MapScore | None:
    from edge_ad_export.model.head_options import parse_map_score

    try:
        return None if value is None else parse_map_score(value)
    except ValueError:
        raise click.BadParameter(
            f"expected max, top:K with a number of cells or quantile:Q with 0 < Q <= 1, found {value!r}",
            ctx=ctx,
            param=param,
        ) from None


_HEAD_OPTIONS = (
    click.option(
        "--family",
        type=click.Choice(["auto", *FAMILIES]),
        default="auto",
        show_default=True,
        help="What the model's outputs are; auto takes scores, maps and reconstructions that are plainly such.",
    ),
    click.option("--feature-output", metavar="NAME", multiple=True, help="Features; say it again for every layer."),
    click.option(
        "--predicted-output",
        metavar="NAME",
        multiple=True,
        help="What a student or decoder made: the reconstruction, or features in the order of --feature-output.",
    ),
    click.option("--anomalous-class", type=click.IntRange(min=0), metavar="I", help="score: the defect's number."),
    click.option("--normal-class", type=click.IntRange(min=0), metavar="I", help="score: the good part's number."),
    click.option(
        "--error",
        type=click.Choice(["squared", "absolute", "ssim", "psnr"]),
        help="reconstruction, next-frame and clip-reconstruction: error of a pixel; psnr, of next-frame, scores the "
        "whole frame. [default: squared]",
    ),
    click.option(
        "--distance", type=click.Choice(["cosine", "l2"]), help="student-teacher: of two features. [default: cosine]"
    ),
    click.option(
        "--combine",
        type=click.Choice(["product", "sum", "mean"]),
        help="Of several levels. [default: product for student-teacher, mean for flow]",
    ),
    click.option(
        "--likelihood",
        type=click.Choice(["log", "probability"]),
        help="flow: the map is -log p or -p. [default: log]",
    ),
    click.option(
        "--feature-pool",
        type=click.Choice(["none", "3x3", "global"]),
        help="Embeddings: averages over neighbours, as PatchCore does, or over the whole picture. [default: none]",
    ),
    click.option(
        "--feature-resize",
        type=click.Choice(["linear", "nearest"]),
        help="Embeddings: how layers come to the first one's size. [default: nearest for gaussian, linear otherwise]",
    ),
    click.option(
        "--neighbours",
        type=click.IntRange(min=1),
        metavar="K",
        help="memory-bank: for the weight of the score; 1 for none. [default: 9]",
    ),
    click.option(
        "--blur",
        type=click.FloatRange(min=0),
        metavar="PX",
        help="Standard deviation of the map's blur in pixels of the model's input, 0 for none. "
        "[default: 4 for reconstruction, gaussian and memory-bank, 0 otherwise]",
    ),
    click.option(
        "--map-score",
        metavar="max|top:K|quantile:Q",
        callback=_map_score,
        help="The score of a map: its largest value, the mean of the K largest, or a quantile. [default: max]",
    ),
    click.option(
        "--head-data",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Embeddings: .npz of what was learnt: mean and covariance, bank, or centre.",
    ),
    click.option(
        "--fit",
        metavar="PATH",
        help="Embeddings: learn that from these normal images, in closed form. Calibrate with others.",
    ),
    click.option(
        "--fit-channels",
        type=click.IntRange(min=1),
        metavar="C",
        help="gaussian, --fit: use so many features, drawn at random. [default: 100]",
    ),
    click.option("--fit-shared", is_flag=True, help="gaussian, --fit: one Gaussian for all places."),
    click.option(
        "--fit-bank",
        type=click.IntRange(min=1),
        metavar="M",
        help="memory-bank, --fit: keep so many patches, drawn at random. [default: 4096]",
    ),
)


def head_options(function: _F) -> _F:
    """Adds what says how the model's outputs become a score and a map."""
    return add_options(function, _HEAD_OPTIONS)


def read_head_options(given: dict[str, Any]) -> HeadOptions | None:
    """What was said about the head, ``None`` for nothing."""
    from edge_ad_export.model.head_options import HeadOptions

    options = HeadOptions(**{name: given[name] for name in HeadOptions.__dataclass_fields__ if name != "family"})
    if given["family"] == "auto":
        return options if options.given() else None
    return HeadOptions(**{**vars(options), "family": given["family"]})
