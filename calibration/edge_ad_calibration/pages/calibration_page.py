"""The page that a quality engineer signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import edge_ad
from edge_ad.bundle.records import DEFAULT_STATION, OrderStatistic, RankCalibration
from edge_ad.thresholds.order_statistic import largest_rank, reached_confidence, smallest_alpha, smallest_n
from edge_ad.thresholds.wording import describe_threshold, percent
from edge_ad_calibration.pages.plots import draw_distribution, draw_scores, shows_the_same
from edge_ad_calibration.pages.verdict_picture import verdict_picture
from edge_ad_report import (
    Fact,
    Facts,
    Gallery,
    Note,
    Page,
    Picture,
    Section,
    SignatureLines,
    Table,
    Text,
    write_page,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_ad.bundle import Bundle, FrameLimits, Variant
    from edge_ad.bundle.records import AnyCalibration
    from edge_ad_calibration.pages.highest_normals import ShownNormal
    from edge_ad_calibration.stations import StationCalibration
    from edge_ad_calibration.thresholds.groups import Difference
    from edge_ad_report import Chart

__all__ = ["write_report"]


def write_report(
    path: Path,
    bundle: Bundle,
    variant: Variant,
    stations: Sequence[StationCalibration],
    shown: Mapping[str, Sequence[ShownNormal]],
) -> None:
    """Writes one page about the calibrations of all stations; ``shown``: the pictures, by station, if there are any.

    Raises:
        OutputError: the file cannot be written.
    """
    name, created = f"{bundle.manifest.name}@{bundle.manifest.version}", stations[0].calibration.created
    page = Page(
        title="Calibration",
        subtitle=f"{name} · {variant.id} · {created}",
        sections=(
            *(section for station in stations for section in _station(station, shown[station.name])),
            Section("Signatures", (_SIGNED, SignatureLines(("Calibrated by", "Checked by", "Released by")))),
        ),
        footer=f"edge-ad {edge_ad.__version__}. Artefact {bundle.artefact_sha256(variant)}, "
        f"geometry {bundle.geometry_sha256}.",
    )
    write_page(path, page)


def _station(station: StationCalibration, shown: Sequence[ShownNormal]) -> list[Section]:
    made = station.calibration
    sections = [
        Section(_heading(station.name), (_facts(station), *map(Text, made.statements))),
        Section("What may speak against it", _cautions(station)),
        Section("The normals", _charts(station)),
    ]
    if made.frame_limits is not None:
        sections.append(Section("Limits of frames", (_limits(made.frame_limits),)))
    if station.difference:
        sections.append(Section("The groups", (_groups(station.difference),)))
    if isinstance(made, RankCalibration):
        sections.append(Section("What more normals would allow", (_offer(made),)))
    if shown:  # vectors have no pictures
        sections.append(Section("The highest-scoring normals", (_LOOK, _gallery(shown))))
    if made.exclusions:
        sections.append(Section("Left out", (_exclusions(made),)))
    sections.append(Section("The record", (_record(station),)))
    return sections


def _heading(group: str) -> str:
    return "What is promised" if group == DEFAULT_STATION else f"Group {group}: what is promised"


# Numbers of normals that differ by less than this factor say the same.
_ALMOST_SAME = 1.25

_SIGNED = Text(
    "Sign if you have read what may speak against the thresholds and what was not checked, and have looked at the "
    "normal images with the highest scores."
)
_LOOK = Text(
    "Each part is shown once, and so are images that look alike. Look for parts that are not normal: they can be left "
    "out with --exclude FILE --reason TEXT, and the record then says what was left out and why."
)


def _facts(station: StationCalibration) -> Facts:
    made = station.calibration
    facts = [Fact("Image threshold", f"{made.image.threshold:.6g}", describe_threshold(made.image))]
    if made.pixel:
        origin = describe_threshold(made.pixel, "map maxima")
        facts.append(Fact("Pixel threshold", f"{made.pixel.threshold:.6g}", origin))
    if made.alpha is not None:
        facts.append(_promised(made))
    if isinstance(made, RankCalibration) and not made.doubt:
        reached = percent(round(reached_confidence(made), 4))
        facts.append(Fact("Confidence", percent(made.confidence), f"{reached} reached"))
    pictures, scored = station.observations.pictures, len(station.normals)
    alone = made.observation != "part" and made.image.n == scored
    counted = f"one per {pictures}" if alone else f"from {scored:,} {pictures}s"
    facts.append(Fact(f"Normal {made.observation}s", f"{made.image.n:,}", counted))
    return Facts(tuple(facts))


def _promised(made: AnyCalibration) -> Fact:
    """The tile of the false-reject rate. It says "guaranteed" only where nothing was found against it."""
    label, rate = "False rejects, at most", percent(made.alpha or 0)
    if made.doubt:
        return Fact(label, "not shown", f"{rate} was asked for: see below", "warning")
    if not isinstance(made, RankCalibration):
        return Fact(label, rate, "aimed at, not guaranteed", "warning")
    return Fact(label, rate, "guaranteed, if what was not checked is in order" if made.not_checked else "guaranteed")


def _cautions(station: StationCalibration) -> tuple[Note | Text | Table, ...]:
    made, checks = station.calibration, station.checks
    notes: list[Note | Text | Table] = [Note(f"{text[0].upper()}{text[1:]}.", "warning") for text in made.warnings]
    found = "These checks were made" if made.warnings else "These checks were made, and nothing was found"
    notes.append(Text(f"{found}: {', '.join(checks.made)}."))
    if checks.missing:
        rows = tuple((one.question, one.how) for one in checks.missing)
        notes.append(Table(head=("Not checked", "How to have it checked"), rows=rows, text_columns=2))
    return tuple(notes)


def _charts(station: StationCalibration) -> tuple[Chart | Text, ...]:
    made, observations = station.calibration, station.observations
    charts: list[Chart | Text] = [
        draw_scores(observations.scores, made.image, "score", observations.kind),
        draw_distribution(observations.scores, made.image, made.alpha, made.confidence, "score"),
    ]
    if made.pixel is not None and observations.peaks is not None:
        if shows_the_same(observations):
            return (*charts, Text("The score is the largest map value, so that the charts of these would be the same."))
        label = f"largest map value of a {observations.kind}"
        charts.append(draw_scores(observations.peaks, made.pixel, label, observations.kind))
        charts.append(draw_distribution(observations.peaks, made.pixel, made.alpha, made.confidence, label))
    return tuple(charts)


def _limits(limits: FrameLimits) -> Table:
    rows = [
        (name, limit.text, _number(limit.seen_lowest), _number(limit.seen_highest))
        for name, limit in limits.values.items()
    ]
    rows += [(name, f"none: {reason}", "", "") for name, reason in limits.off.items()]
    return Table(
        head=("value", "limits", "lowest seen", "highest seen"),
        rows=tuple(rows),
        text_columns=2,
        caption="A frame outside is INVALID and not scored. That counts as a reject in what is promised; normals that "
        f"were counted so: {limits.outside:,}.",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _groups(found: Difference) -> Table:
    rows = [
        (
            group.name,
            f"{group.n:,}",
            f"{group.median:.5g}",
            f"{group.above:,}",
            f"{100 * group.rate_at_least:.2f} % to {100 * group.rate_at_most:.2f} %",
        )
        for group in found.groups
    ]
    return Table(
        head=("group", "normals", "median score", "above the threshold", "false-reject rate, 95 % interval"),
        rows=tuple(rows),
        caption=f"Anderson-Darling k-sample test p = {found.p_value:.3g}; effect size epsilon squared = "
        f"{found.effect:.3f} (0: no difference, 1: nothing but difference).",
    )


def _offer(made: RankCalibration) -> Table:
    alpha, confidence, n = made.alpha, made.confidence, made.image.n
    needed = [smallest_n(alpha / part, confidence) for part in (1, 2, 5, 10)]
    rows = [
        (
            f"{size:,}{' (this one)' if size == n else ''}",
            f"{100 * smallest_alpha(size, confidence):.3g} %",
            f"{max(largest_rank(size, alpha, confidence) - 1, 0):,}" if size >= min(needed) else "none: too few",
        )
        for size in _spaced([*([] if made.doubt else [n]), *needed, 2 * n, 5 * n, 10 * n])
    ]
    return Table(
        head=(
            f"normal {made.observation}s",
            "lowest false-reject rate that can be promised",
            f"bad ones tolerated at {percent(alpha)}",
        ),
        rows=tuple(rows),
        caption=f"With {percent(confidence)} confidence, for independent normals.",
    )


def _spaced(sizes: Sequence[int]) -> list[int]:
    """The sizes in ascending order, without those that are almost the same as an earlier one in the list."""
    kept: list[int] = []
    for size in sizes:
        if all(max(size, other) > _ALMOST_SAME * min(size, other) for other in kept):
            kept.append(size)
    return sorted(kept)


def _gallery(shown: Sequence[ShownNormal]) -> Gallery:
    return Gallery(tuple(_picture(number, one) for number, one in enumerate(shown, start=1)))


def _picture(number: int, one: ShownNormal) -> Picture:
    what = f"normal {Path(one.name).name} with its anomaly map, score {one.score:.5g}"
    return verdict_picture(one.picture, one.verdict, what, remark=one.remark, detail=f"{number}. {one.name}")


def _exclusions(made: AnyCalibration) -> Table:
    rows = [(one.image, one.reason, one.by, f"{one.score:.5g}") for one in made.exclusions]
    return Table(head=("image", "reason", "by", "score"), rows=tuple(rows), text_columns=3)


def _record(station: StationCalibration) -> Table:
    made, engine = station.calibration, station.calibration.engine
    rows = [
        ("method", made.method),
        ("rank", f"{made.image.rank:,}" if isinstance(made.image, OrderStatistic) else "none"),
        ("one observation", made.observation + (f", told apart by {made.part_by}" if made.part_by else "")),
        (
            f"{station.observations.pictures}s",
            f"{len(station.normals):,}, SHA-256 over their pixels {made.images_sha256}",
        ),
        ("smallest region", f"{made.min_area_px:,} px"),
        ("made by", made.producer),
    ]
    if engine is not None:
        threads = "its own choice of threads" if engine.threads is None else f"{engine.threads} threads"
        rows.append(("engine", f"{engine.name} {engine.version}, {engine.device}, {engine.precision}, {threads}"))
    return Table(head=("", "as recorded"), rows=tuple(rows), text_columns=2)
