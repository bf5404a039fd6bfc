"""Options of ``edge-ad calibrate``, in groups: what is counted, how a threshold is found, what is written."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from edge_ad.cli.options import add_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad_calibration.normals.exclusions import Exclude
    from edge_ad_calibration.thresholds.methods import Method

    _F = TypeVar("_F", bound=Callable[..., Any])

__all__ = ["aim_options", "output_options", "selection_options"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)

_AIM = (
    click.option(
        "--fpr", type=float, default=0.01, show_default=True, help="Most normals that may be rejected, a fraction."
    ),
    click.option(
        "--target",
        metavar="SENTENCE",
        help="The same in the words of the line: '2 false rejects per 8 h shift at 1 part/s'. Units: s, min, h, day.",
    ),
    click.option(
        "--confidence", type=float, default=0.95, show_default=True, help="How sure that must be, a fraction."
    ),
    click.option(
        "--method",
        type=click.Choice(["order-statistic", "gpd", "fixed", "mad"]),
        default="order-statistic",
        show_default=True,
        help="order-statistic: guaranteed. gpd: a fitted tail, for rates that the normals cannot promise; not "
        "guaranteed. fixed: a threshold of your own. mad: deviations from the median, for a first look.",
    ),
    click.option(
        "--rank",
        type=int,
        help="Which of the largest scores is the threshold, 1 being the largest; the highest that keeps the promise "
        "otherwise.",
    ),
    click.option("--threshold", type=float, help="The image threshold of --method fixed."),
    click.option("--pixel-threshold", type=float, help="The pixel threshold of --method fixed; no regions otherwise."),
    click.option("--k", type=float, help="How many deviations --method mad puts between median and threshold."),
    click.option(
        "--min-area",
        "min_area_px",
        type=int,
        default=0,
        metavar="PX",
        help="The smallest region that counts, in pixels of the camera; the pixel threshold is calibrated for such.",
    ),
)

_SELECTION = (
    click.option(
        "--part-by",
        metavar="HOW",
        help="What is one part, where several images show one: folder, FILE.csv:COLUMN, or a regular expression with "
        r"one group for file names, such as 'part(\d+)_'; or frame, for all objects of one. A part's score is the "
        "largest of its images'.",
    ),
    click.option("--every", type=int, default=1, metavar="N", help="Of a stream of frames take every N-th."),
    click.option("--gap", "gap_s", type=float, metavar="SECONDS", help="Of a video take a frame each so many seconds."),
    click.option(
        "--exclude", "excluded", multiple=True, metavar="IMAGE", help="A normal that is not to count. Repeatable."
    ),
    click.option(
        "--reason", "reasons", multiple=True, metavar="TEXT", help="Why; one for all exclusions, or one for each."
    ),
    click.option(
        "--train",
        "training",
        multiple=True,
        metavar="SOURCE",
        help="Images that the model was trained on; normals that repeat them are reported. Repeatable.",
    ),
    click.option("--exclude-leaks", is_flag=True, help="Leave these out of the normals."),
    click.option(
        "--same-part",
        type=float,
        default=0.95,
        show_default=True,
        help="From which correlation on two images are taken to show one part.",
    ),
    click.option("--groups", type=_FILE, help="CSV file with path and station: a calibration for each station."),
    click.option(
        "--objects",
        type=_FILE,
        help="CSV file with path, x, y, width and height: where the objects are, for a bundle that scores objects.",
    ),
    click.option("--pool", "pooled", is_flag=True, help="One calibration for all groups; says whether they differ."),
    click.option(
        "--update",
        "confirmed",
        type=_FOLDER,
        help="Folder of the frames that a device kept: says how those that were confirmed fare; they do not count.",
    ),
)

_OUTPUTS = (
    click.option("--plot", type=_FILE, help="Where to draw the histogram; beside the variant's model otherwise."),
    click.option("--report", type=_FILE, help="Also write a page for people, one HTML file."),
    click.option("--sheet", type=_FILE, help="Also write a JPEG of the highest-scoring normals with their heat maps."),
)


def aim_options(function: _F) -> _F:
    """Adds --fpr to --min-area and hands them to the command as ``alpha``, ``confidence``, ``method`` and
    ``min_area_px``."""

    @functools.wraps(function)
    def command(
        *args: object,
        fpr: float,
        target: str | None,
        method: str,
        rank: int | None,
        threshold: float | None,
        pixel_threshold: float | None,
        k: float | None,
        **others: object,
    ) -> object:
        from edge_ad_calibration.thresholds.target import parse_target

        stated = click.get_current_context().get_parameter_source("fpr") is click.core.ParameterSource.COMMANDLINE
        if target is not None and stated:
            raise click.UsageError("--fpr and --target exclude each other")
        alpha = fpr if target is None else parse_target(target)
        chosen = _method(method, rank=rank, threshold=threshold, pixel_threshold=pixel_threshold, k=k)
        return function(*args, alpha=alpha, method=chosen, **others)

    return cast("_F", add_options(command, _AIM))


def selection_options(function: _F) -> _F:
    """Adds --part-by to --update and hands them to the command as one ``selection``."""

    @functools.wraps(function)
    def command(
        *args: object,
        part_by: str | None,
        every: int,
        gap_s: float | None,
        excluded: tuple[str, ...],
        reasons: tuple[str, ...],
        training: tuple[str, ...],
        exclude_leaks: bool,
        same_part: float,
        groups: Path | None,
        objects: Path | None,
        pooled: bool,
        confirmed: Path | None,
        **others: object,
    ) -> object:
        from edge_ad_calibration.normals.exclusions import Selection
        from edge_ad_calibration.normals.parts import parse_part_by
        from edge_ad_calibration.normals.selection import Thinning

        selection = Selection(
            thinning=Thinning(every=every, gap_s=gap_s),
            part_by=None if part_by is None else parse_part_by(part_by),
            exclude=_excludes(excluded, reasons),
            training=training,
            exclude_leaks=exclude_leaks,
            same_part=same_part,
            confirmed=confirmed,
            groups=groups,
            objects=objects,
            pooled=pooled,
        )
        return function(*args, selection=selection, **others)

    return cast("_F", add_options(command, _SELECTION))


def output_options(function: _F) -> _F:
    """Adds --plot, --report and --sheet and hands them to the command as one ``outputs``."""

    @functools.wraps(function)
    def command(*args: object, plot: Path | None, report: Path | None, sheet: Path | None, **others: object) -> object:
        from edge_ad_calibration.request import Outputs

        return function(*args, outputs=Outputs(plot=plot, report=report, sheet=sheet), **others)

    return cast("_F", add_options(command, _OUTPUTS))


def _method(
    name: str, *, rank: int | None, threshold: float | None, pixel_threshold: float | None, k: float | None
) -> Method:
    from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByRank, ByTail

    given = {"--rank": rank, "--threshold": threshold, "--pixel-threshold": pixel_threshold, "--k": k}
    fitting = {"order-statistic": {"--rank"}, "fixed": {"--threshold", "--pixel-threshold"}, "mad": {"--k"}}
    for option, value in given.items():
        if value is not None and option not in fitting.get(name, set()):
            raise click.UsageError(f"{option} does not belong to --method {name}")
    if name == "fixed":
        if threshold is None:
            raise click.UsageError("--method fixed needs --threshold")
        return ByFixed(threshold, pixel_threshold)
    if name == "mad":
        if k is None:
            raise click.UsageError("--method mad needs --k, such as --k 5")
        return ByMad(k)
    return ByTail() if name == "gpd" else ByRank(rank)


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
