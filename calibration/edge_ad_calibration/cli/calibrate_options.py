"""The options of ``edge-ad calibrate``: what is promised, how a threshold is found, which images count, what is
written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.option_groups import COMMON, OptionGroup, Parsed, option
from edge_ad.cli.options import FILE, FOLDER, VARIANT

if TYPE_CHECKING:
    from edge_ad_calibration.normals.exclusions import Exclude, Selection
    from edge_ad_calibration.request import CalibrationRequest
    from edge_ad_calibration.thresholds.methods import Method

__all__ = ["METHOD", "OUTPUTS", "REQUEST", "SELECTION", "SelectionOptions"]

_REQUEST = "edge_ad_calibration.request:CalibrationRequest"


def read_request(
    *,
    fpr: float,
    target: str | None,
    confidence: float,
    min_area_px: int,
    variant: str | None,
    station: str,
    no_limits: tuple[str, ...],
) -> CalibrationRequest:
    """What is promised, by which variant and for which station. Raises :class:`click.UsageError` for two rates."""
    from edge_ad_calibration.request import CalibrationRequest
    from edge_ad_calibration.thresholds.target import parse_target

    source = click.get_current_context().get_parameter_source("request_fpr")
    if target is not None and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--fpr and --target exclude each other")
    return CalibrationRequest(
        alpha=fpr if target is None else parse_target(target),
        confidence=confidence,
        min_area_px=min_area_px,
        variant=variant,
        station=station,
        no_limits=no_limits,
    )


def read_method(
    *,
    name: str = "order-statistic",
    rank: int | None,
    threshold: float | None,
    pixel_threshold: float | None,
    k: float | None,
) -> Method:
    """The way to a threshold. Raises :class:`click.UsageError` for an option that belongs to another method."""
    from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByRank, ByTail

    given = {"--rank": rank, "--threshold": threshold, "--pixel-threshold": pixel_threshold, "--k": k}
    fitting = {"order-statistic": {"--rank"}, "fixed": {"--threshold", "--pixel-threshold"}, "mad": {"--k"}}
    for other, value in given.items():
        if value is not None and other not in fitting.get(name, set()):
            raise click.UsageError(f"{other} does not belong to --method {name}")
    if name == "fixed":
        if threshold is None:
            raise click.UsageError("--method fixed needs --threshold")
        return ByFixed(threshold, pixel_threshold)
    if name == "mad":
        if k is None:
            raise click.UsageError("--method mad needs --k, such as --k 5")
        return ByMad(k)
    return ByTail() if name == "gpd" else ByRank(rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptions:
    """Which images count as normals, as the command line says it."""

    normals: tuple[str, ...]
    objects: Path | None
    groups: Path | None
    pooled: bool
    part_by: str | None
    every: int
    gap_s: float | None
    excluded: tuple[str, ...]
    reasons: tuple[str, ...]
    training: tuple[str, ...]
    exclude_leaks: bool
    same_part: float
    confirmed: Path | None

    def selection(self) -> Selection:
        """The same for the library. Raises :class:`InputError` for options that contradict each other."""
        from edge_ad_calibration.normals.exclusions import Selection
        from edge_ad_calibration.normals.parts import parse_part_by
        from edge_ad_calibration.normals.selection import Thinning

        return Selection(
            thinning=Thinning(every=self.every, gap_s=self.gap_s),
            part_by=None if self.part_by is None else parse_part_by(self.part_by),
            exclude=_excludes(self.excluded, self.reasons),
            training=self.training,
            exclude_leaks=self.exclude_leaks,
            same_part=self.same_part,
            confirmed=self.confirmed,
            groups=self.groups,
            objects=self.objects,
            pooled=self.pooled,
        )


def _parse_source(text: str) -> str:
    if re.fullmatch(r"csv:[^:=]+=.*", text, re.DOTALL):
        raise ValueError("expected the name of the CSV file first, as in FILE.csv:COLUMN=VALUE")
    return text


def _excludes(images: tuple[str, ...], reasons: tuple[str, ...]) -> tuple[Exclude, ...]:
    from edge_ad_calibration.normals.exclusions import Exclude

    if images and not reasons:
        raise click.UsageError("--exclude needs a --reason: it is recorded with the calibration")
    if len(reasons) != len(images) and (len(reasons) != 1 or not images):
        raise click.UsageError(
            f"expected one --reason for all or one for each --exclude, found {len(reasons)} for {len(images)}"
        )
    matched = reasons * len(images) if len(reasons) == 1 else reasons
    return tuple(Exclude(image, reason) for image, reason in zip(images, matched, strict=True))


REQUEST = OptionGroup(
    COMMON,
    read_request,
    (
        option(
            "--fpr",
            default_of=f"{_REQUEST}.alpha",
            type=float,
            metavar="RATE",
            help="The largest share of normal images that may be rejected: 0.01 means at most 1 in 100.",
        ),
        option(
            "--target",
            metavar="SENTENCE",
            help="The same rate in words, such as '2 false rejects per 8 h shift at 1 part/s'. The units are s, min, h "
            "and day.",
        ),
        option(
            "--confidence",
            default_of=f"{_REQUEST}.confidence",
            type=float,
            metavar="SHARE",
            help="How certain it must be that this rate is kept: 0.95 means 95 %.",
        ),
        option(
            "--station",
            default_of=f"{_REQUEST}.station",
            metavar="NAME",
            help="The group of images that these thresholds are for, such as those of one inspection place. edge-ad "
            "score takes them with the same name.",
        ),
        option(
            "--variant",
            heading="How the threshold is found",
            **VARIANT.settings,
        ),
        option(
            "--min-area",
            into="min_area_px",
            heading="How the threshold is found",
            default_of=f"{_REQUEST}.min_area_px",
            type=int,
            metavar="PX",
            help="The smallest area that a marked region must have, in pixels of the camera. Smaller ones do not "
            "count, and the pixel threshold is set for that.",
        ),
        option(
            "--no-frame-limits",
            into="no_limits",
            heading="How the threshold is found",
            type=click.Choice(["brightness", "contrast", "sharpness", "colour", "size", "all"]),
            metavar="PROPERTY",
            multiple=True,
            help="Set no limits for this property of a frame: brightness, contrast, sharpness, colour, size or all. "
            "A black, white, blurred or gray frame, or one of another size, may then be accepted. Repeat the option "
            "for several properties.",
        ),
    ),
)

METHOD = OptionGroup(
    "How the threshold is found",
    read_method,
    (
        option(
            "--method",
            into="name",
            type=click.Choice(["order-statistic", "gpd", "fixed", "mad"]),
            metavar="NAME",
            help="order-statistic gives a guarantee. gpd fits a curve to the highest scores, for rates that need more "
            "images than there are; it gives no guarantee. fixed takes a threshold of your own. mad counts deviations "
            "from the median, for a first look.",
        ),
        option(
            "--rank",
            type=int,
            metavar="R",
            help="order-statistic: take the R-th largest score as the threshold; 1 is the largest. Without this option "
            "it is the lowest threshold that keeps the promise.",
        ),
        option("--threshold", type=float, metavar="SCORE", help="fixed: the threshold for the score of an image."),
        option(
            "--pixel-threshold",
            type=float,
            metavar="VALUE",
            help="fixed: the threshold for the anomaly map. Without this option no regions are marked.",
        ),
        option(
            "--k",
            type=float,
            metavar="K",
            help="mad: the threshold lies K deviations above the median.",
        ),
    ),
)

SELECTION = OptionGroup(
    "Which images count",
    SelectionOptions,
    (
        option(
            "--normal",
            into="normals",
            heading=COMMON,
            type=Parsed("SOURCE", _parse_source),
            multiple=True,
            help="Normal images that were not used in training: a folder, an image, a pattern such as 'img/*.png', a "
            "video, an .npy file of vectors, or a CSV file with a column path. FILE.csv:COLUMN=VALUE takes only the "
            "rows that have this value. Repeat the option for several sources.",
        ),
        option(
            "--groups",
            type=FILE,
            metavar="FILE",
            help="A CSV file with the columns path and station, which names the group of each image. Each group gets "
            "its own thresholds.",
        ),
        option(
            "--pool",
            into="pooled",
            is_flag=True,
            help="Make one calibration from the images of all groups, and say whether the groups differ.",
        ),
        option(
            "--objects",
            type=FILE,
            metavar="FILE",
            help="For a bundle that scores objects: a CSV file that says where the objects are in each image, with the "
            "columns path, x, y, width and height.",
        ),
        option(
            "--part-by",
            metavar="HOW",
            help="Which images show the same part, if there are several of each part: folder, FILE.csv:COLUMN, a "
            r"regular expression for file names with one group, such as 'part(\d+)_', or frame for all objects in one "
            "frame. The score of a part is the largest of its images.",
        ),
        option(
            "--every",
            default_of="edge_ad_calibration.normals.selection:Thinning.every",
            type=int,
            metavar="N",
            help="Take only every N-th image or frame, because neighbouring ones look alike.",
        ),
        option(
            "--gap",
            into="gap_s",
            type=float,
            metavar="SECONDS",
            help="The time from one frame that is taken from a video to the next, in seconds. Neighbouring frames look "
            "alike.",
        ),
        option(
            "--exclude",
            into="excluded",
            multiple=True,
            metavar="IMAGE",
            help="Leave this image out of the normal images. Repeat the option for several images.",
        ),
        option(
            "--reason",
            into="reasons",
            multiple=True,
            metavar="TEXT",
            help="Why images are left out. Give one reason for all of them, or one for each.",
        ),
        option(
            "--train",
            into="training",
            multiple=True,
            metavar="SOURCE",
            help="The images that the model was trained with. Normal images that look like one of them are reported. "
            "Repeat the option for several sources.",
        ),
        option("--exclude-leaks", is_flag=True, help="Leave out the normal images that look like a training image."),
        option(
            "--same-part",
            default_of="edge_ad_calibration.normals.exclusions:Selection.same_part",
            type=float,
            metavar="R",
            help="Two images whose correlation is at least R count as images of the same part.",
        ),
        option(
            "--update",
            into="confirmed",
            type=FOLDER,
            metavar="FOLDER",
            help="The folder of frames that edge-ad score kept with --keep. The result says how the new thresholds "
            "judge the frames that a person confirmed as good. They do not change the thresholds.",
        ),
    ),
)

OUTPUTS = OptionGroup(
    "Files to write",
    "edge_ad_calibration.request:CalibrationOutputs",
    (
        option(
            "--report",
            heading=COMMON,
            type=FILE,
            metavar="FILE",
            help="Also write an HTML page with what is promised, what may speak against it, what was not checked, "
            "and room for signatures.",
        ),
        option(
            "--plot",
            type=FILE,
            metavar="FILE",
            help="Write the histogram of the scores to this file. Without this option it is beside the model.",
        ),
        option(
            "--sheet",
            type=FILE,
            metavar="FILE",
            help="Also write a JPEG image of the normal images with the highest scores, with their anomaly maps.",
        ),
    ),
)
