"""What ``edge-ad score`` can be told about drift and about keeping frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_ad.cli.options import add_options
from edge_ad.errors import InputError

if TYPE_CHECKING:
    from edge_ad.detector import Detector
    from edge_ad.drift import DriftWatch, KeepSink
    from edge_ad.verdict import Drift

__all__ = ["WatchOptions", "describe_drift", "watch_options"]

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--drift/--no-drift",
        default=True,
        help="Watch whether a calibrated bundle still fits its stream (default: yes).",
    ),
    click.option(
        "--drift-state",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Where the watch is kept over restarts.",
    ),
    click.option(
        "--drift-run-length",
        metavar="FRAMES",
        type=int,
        default=1_000_000,
        show_default=True,
        help="How many frames, on average, pass before a false RECALIBRATE.",
    ),
    click.option(
        "--defect-rate",
        metavar="SHARE",
        type=float,
        default=0.01,
        show_default=True,
        help="Share of parts that may really be defective without counting as drift.",
    ),
    click.option(
        "--keep",
        metavar="FOLDER",
        type=click.Path(path_type=Path, file_okay=False),
        help="Keep the newest borderline frames here, for recalibration.",
    ),
    click.option("--keep-max", metavar="FRAMES", type=int, default=200, show_default=True, help="How many to keep."),
    click.option(
        "--keep-max-mb", metavar="MB", type=float, default=1_000, show_default=True, help="How much room they may take."
    ),
    click.option(
        "--keep-gap", metavar="S", type=float, default=1, show_default=True, help="Seconds between two that are kept."
    ),
)


def watch_options(function: _F) -> _F:
    """Adds the options that :class:`WatchOptions` takes."""
    return add_options(function, _OPTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """The options as click gives them."""

    drift: bool
    drift_state: Path | None
    drift_run_length: int
    defect_rate: float
    keep: Path | None
    keep_max: int
    keep_max_mb: float
    keep_gap: float

    def open_watch(self, detector: Detector) -> DriftWatch | None:
        """The watch, where one is wanted and possible."""
        from edge_ad.drift import DriftSettings, DriftWatch

        settings = DriftSettings(run_length=self.drift_run_length, defect_rate=self.defect_rate)
        if self.drift_state is not None and not self.drift:
            raise InputError("--drift-state has nothing to keep with --no-drift: leave one of them out")
        if not self.drift or (detector.calibration is None and self.drift_state is None):
            return None
        return DriftWatch(detector, settings, self.drift_state)

    def open_keep(self, detector: Detector) -> list[KeepSink]:
        """The sink for borderline frames, where one is wanted."""
        from edge_ad.drift import KeepLimits, KeepSink

        limits = KeepLimits(frames=self.keep_max, megabytes=self.keep_max_mb, gap_s=self.keep_gap)
        if self.keep is None:
            return []
        if detector.calibration is None:
            raise InputError("--keep takes frames near the threshold, and this bundle has none: run edge-ad calibrate")
        return [KeepSink(self.keep, detector.calibration, detector.bundle.artefact_sha256(detector.variant), limits)]


def describe_drift(drift: Drift) -> str:
    """One line for people, at the end of a run."""
    since = f" since frame {drift.since:,}: {', '.join(drift.causes)}" if drift.causes else ""
    return f"drift {drift.state.value}{since} ({drift.frames:,} frames watched, {drift.rejects:,} rejected)"
