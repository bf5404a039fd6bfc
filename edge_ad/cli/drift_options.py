"""The options of ``edge-ad score`` about drift and about keeping frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.cli.option_groups import OptionGroup, option
from edge_ad.cli.options import FILE, FOLDER
from edge_ad.errors import InputError
from edge_ad.files import check_folder, check_output

if TYPE_CHECKING:
    from edge_ad.detector import Detector
    from edge_ad.drift import DriftWatch, KeepSink
    from edge_ad.verdict import Drift

__all__ = ["KEEP", "WATCH", "KeepOptions", "WatchOptions", "describe_drift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """Whether and how a calibrated bundle is watched for drift."""

    drift: bool = True
    state: Path | None
    run_length: int
    defect_rate: float

    def check(self) -> None:
        """Raises before anything is scored what the state file would raise after it.

        Raises:
            InputError: its folder does not exist, or the options contradict each other.
            OutputError: it cannot be written.
        """
        if self.state is not None and not self.drift:
            raise InputError("--drift-state has nothing to keep with --no-drift: leave one of them out")
        if self.state is not None:
            check_output(self.state, "--drift-state")

    def open_watch(self, detector: Detector) -> DriftWatch | None:
        """The watch; ``None`` where none is wanted or the bundle has no calibration.

        Raises:
            InputError: a figure is out of range, or the state file is damaged or in use.
            OutputError: the state file cannot be written.
        """
        from edge_ad.drift import DriftSettings, DriftWatch

        settings = DriftSettings(run_length=self.run_length, defect_rate=self.defect_rate)
        if not self.drift or (detector.calibration is None and self.state is None):
            return None
        return DriftWatch(detector, settings, self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOptions:
    """Whether borderline frames are kept, and how many."""

    folder: Path | None
    frames: int
    megabytes: float
    gap_s: float

    def check(self) -> None:
        """Raises ``OutputError`` before anything is scored where the folder cannot be written to."""
        if self.folder is not None:
            check_folder(self.folder, f"--keep {self.folder}")

    def open_sinks(self, detector: Detector) -> list[KeepSink]:
        """The sink for borderline frames, or none.

        Raises:
            InputError: the bundle has no threshold, or a figure is out of range.
        """
        from edge_ad.drift import KeepLimits, KeepSink

        limits = KeepLimits(frames=self.frames, megabytes=self.megabytes, gap_s=self.gap_s)
        if self.folder is None:
            return []
        if detector.calibration is None:
            raise InputError("--keep takes frames near the threshold, and this bundle has none: run edge-ad calibrate")
        return [KeepSink(self.folder, detector.calibration, detector.bundle.artefact_sha256(detector.variant), limits)]


WATCH = OptionGroup(
    "Drift",
    WatchOptions,
    (
        option(
            "--drift/--no-drift",
            help="Watch whether the calibration still fits the frames that come. This needs a calibrated bundle.",
        ),
        option(
            "--drift-state",
            into="state",
            metavar="FILE",
            type=FILE,
            help="Keep what the watch has learnt in this file, so that it goes on after a restart.",
        ),
        option(
            "--drift-run-length",
            into="run_length",
            default_of="edge_ad.drift:DriftSettings.run_length",
            metavar="FRAMES",
            type=int,
            help="The number of frames that pass, on average, before RECALIBRATE is shown although nothing has "
            "drifted. A larger number means fewer false alarms, but real drift is shown later.",
        ),
        option(
            "--defect-rate",
            default_of="edge_ad.drift:DriftSettings.defect_rate",
            metavar="SHARE",
            type=float,
            help="The share of all parts that may really be defective, such as 0.01 for 1 %. Defects up to this "
            "share do not count as drift.",
        ),
    ),
)

KEEP = OptionGroup(
    "Frames to look at later",
    KeepOptions,
    (
        option(
            "--keep",
            into="folder",
            metavar="FOLDER",
            type=FOLDER,
            help="Save the newest frames whose score lies near the threshold in this folder. A person can look at them "
            "before the next calibration.",
        ),
        option(
            "--keep-max",
            into="frames",
            default_of="edge_ad.drift:KeepLimits.frames",
            metavar="FRAMES",
            type=int,
            help="The largest number of frames that --keep saves. Older ones are deleted.",
        ),
        option(
            "--keep-max-mb",
            into="megabytes",
            default_of="edge_ad.drift:KeepLimits.megabytes",
            metavar="MB",
            type=float,
            help="The largest space on the disk that --keep takes, in megabytes.",
        ),
        option(
            "--keep-gap",
            into="gap_s",
            default_of="edge_ad.drift:KeepLimits.gap_s",
            metavar="SECONDS",
            type=float,
            help="The shortest time between two frames that --keep saves, in seconds.",
        ),
    ),
)


def describe_drift(drift: Drift) -> str:
    """One line for people, at the end of a run."""
    since = f" since frame {drift.since:,}: {', '.join(drift.causes)}" if drift.causes else ""
    return f"drift {drift.state.value}{since} ({drift.frames:,} frames watched, {drift.rejects:,} rejected)"
