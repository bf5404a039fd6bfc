"""Writes the files of a calibration that people look at: pictures, sheet and page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.bundle.records import DEFAULT_STATION
from edge_ad.files import atomic_write
from edge_ad_calibration.pages.highest_normals import choose_highest, draw_sheet, show_normals
from edge_ad_calibration.pages.plots import draw_calibration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad.bundle import Bundle, Variant
    from edge_ad.scoring.scorer import Scorer
    from edge_ad_calibration.pages.highest_normals import ShownNormal
    from edge_ad_calibration.request import CalibrationRequest
    from edge_ad_calibration.stations import StationCalibration

__all__ = ["Files", "publish"]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one station; ``None`` if a file was not asked for. All stations share one page."""

    plot: Path
    report: Path | None
    sheet: Path | None


def publish(
    bundle: Bundle,
    variant: Variant,
    scorer: Scorer,
    stations: Sequence[StationCalibration],
    request: CalibrationRequest,
    plot: Path,
) -> dict[str, Files]:
    """Writes the files and returns them by the name of the station.

    The name of a station other than the default one is added to the names of its files.

    Raises:
        OutputError: a file cannot be written.
        FrameError: one of the images cannot be read any more.
    """
    outputs = request.outputs
    shown: dict[str, list[ShownNormal]] = {}
    files: dict[str, Files] = {}
    for station in stations:
        name, made = station.name, station.calibration
        subject = f"{bundle.manifest.name}@{bundle.manifest.version} · {variant.id} · group {name}"
        files[name] = Files(
            _of_station(plot, name), outputs.report, _of_station(outputs.sheet, name) if outputs.sheet else None
        )
        atomic_write(files[name].plot, draw_calibration(made, station.observations, f"{subject} · {made.created}"))
        if outputs.sheet or outputs.report:
            images = [] if bundle.manifest.takes_vectors else choose_highest(station.normals, station.observations)
            shown[name] = show_normals(bundle, variant, scorer, made, images)
        if (sheet := files[name].sheet) is not None:
            title = f"The {len(shown[name])} highest-scoring parts among {len(station.normals):,} normals: {subject}"
            atomic_write(sheet, draw_sheet(shown[name], title))
    if outputs.report:
        from edge_ad_calibration.pages.calibration_page import write_report

        write_report(outputs.report, bundle, variant, stations, shown)
    return files


def _of_station(path: Path, name: str) -> Path:
    return path if name == DEFAULT_STATION else path.with_name(f"{path.stem}-{name}{path.suffix}")
