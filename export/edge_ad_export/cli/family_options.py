"""The options of ``edge-ad export`` about the family of the model: how its outputs become a score and a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, Parsed, option
from edge_ad.cli.options import PATH, parse_size
from edge_ad_export.heads import FAMILIES

if TYPE_CHECKING:
    from edge_ad_export.model.head_options import MapScore
    from edge_ad_export.model.input_spec import Size

__all__ = ["HEAD"]

_AUTO = "auto"
_LEARNT = "What a head learns from normal images"


def _parse_family(text: str) -> str | None:
    if text not in (_AUTO, *FAMILIES):
        raise ValueError(f"expected one of {', '.join((_AUTO, *FAMILIES))}")
    return None if text == _AUTO else text


def _parse_map_score(text: str) -> MapScore:
    from edge_ad_export.model.head_options import parse_map_score

    try:
        return parse_map_score(text)
    except ValueError:
        raise ValueError("expected max, top:K with a number of cells or quantile:Q with 0 < Q <= 1") from None


def _parse_grid(text: str) -> Size:
    from edge_ad_export.model.input_spec import Size

    return Size(*parse_size(text))


HEAD = OptionGroup(
    "How the model's outputs become a score and an anomaly map",
    "edge_ad_export.model.head_options:HeadOptions",
    (
        option(
            "--family",
            heading=COMMON,
            type=Parsed("NAME", _parse_family),
            help=f"What the outputs of the model are: {', '.join(FAMILIES)}, or auto. Without this option or with "
            "auto, scores, maps and reconstructions are recognised.",
        ),
        option(
            "--feature-output",
            metavar="NAME",
            multiple=True,
            help="An output or inner value of the model that holds features. Repeat the option for each layer.",
        ),
        option(
            "--predicted-output",
            metavar="NAME",
            multiple=True,
            help="What a student or decoder made: the reconstructed image, or features in the order of "
            "--feature-output. Repeat the option for each layer.",
        ),
        option(
            "--anomalous-class",
            type=click.IntRange(min=0),
            metavar="I",
            help="score and map: the number of the class that means a defect, counted from 0.",
        ),
        option(
            "--normal-class",
            type=click.IntRange(min=0),
            metavar="I",
            help="score and map: the number of the class that means a good part, counted from 0.",
        ),
        option(
            "--error",
            type=click.Choice(["squared", "absolute", "ssim", "psnr"]),
            help="reconstruction, next-frame and clip-reconstruction: how the error of a pixel is measured. psnr is "
            "for next-frame and scores the whole frame. Without this option it is squared.",
        ),
        option(
            "--distance",
            type=click.Choice(["cosine", "l2"]),
            help="student-teacher: how the distance of two features is measured. Without this option it is cosine.",
        ),
        option(
            "--combine",
            type=click.Choice(["product", "sum", "mean"]),
            help="How the anomaly maps of several layers, or the planes of one map, become one. Without this option it "
            "is product for student-teacher and mean for flow.",
        ),
        option(
            "--likelihood",
            type=click.Choice(["log", "probability"]),
            help="flow: what the output p holds. With log the anomaly map is -log p, with probability it is -p. "
            "Without this option it is log.",
        ),
        option(
            "--feature-layout",
            type=click.Choice(["nchw", "nhwc", "nlc", "ncl"]),
            help="The order of the axes of the features: n is the batch, c the channels, h and w rows and columns, l "
            "the tokens of a transformer. Without this option it is found from the graph.",
        ),
        option(
            "--feature-grid",
            type=Parsed("WxH", _parse_grid),
            help="Features that are tokens: how many patches are side by side, and how many one above the other. "
            "Without this option it is found from the graph or from the shape of the picture.",
        ),
        option(
            "--feature-skip",
            type=click.IntRange(min=0),
            metavar="N",
            help="Features that are tokens: how many in front of the patches are no patches, such as a class token. "
            "Without this option it is found from the graph.",
        ),
        option(
            "--feature-pool",
            type=click.Choice(["none", "3x3", "global"]),
            help="gaussian, memory-bank and one-class: features are averaged over their neighbours (3x3, as PatchCore "
            "does), over the whole image (global), or not at all. Without this option it is none.",
        ),
        option(
            "--feature-resize",
            type=click.Choice(["linear", "nearest"]),
            help="gaussian, memory-bank and one-class: how layers are resized to the size of the first one. Without "
            "this option it is nearest for gaussian and linear for the others.",
        ),
        option(
            "--neighbours",
            type=click.IntRange(min=1),
            metavar="K",
            help="memory-bank: the number of neighbours by which the score is weighted; 1 means no weight. Without "
            "this option it is 9.",
        ),
        option(
            "--blur",
            type=click.FloatRange(min=0),
            metavar="PX",
            help="The strength of the blur of the anomaly map: the standard deviation in pixels of the model's input. "
            "0 means no blur. Without this option it is 4 for reconstruction, gaussian and memory-bank, and 0 for the "
            "others.",
        ),
        option(
            "--map-score",
            type=Parsed("RULE", _parse_map_score),
            help="How an anomaly map becomes a score: max takes its largest value, top:K the mean of its K largest, "
            "quantile:Q the value that a share Q of its cells does not exceed. Without this option it is max.",
        ),
        option(
            "--head-data",
            heading=_LEARNT,
            type=PATH,
            metavar="FILE",
            help="gaussian, memory-bank and one-class: an .npz file with what the head has learnt: mean and "
            "covariance, the bank of vectors, or the centre.",
        ),
        option(
            "--fit",
            heading=_LEARNT,
            metavar="PATH",
            help="gaussian, memory-bank and one-class: learn this from the normal images here, without training. "
            "Calibrate with other images.",
        ),
        option(
            "--fit-channels",
            heading=_LEARNT,
            type=click.IntRange(min=1),
            metavar="C",
            help="gaussian with --fit: use this number of features, drawn at random. Without this option it is 100.",
        ),
        option(
            "--fit-shared",
            heading=_LEARNT,
            is_flag=True,
            help="gaussian with --fit: learn one Gaussian for all places of the image instead of one for each.",
        ),
        option(
            "--fit-bank",
            heading=_LEARNT,
            type=click.IntRange(min=1),
            metavar="M",
            help="memory-bank with --fit: keep this number of vectors, drawn at random. Without this option it is "
            "4096.",
        ),
    ),
)
