"""The options of ``edge-ad export`` about the model's file, the images and the bundle to write."""

from __future__ import annotations

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, Parsed, argument, option
from edge_ad.cli.options import FILE, PATH, parse_size
from edge_ad_export.model.input_spec import Size

__all__ = ["IMPORTING", "MEASURING", "REQUEST", "SIZE"]

MEASURING = "How variants are made and measured"
_BUNDLE = "The bundle"
_MODEL = "What the model's file does not say"


def _parse_numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise ValueError("expected numbers with commas between them") from None


def _parse_ids(text: str) -> tuple[str, ...]:
    ids = tuple(filter(None, map(str.strip, text.split(","))))
    if not ids:
        raise ValueError("expected ids of variants with commas between them; leave the option out to make all")
    return ids


def _parse_part_by(text: str) -> str:
    from edge_ad_export.samples.split import parse_part_by

    return parse_part_by(text)


SIZE = Parsed("WxH", lambda text: Size(*parse_size(text)))
_NUMBERS = Parsed("N,N,N", _parse_numbers)
_IDS = Parsed("ID,ID", _parse_ids)

REQUEST = OptionGroup(
    _BUNDLE,
    "edge_ad_export.request:ExportRequest",
    (
        argument("model", type=PATH),
        option(
            "--images",
            heading=COMMON,
            required=True,
            metavar="PATH",
            help="Normal images to measure with, 30 or more: a folder, a file or a pattern such as 'img/*.png'. For a "
            "model of clips it is a video, a folder of frames, or an .npy file of vectors.",
        ),
        option(
            "-o",
            "--output",
            into="target",
            heading=COMMON,
            required=True,
            type=PATH,
            metavar="FOLDER",
            help="The bundle to write. The folder must not exist yet, unless --force is given.",
        ),
        option(
            "--variants",
            heading=COMMON,
            type=_IDS,
            help="Make only these variants, such as onnx-fp32,openvino-int8. A mixed variant is made where int8 fails, "
            "unless with --effort low. Without this option all are made.",
        ),
        option(
            "--effort",
            heading=COMMON,
            type=click.Choice(["low", "normal", "high"]),
            help="How long to search for a good int8 variant: low tries one way to make it, high tries all of them.",
        ),
        option(
            "--report",
            heading=COMMON,
            type=FILE,
            metavar="FILE",
            help="Also write an HTML page with the scores, anomaly maps, latency and size of all variants.",
        ),
        option(
            "--keep-rejected",
            heading="What a variant must reach",
            is_flag=True,
            help="Also write the variants that were measured and rejected, to look at them. None of them is the "
            "default: edge-ad score takes one only if --variant names it.",
        ),
        option("--force", into="replace", is_flag=True, help="Replace the bundle that is in the output folder."),
        option(
            "--name",
            metavar="NAME",
            help="The name of the bundle. Without this option it is that of the output folder.",
        ),
        option("--version-label", into="version", metavar="TEXT", help="The version of the bundle, as you count it."),
        option(
            "--target",
            into="target_cpus",
            heading=MEASURING,
            type=click.Choice(["this", "x86-avx2", "x86-vnni", "arm64"]),
            multiple=True,
            help="The kind of CPU that the int8 variants are made for. Latency is always measured on this computer. "
            "Repeat the option for one bundle for several kinds; a device then takes the variant for its own.",
        ),
        option(
            "--max-images",
            heading=MEASURING,
            type=click.IntRange(min=3),
            metavar="N",
            help="Measure with at most this number of images, taken at even distances from all of them.",
        ),
        option(
            "--max-minutes",
            heading=MEASURING,
            type=click.FloatRange(min=0, min_open=True),
            metavar="M",
            help="Measure with fewer images if measuring would take longer than this number of minutes, but with 20 "
            "or more. Models that take seconds for an image are slow to measure.",
        ),
        option(
            "--part-by",
            heading=MEASURING,
            type=Parsed("folder|REGEX", _parse_part_by),
            help="Which images show the same part: folder, or a regular expression for file names with one group, such "
            r"as 'part(\d+)_'. All images of a part go to the quantizer, or all of them judge its variants. Without "
            "this option each image is a part; if the images are in five folders or more, each folder is.",
        ),
        option(
            "--engine-threads",
            into="threads",
            heading=MEASURING,
            type=click.IntRange(min=1),
            metavar="N",
            help="The number of threads of the engines. Without this option the engines decide.",
        ),
        option(
            "--labelled",
            heading="What a variant must reach",
            type=PATH,
            metavar="ROOT",
            help="Labelled images, in any layout that edge-ad evaluate reads. Variants are then also judged by "
            "how well they find these real defects.",
        ),
        option(
            "--state-dict",
            heading=_MODEL,
            type=PATH,
            metavar="FILE",
            help="PyTorch: the weights, if MODEL is a function package.module:factory that makes the model.",
        ),
        option(
            "--trust-pickle",
            heading=_MODEL,
            is_flag=True,
            help="PyTorch: load MODEL although it is a pickle file. Such a file can run any program on this computer, "
            "so use this option only for files that you trust.",
        ),
    ),
)

IMPORTING = OptionGroup(
    _MODEL,
    "edge_ad_export.model.imported:ImportOptions",
    (
        option(
            "--size",
            heading=COMMON,
            type=SIZE,
            help="The input size in pixels, for a model that takes images of any size.",
        ),
        option(
            "--importer",
            metavar="NAME",
            help="What made the model: anomalib2, anomalib1, anomalib0, anomavision, or onnx for any other model. "
            "Without this option it is found from the file.",
        ),
        option(
            "--score-output",
            metavar="NAME",
            help="The output of the model that is the anomaly score. A higher score must mean a worse image.",
        ),
        option("--map-output", metavar="NAME", help="The output of the model that is the anomaly map."),
        option(
            "--color",
            type=click.Choice(["rgb", "bgr", "gray"]),
            help="The colour order that the model takes. Without this option a model of no known origin gets rgb.",
        ),
        option(
            "--scale",
            type=float,
            metavar="N",
            help="Pixel values are divided by this number first. Without this option it is 255, or 1 for a model with "
            "a uint8 input.",
        ),
        option(
            "--mean",
            type=_NUMBERS,
            help="These numbers are subtracted after that, one for each colour or one for all. Without this option "
            "nothing is subtracted.",
        ),
        option(
            "--std",
            type=_NUMBERS,
            help="The values are divided by these numbers after that, one for each colour or one for all. Without this "
            "option they stay as they are.",
        ),
        option(
            "--input-value",
            metavar="NAME=VALUE",
            multiple=True,
            help="Give an input of the model beside the image a fixed value: a number, or an .npy file with an array. "
            "Repeat the option for each input.",
        ),
        option(
            "--layout",
            type=click.Choice(["nchw", "nhwc"]),
            help="The order of the axes of the model's input. Without this option it is found from the input's shape.",
        ),
    ),
)
