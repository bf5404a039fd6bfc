"""What is asked of a calibration, checked where it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle.records import DEFAULT_STATION, Identifier
from edge_ad.engines import EngineOptions
from edge_ad.errors import InputError
from edge_ad_calibration.leaks import SAME_PART
from edge_ad_calibration.methods import ByRank
from edge_ad_calibration.order_statistic import check_probability
from edge_ad_calibration.scoring import ScorePlan
from edge_ad_calibration.selection import ALL

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_calibration.methods import Method
    from edge_ad_calibration.parts import PartBy
    from edge_ad_calibration.selection import Thinning

__all__ = ["CalibrationRequest", "Exclude", "Outputs", "Selection", "check_station"]


@dataclass(frozen=True, slots=True)
class Exclude:
    """An image that is not to count, and why.

    Raises:
        InputError: no reason is given.
    """

    image: str
    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError(f"{self.image} is to be excluded without a reason: say why with --reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images count, and as what.

    ``part_by``: what is one part; ``None``: every image is. ``training``: folders or globs of the images that the
    model was trained on. ``exclude_leaks``: held-out images that repeat one of them, by a correlation of
    ``same_part`` or more, do not count. ``confirmed``: a folder of borderline frames, as the device keeps them, that
    a person has confirmed. ``groups``: a CSV file with the columns ``path`` and ``station``: a calibration for each
    station or, ``pooled``, one for all. ``objects``: a CSV file that says where the objects are in the images, for a
    bundle that scores objects; ``None``: every image shows one object and nothing else.

    Raises:
        InputError: what is asked contradicts itself.
    """

    thinning: Thinning = ALL
    part_by: PartBy | None = None
    exclude: tuple[Exclude, ...] = ()
    training: tuple[str | Path, ...] = ()
    exclude_leaks: bool = False
    same_part: float = SAME_PART
    confirmed: Path | None = None
    groups: Path | None = None
    pooled: bool = False
    objects: Path | None = None

    def __post_init__(self) -> None:
        if self.exclude_leaks and not self.training:
            raise InputError("to exclude images that repeat training images, name these with --train")
        if self.pooled and self.groups is None:
            raise InputError("--pool joins the groups of a CSV file: name it with --groups")
        if not 0 < self.same_part <= 1:
            raise InputError(
                f"the correlation of images of one part must lie between 0 and 1, found {self.same_part:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
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
    bundle's default one. ``station``: whose thresholds these are, unless groups name the stations.

    Raises:
        InputError: a rate, the confidence, the area or the station's name cannot be used.
    """

    alpha: float = 0.01
    confidence: float = 0.95
    method: Method = field(default_factory=ByRank)
    min_area_px: int = 0
    variant: str | None = None
    station: str = DEFAULT_STATION
    selection: Selection = field(default_factory=Selection)
    outputs: Outputs = field(default_factory=Outputs)
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


def check_station(name: str) -> None:
    """Raises :class:`InputError` unless a station may have this name."""
    try:
        msgspec.convert(name, Identifier)
    except msgspec.ValidationError:
        raise InputError(
            f"{name!r} cannot name a station: expected up to 64 letters, digits, dots, dashes "
            "and underscores, the first a letter or digit"
        ) from None
