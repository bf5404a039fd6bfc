"""The contact sheet: what the camera saw, where the model looked, what the verdict was."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from edge_ad import Detector
from edge_ad.sources import read_image
from edge_ad.station.evidence import EvidenceRecord, find_evidence
from edge_ad.verdict import Box, Verdict
from edge_ad_demo.result.figures import GOOD, FrameVerdict
from edge_ad_demo.result.palette import ACCEPTED, FAINT, INK, REJECTED

__all__ = ["SheetFrame", "draw_sheet", "load_entries", "load_rejects"]

_DPI = 100
_PER_KIND = 2
# All lengths in pixels of the picture.
_MARGIN, _GUTTER, _HEADER, _CAPTION, _ROW_GAP = 28, 4, 84, 34, 18
_PICTURE_WIDTH, _PICTURE_HEIGHT = 280, 196
_CELL_WIDTH = 2 * _PICTURE_WIDTH + _GUTTER
_COLUMN_GAP = 24
_ROW_HEIGHT = _PICTURE_HEIGHT + _CAPTION + _ROW_GAP
# The frame's middle, where the part is.
_CROP = (slice(32, 448), slice(23, 617))
_BOX_MARGIN_PX = 3
_TITLE = "Verdicts on fresh parts"
_NOTE = "the first two of every kind, not picked"


@dataclass(frozen=True, slots=True)
class SheetFrame:
    """One scored frame: ``image`` (H, W, 3) uint8 BGR, ``anomaly_map`` (H, W) float32 in score units."""

    title: str
    verdict: Verdict
    image: NDArray[np.uint8]
    anomaly_map: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Cell:
    """Where an entry goes: its top left corner in pixels of the picture."""

    left: float
    top: float


def load_entries(bundle: Path, frames: Sequence[FrameVerdict]) -> tuple[SheetFrame, ...]:
    """Score the first two frames of every folder again, for their maps."""
    with Detector.open(bundle, self_test=False) as detector:
        return tuple(_take(detector, frame) for frame in _first_of_each(frames))


def load_rejects(bundle: Path, evidence: Path, count: int = 6) -> tuple[SheetFrame, ...]:
    """The last frames that a station has rejected and kept."""
    rejects = [(record, folder) for record, folder in find_evidence(evidence) if record.why == "reject"][-count:]
    with Detector.open(bundle, self_test=False) as detector:
        return tuple(_kept(detector, record, folder) for record, folder in rejects)


def draw_sheet(entries: Sequence[SheetFrame], title: str = _TITLE, note: str = _NOTE) -> bytes:
    """Draw the entries two to a row; a PNG file. ``entries``: one or more."""
    width = 2 * _MARGIN + _PER_KIND * _CELL_WIDTH + (_PER_KIND - 1) * _COLUMN_GAP
    rows = -(-len(entries) // _PER_KIND)
    height = _HEADER + rows * _ROW_HEIGHT + _MARGIN - _ROW_GAP
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    _draw_header(axes, entries[0].verdict, title, note)
    for number, entry in enumerate(entries):
        row, column = divmod(number, _PER_KIND)
        cell = _Cell(_MARGIN + column * (_CELL_WIDTH + _COLUMN_GAP), _HEADER + row * _ROW_HEIGHT)
        _draw_entry(axes, entry, cell)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _first_of_each(frames: Sequence[FrameVerdict]) -> Iterator[FrameVerdict]:
    for folder in dict.fromkeys(frame.folder for frame in frames):
        yield from [frame for frame in frames if frame.folder == folder][:_PER_KIND]


def _take(detector: Detector, frame: FrameVerdict) -> SheetFrame:
    image = read_image(Path(frame.source))
    anomaly_map = detector.score_with_map(image).map
    assert anomaly_map is not None  # noqa: S101  # the demo's model always gives a map
    return SheetFrame(_title(frame), frame, image, detector.map_in_camera_pixels(anomaly_map, image))


def _kept(detector: Detector, record: EvidenceRecord, folder: Path) -> SheetFrame:
    image = read_image(folder / record.frame)
    anomaly_map = np.load(folder / str(record.map))
    title = Path(record.part_id).stem.replace("_", " ")
    return SheetFrame(title, record.verdict, image, detector.map_in_camera_pixels(anomaly_map, image))


def _draw_header(axes: Axes, verdict: Verdict, title: str, note: str) -> None:
    axes.text(_MARGIN, 34, title, fontsize=15, fontweight="bold", color=INK, va="center")
    note = f"{note}  ·  reject above {verdict.threshold:.2f}  ·  {verdict.variant}"
    axes.text(_MARGIN, 60, note, fontsize=9.5, color=FAINT, va="center")


def _draw_entry(axes: Axes, entry: SheetFrame, cell: _Cell) -> None:
    _draw_caption(axes, entry, cell)
    top = cell.top + _CAPTION
    map_left = cell.left + _PICTURE_WIDTH + _GUTTER
    _place(axes, _picture(entry.image), cell.left, top)
    _place(axes, _picture(_overlay(entry)), map_left, top)
    for region in entry.verdict.regions:
        _draw_box(axes, region.box, _Cell(map_left, top))


def _draw_caption(axes: Axes, entry: SheetFrame, cell: _Cell) -> None:
    verdict = entry.verdict
    middle = cell.top + _CAPTION / 2 - 2
    axes.text(cell.left, middle, entry.title, fontsize=10.5, fontweight="bold", color=INK, va="center")
    right = cell.left + _CELL_WIDTH
    axes.add_patch(
        FancyBboxPatch(
            (right - 72, middle - 9), 72, 18, boxstyle="round,pad=0,rounding_size=4", linewidth=0,
            facecolor=ACCEPTED if verdict.accepted else REJECTED,
        )
    )  # fmt: skip
    tag: dict[str, Any] = {"color": "white", "fontweight": "bold", "ha": "center", "va": "center_baseline"}
    axes.text(right - 36, middle, verdict.state.value, fontsize=8.5, **tag)
    score = f"score {verdict.score:.2f}"
    axes.text(right - 82, middle, score, fontsize=10, color=INK, ha="right", va="center")


def _title(verdict: FrameVerdict) -> str:
    wrong = (verdict.folder == GOOD) != verdict.accepted
    remark = "" if not wrong else "  (false reject)" if verdict.folder == GOOD else "  (missed)"
    return f"{verdict.folder.replace('_', ' ').capitalize()} {Path(verdict.source).stem}{remark}"


def _picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of a BGR frame that is shown, at the size it is shown: RGB."""
    small = cv2.resize(image[_CROP], (_PICTURE_WIDTH, _PICTURE_HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small[..., ::-1], np.uint8)


def _overlay(entry: SheetFrame) -> NDArray[np.uint8]:
    """The frame in gray with the map over it, from half the threshold (nothing) to twice (full): BGR."""
    limit = entry.verdict.threshold or 1.0
    strength = np.clip((np.nan_to_num(entry.anomaly_map) / limit - 0.5) / 1.5, 0, 1)
    colour = colormaps["turbo"](0.25 + 0.7 * strength)[..., 2::-1] * 255
    gray = cv2.cvtColor(cv2.cvtColor(entry.image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    opacity = np.minimum(strength * 2.2, 0.72)[..., None]
    return np.asarray(gray + opacity * (colour - gray), np.uint8)


def _place(axes: Axes, picture: NDArray[np.uint8], left: float, top: float) -> None:
    extent = (left, left + _PICTURE_WIDTH, top + _PICTURE_HEIGHT, top)
    axes.imshow(picture, extent=extent, interpolation="none", aspect="auto")
    axes.set_autoscale_on(False)


def _draw_box(axes: Axes, box: Box, origin: _Cell) -> None:
    rows, columns = _CROP
    scale_x, scale_y = _PICTURE_WIDTH / (columns.stop - columns.start), _PICTURE_HEIGHT / (rows.stop - rows.start)
    left = origin.left + (box.x - _BOX_MARGIN_PX - columns.start) * scale_x
    top = origin.top + (box.y - _BOX_MARGIN_PX - rows.start) * scale_y
    width = (box.width + 2 * _BOX_MARGIN_PX) * scale_x
    height = (box.height + 2 * _BOX_MARGIN_PX) * scale_y
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="white", linewidth=2.2))
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=REJECTED, linewidth=1.2))
