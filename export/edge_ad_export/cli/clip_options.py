"""The options of ``edge-ad export`` about clips, and about the extractor of a two-stage model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import OptionGroup, Parsed, option
from edge_ad.cli.options import PATH

if TYPE_CHECKING:
    from edge_ad.bundle.records import Smoothing
    from edge_ad_export.importers.extractor import ExtractorOptions
    from edge_ad_export.model.clip_spec import ClipOptions

__all__ = ["CLIPS", "CLIP_FAMILIES", "EXTRACTOR", "check_clip"]

CLIP_FAMILIES = ("next-frame", "clip-reconstruction", "mil")
_STEPS_MAX = 4096
_STEPS = click.IntRange(1, _STEPS_MAX)


def check_clip(clip: ClipOptions, family: str | None) -> ClipOptions | None:
    """What was said about clips; ``None`` for a model of single images.

    Raises:
        InputError: options of clips were given, but neither a length nor a family that takes clips.
    """
    from edge_ad.errors import InputError
    from edge_ad_export.model.clip_spec import ClipOptions

    if clip.length is not None or family in CLIP_FAMILIES:
        return clip
    if clip != ClipOptions():
        raise InputError(f"options of clips were given: say --clip-length T or --family {' | '.join(CLIP_FAMILIES)}")
    return None


def read_extractor(*, model: Path | None, output: str | None, length: int | None) -> ExtractorOptions | None:
    """What was said about an extractor; ``None`` without one. Raises :class:`InputError` for half of it."""
    from edge_ad.errors import InputError
    from edge_ad_export.importers.extractor import ExtractorOptions

    if model is not None:
        return ExtractorOptions(model, output, length)
    if output is not None or length is not None:
        raise InputError("--extractor-output and --extractor-length are about an extractor: say --extractor FILE too")
    return None


def _parse_smoothing(text: str) -> Smoothing:
    from edge_ad.bundle.records import Smoothing

    kind, _, numbers = text.partition(":")
    parts = numbers.split("/") if kind == "k-of-n" else ["1", numbers]
    counts = [int(part) for part in parts if part.isdecimal() and 0 < int(part) <= _STEPS_MAX]
    if kind not in ("mean", "k-of-n") or len(parts) != 2 or len(counts) != 2:
        raise ValueError("expected mean:N or k-of-n:K/N")
    k, window = counts
    if k > window:
        raise ValueError(f"{k} of {window}: expected K up to N")
    return Smoothing(kind="mean" if kind == "mean" else "k_of_n", window=window, k=k)


CLIPS = OptionGroup(
    "Models of clips",
    "edge_ad_export.model.clip_spec:ClipOptions",
    (
        option(
            "--clip-length",
            into="length",
            type=_STEPS,
            metavar="T",
            help="The number of samples in a clip. For next-frame the predicted one counts too. Without this option it "
            "is found from the model's input, if --family names a family of clips and the input has a fixed length.",
        ),
        option(
            "--clip-stride",
            into="stride",
            type=_STEPS,
            metavar="FRAMES",
            help="The number of frames from one sample of a clip to the next.",
        ),
        option(
            "--clip-hop",
            into="hop",
            type=_STEPS,
            metavar="FRAMES",
            help="The number of frames from one score to the next.",
        ),
        option(
            "--clip-layout",
            into="order",
            type=click.Choice(["tchw", "cthw", "thwc", "stacked"]),
            help="The order of the axes of the clip that the model or the extractor takes; stacked means that the "
            "frames lie on the channel axis. Without this option it is found from the input's shape.",
        ),
        option(
            "--clip-input",
            into="input",
            type=click.Choice(["frame", "flow", "features"]),
            help="What a sample is: the frame itself, its optical flow, or a vector that the program hands in.",
        ),
        option(
            "--smooth",
            into="smoothing",
            type=Parsed("RULE", _parse_smoothing),
            help="Smooth the scores over time: mean:N takes the mean of the last N scores, k-of-n:K/N the K-th largest "
            "of them.",
        ),
    ),
)

EXTRACTOR = OptionGroup(
    "Two-stage models",
    read_extractor,
    (
        option(
            "--extractor",
            into="model",
            type=PATH,
            metavar="FILE",
            help="A model that turns images into the vectors that MODEL scores. Options about images then describe "
            "the input of this extractor.",
        ),
        option(
            "--extractor-output",
            into="output",
            metavar="NAME",
            help="The output of the extractor that is the vector. It is needed if there are several outputs. If the "
            "output has places, their mean is taken.",
        ),
        option(
            "--extractor-length",
            into="length",
            type=_STEPS,
            metavar="FRAMES",
            help="The number of frames in a row that the extractor takes. Without this option it is found from its "
            "input, if that has a fixed length.",
        ),
    ),
)
