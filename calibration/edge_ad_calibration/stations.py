"""The calibration of each station, made from the measured normals."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.drift import frame_reference
from edge_ad.errors import InputError, NotEnoughNormalsError, counted
from edge_ad.thresholds.frame_limits import learn_limits
from edge_ad.thresholds.pixels import image_marks
from edge_ad.thresholds.wording import about_objects, about_refused, image_guarantee, pixel_guarantee
from edge_ad_calibration.normals.correlation import correlated_streams
from edge_ad_calibration.normals.parts import file_of, group_parts, kind_of, largest_of_parts
from edge_ad_calibration.request import check_station
from edge_ad_calibration.thresholds.cautions import (
    about_confirmed,
    about_copies,
    about_groups,
    about_leaks,
    about_limits,
    about_method,
    about_streams,
    excluded_sentence,
)
from edge_ad_calibration.thresholds.checks import checks_of
from edge_ad_calibration.thresholds.groups import compare_groups
from edge_ad_calibration.thresholds.limits_room import check_outside, largest_risk
from edge_ad_calibration.thresholds.methods import calibration_by, check_number, fewest_needed, utc_now
from edge_ad_calibration.thresholds.worth import AskedPromise, Worth, doubt_about
from edge_ad_metrics.datasets.image_table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_ad.bundle.records import AnyCalibration, EngineRecord
    from edge_ad.thresholds.frame_limits import LearnedLimits
    from edge_ad_calibration.normals.correlation import Stream
    from edge_ad_calibration.normals.exclusions import SelectedNormals, Selection
    from edge_ad_calibration.normals.measured import Normals
    from edge_ad_calibration.normals.parts import Level, Observations
    from edge_ad_calibration.request import CalibrationRequest
    from edge_ad_calibration.thresholds.checks import Checks
    from edge_ad_calibration.thresholds.groups import Difference
    from edge_ad_calibration.thresholds.methods import Clock

__all__ = ["MeasuredNormals", "StationCalibration", "calibrate_each", "check_numbers", "stations_of"]

STATION = "station"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationCalibration:
    """The calibration of one station, and the normals that it was made from.

    ``name``: of the station. ``difference``: between the groups of a pooled calibration; ``None`` without groups.
    ``checks``: what was looked for among the normals, and what was not.
    """

    name: str
    normals: Normals
    observations: Observations
    calibration: AnyCalibration
    difference: Difference | None
    checks: Checks


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNormals:
    """What the thresholds are made from. ``confirmed``: the scores of the frames near the threshold that a person has
    confirmed as good. ``any_size``: whether the bundle takes frames of any size. ``reach``: how many frames before its
    own a score is about."""

    selected: SelectedNormals
    engine: EngineRecord
    confirmed: tuple[float, ...] = ()
    level: Level = "frame"
    any_size: bool = False
    reach: int = 0


def stations_of(names: Sequence[str], request: CalibrationRequest) -> dict[str, list[int]]:
    """Which images belong to which station, as places in ``names``.

    Raises:
        InputError: the CSV file of the groups does not say it of each, or names a station that cannot be one.
    """
    selection = request.selection
    if selection.groups is None or selection.pooled:
        return {request.station: list(range(len(names)))}
    places: dict[str, list[int]] = {}
    for place, station in enumerate(read_table(selection.groups).look_up(STATION, [file_of(name) for name in names])):
        places.setdefault(station, []).append(place)
    for station in places:
        check_station(station)
    return places


def check_numbers(names: Sequence[str], request: CalibrationRequest, level: Level = "frame") -> None:
    """Finds before the scoring what would otherwise fail hours later.

    Raises:
        InputError: images without a part or a station.
        NotEnoughNormalsError: a station has too few observations; says how many are needed.
    """
    part_by = request.selection.part_by
    for station, places in stations_of(names, request).items():
        mine = [names[place] for place in places]
        n = len(mine) if part_by is None else len(set(part_by.parts(mine)))
        with _named(station, request):
            check_number(request.method, n, request.alpha, request.confidence, kind=kind_of(part_by, level))


def calibrate_each(
    measured: MeasuredNormals, request: CalibrationRequest, now: Clock = utc_now
) -> list[StationCalibration]:
    """Makes the calibrations of all stations. If one of them fails, none is made.

    ``now``: tells the time that the calibrations record.

    Raises:
        InputError: the scores of a station cannot be used.
        NotEnoughNormalsError: a station has too few observations.
    """
    normals = measured.selected.normals
    if request.min_area_px and normals.peaks is not None and np.isneginf(normals.peaks).any():
        raise InputError(
            f"a region of {request.min_area_px:,} px is larger than all that is inspected: ask for a smaller --min-area"
        )
    places_of = stations_of(normals.names, request)
    asked = AskedPromise(
        alpha=request.alpha,
        confidence=request.confidence,
        needed=fewest_needed(request.method, request.alpha, request.confidence),
        fewest=min(map(len, places_of.values())),
        thinning=request.selection.thinning,
    )
    stations = []
    for name, places in places_of.items():
        with _named(name, request):
            stations.append(_calibrate(name, normals.subset(places), measured, request, asked, now))
    return stations


def _calibrate(
    name: str,
    normals: Normals,
    measured: MeasuredNormals,
    request: CalibrationRequest,
    asked: AskedPromise,
    now: Clock,
) -> StationCalibration:
    selected, selection = measured.selected, request.selection
    observations = group_parts(normals, selection.part_by, measured.level)
    learned, observations = _learn_limits(normals, observations, measured, request)
    made = calibration_by(
        request.method, observations, request.alpha, request.confidence, images_sha256=normals.images_sha256, now=now
    )
    difference = _difference(normals, observations, made, selection)
    streams = correlated_streams(observations.names, observations.scores) if observations.kind != "part" else []
    checks = checks_of(observations, selection, normals.names, vectors=normals.statistics is None)
    warnings = [
        *about_method(made),
        *about_limits(learned, normals),
        *about_copies(normals.duplicates),
        *about_streams(streams, observations, asked),
        *about_leaks(selected.leaks, selected.near_duplicates, selected.held_out, excluded=selection.exclude_leaks),
        *about_groups(difference),
        *about_confirmed(measured.confirmed, made.image.threshold),
    ]
    made = msgspec.structs.replace(
        made,
        frames=len(normals),
        images=image_marks(normals.pixel_sha256),
        part_by=selection.part_by.text if selection.part_by else None,
        min_area_px=request.min_area_px,
        warnings=tuple(warnings),
        doubt=doubt_about(made, _worth(normals, observations, streams, selected), f"{observations.kind}s"),
        not_checked=tuple(map(str, checks.missing)),
        exclusions=selected.exclusions,
        engine=measured.engine,
        frame_limits=None if learned is None else learned.limits,
        frame_reference=None
        if normals.statistics is None
        else frame_reference([normals.statistics[place] for place in _one_each(observations)]),
    )
    return StationCalibration(
        name=name,
        normals=normals,
        observations=observations,
        calibration=msgspec.structs.replace(made, statements=_statements(made)),
        difference=difference,
        checks=checks,
    )


def _statements(made: AnyCalibration) -> tuple[str, ...]:
    pixel = pixel_guarantee(made)
    return (
        image_guarantee(made),
        *([pixel] if pixel else []),
        *about_objects(made),
        *about_refused(made),
        *excluded_sentence(made, made.exclusions),
    )


def _worth(normals: Normals, observations: Observations, streams: Sequence[Stream], selected: SelectedNormals) -> Worth:
    """A part of which any image looks like a training image counts as one that was not held out."""
    trained = {leak.image for leak in selected.leaks}
    repeated = {part for name, part in zip(normals.names, observations.part.tolist(), strict=True) if name in trained}
    return Worth(n=observations.scores.size, repeated=len(repeated), streams=tuple(streams))


def _learn_limits(
    normals: Normals, observations: Observations, measured: MeasuredNormals, request: CalibrationRequest
) -> tuple[LearnedLimits | None, Observations]:
    """The limits of frames, and the observations with those marked that lie outside; ``None`` of vectors."""
    method, alpha, confidence = request.method, request.alpha, request.confidence
    learned = learn_limits(
        normals,
        _one_each(observations),
        largest_risk(method, observations.scores.size, alpha, confidence),
        with_size=measured.any_size,
        off=request.no_limits,
        reach=measured.reach,
    )
    if learned is None:
        return None, observations
    marked = observations.mark_outside(learned.outside)
    check_outside(method, marked, learned, normals, alpha, confidence)
    return learned.counting(marked.outside), marked


def _one_each(observations: Observations) -> list[int]:
    """One of the normals for each observation: the first frame of a part, or one object of a frame.

    The objects of a frame take turns, because the first one may always lie in the same corner.
    """
    members: dict[int, list[int]] = {}
    for place, part in enumerate(observations.part.tolist()):
        members.setdefault(part, []).append(place)
    in_turn = observations.pictures == "object"
    return [places[part % len(places) if in_turn else 0] for part, places in members.items()]


def _difference(
    normals: Normals, observations: Observations, made: AnyCalibration, selection: Selection
) -> Difference | None:
    """Between the groups that are pooled. A part that several of them show counts in each, by its score there."""
    if selection.groups is None or not selection.pooled:
        return None
    group_of = read_table(selection.groups).look_up(STATION, [file_of(name) for name in normals.names])
    labels = np.array(group_of)
    groups = {
        name: largest_of_parts(normals.scores[labels == name], observations.part[labels == name])
        for name in dict.fromkeys(group_of)
    }
    if sum(scores.size > 1 for scores in groups.values()) < 2:
        raise InputError(
            f"{selection.groups} has {counted(len(groups), 'group')}: to pool them, two or more must have two or more "
            "normals"
        )
    return compare_groups(groups, made.image.threshold)


@contextmanager
def _named(station: str, request: CalibrationRequest) -> Iterator[None]:
    """Says of which of several stations an error speaks."""
    try:
        yield
    except NotEnoughNormalsError as error:
        if station == request.station:
            raise
        raise NotEnoughNormalsError(error.needed, f"group {station}: {error}") from error
    except InputError as error:
        if station == request.station:
            raise
        raise InputError(f"group {station}: {error}") from error
