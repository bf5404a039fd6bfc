"""What is asked of a calibration, checked where it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle.records import DEFAULT_STATION, Identifier
from edge_ad.engines import EngineOptions
from edge_ad.errors import InputError
from edge_ad.thresholds.frame_limits import check_names
from edge_ad.thresholds.order_statistic import check_probability
from edge_ad_calibration.normals.exclusions import Selection
from edge_ad_calibration.scoring import ScorePlan
from edge_ad_calibration.thresholds.methods import ByRank

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_calibration.thresholds.methods import Method

__all__ = ["CalibrationOutputs", "CalibrationRequest", "check_station"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOutputs:
    """Files to write. ``plot``: the histogram; ``None`` puts it beside the variant's model. ``report``: an HTML page.
    ``sheet``: a JPEG of the highest-scoring normals."""

    plot: Path | None = None
    report: Path | None = None
    sheet: Path | None = None

    @property
    def asked(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.plot, self.report, self.sheet) if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What is asked for.

    ``alpha``: the rate of false rejects that must not be exceeded, and of normal parts with any region; not used by
    fixed thresholds and deviations from the median. ``confidence``: the chance that this holds; at least one half.
    ``min_area_px``: a region of the map counts from this area on, in camera pixels. ``variant``: ``None`` is the
    bundle's default one. ``station``: whose thresholds these are, unless groups name the stations. ``no_limits``: which
    limits of frames to go without, names of ``LIMIT_NAMES``, or ``all``.

    Raises:
        InputError: a rate, the confidence, the area, the station's name or a name of limits cannot be used.
    """

    alpha: float = 0.01
    confidence: float = 0.95
    method: Method = field(default_factory=ByRank)
    min_area_px: int = 0
    variant: str | None = None
    station: str = DEFAULT_STATION
    no_limits: tuple[str, ...] = ()
    selection: Selection = field(default_factory=Selection)
    outputs: CalibrationOutputs = field(default_factory=CalibrationOutputs)
    engine: EngineOptions = field(default_factory=EngineOptions)
    plan: ScorePlan = field(default_factory=ScorePlan)

    def __post_init__(self) -> None:
        check_probability("false-reject rate", self.alpha)
        check_probability("confidence", self.confidence)
        if self.confidence < 0.5:
            raise InputError(
                f"a confidence of {self.confidence:g} promises nothing: expected 0.5 or more, "
                f"did you mean {1 - self.confidence:g}?"
            )
        if self.min_area_px < 0:
            raise InputError(f"the smallest area of a region must be 0 pixels or more, found {self.min_area_px}")
        check_station(self.station)
        check_names(self.no_limits)


def check_station(name: str) -> None:
    """Raises :class:`InputError` unless a station may have this name."""
    try:
        msgspec.convert(name, Identifier)
    except msgspec.ValidationError:
        raise InputError(
            f"{name!r} cannot name a group: expected up to 64 letters, digits, dots, dashes "
            "and underscores, the first a letter or digit"
        ) from None
