"""The highest-scoring normals as pictures, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad.detector import Detector
from edge_ad.outputs import ColourScale, annotate
from edge_ad.outputs.annotate import caption_of
from edge_ad.outputs.draw_text import draw_text, fit_text
from edge_ad.scoring.objects import sole_object
from edge_ad_calibration.normals.distinct import pick_distinct
from edge_ad_calibration.normals.measured import read_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.bundle import Bundle, Calibration, Variant
    from edge_ad.scoring.scorer import Scorer
    from edge_ad.verdict import Verdict
    from edge_ad_calibration.normals.distinct import Picked
    from edge_ad_calibration.normals.measured import Normals
    from edge_ad_calibration.normals.parts import Observations

__all__ = ["SHOWN", "ShownNormal", "choose_highest", "draw_sheet", "show_normals"]

_COLUMNS = 4
# All lengths in pixels of the sheet.
_CELL, _CAPTION, _GAP, _TEXT, _TITLE = 400, 24, 12, 11, 18
_PAPER, _INK = 255, (40, 36, 31)
_QUALITY = 90


SHOWN = 12
"""How many of the highest-scoring normals are shown."""


@dataclass(frozen=True, slots=True)
class ShownNormal:
    """A normal with its anomaly map and verdict. ``picture``: uint8 BGR, ``(H, W, 3)``.

    ``alike``: how many other normals show the same part or look like this one, and are not shown.
    """

    name: str
    score: float
    picture: NDArray[np.uint8]
    verdict: Verdict
    alike: int = 0

    @property
    def remark(self) -> str:
        """What stands below the picture beside its verdict."""
        return f"and {self.alike} more like this" if self.alike else ""


def choose_highest(normals: Normals, observations: Observations, most: int = SHOWN) -> list[Picked]:
    """The names of the highest-scoring normals, the highest first, one of each part and none that looks like another.

    Raises:
        FrameError: one of them cannot be read any more.
    """
    order = np.argsort(-normals.scores, kind="stable").tolist()
    names = [normals.names[place] for place in order]
    return pick_distinct(names, [int(observations.part[place]) for place in order], most, read_frame)


def show_normals(
    bundle: Bundle, variant: Variant, scorer: Scorer, calibration: Calibration, chosen: Sequence[Picked]
) -> list[ShownNormal]:
    """Scores the chosen normals as the device does with this calibration, and draws their maps and regions.

    Raises:
        FrameError: one of them cannot be read any more.
    """
    detector, scale = Detector(bundle, variant, scorer, calibration), ColourScale()
    shown = []
    for one in chosen:
        image = read_frame(one.name)
        inspected = detector.score_with_map(image, objects=sole_object(bundle, image))
        verdict = inspected.verdict
        anomaly_map = (
            None if inspected.map is None else detector.map_in_camera_pixels(inspected.map, image, verdict.objects)
        )
        colour_range = None if anomaly_map is None else scale.fit(anomaly_map, verdict.pixel_threshold)
        score = verdict.score
        picture = annotate(image, verdict, anomaly_map, colour_range, captioned=False)
        shown.append(ShownNormal(one.name, float("nan") if score is None else score, picture, verdict, one.alike))
    return shown


def draw_sheet(shown: Sequence[ShownNormal], title: str) -> bytes:
    """The pictures side by side, the first one top left, with their names below; a JPEG file."""
    cells = [_cell(number, one) for number, one in enumerate(shown, start=1)]
    rows = [_row(cells[start : start + _COLUMNS]) for start in range(0, len(cells), _COLUMNS)]
    width = _COLUMNS * (_CELL + _GAP) + _GAP
    head = np.full((2 * _TITLE + 2 * _GAP, width, 3), _PAPER, np.uint8)
    text, height = fit_text(title, _TITLE, width - 2 * _GAP)
    draw_text(head, text, _GAP, _GAP + _TITLE, height_px=height, colour=_INK)
    return cv2.imencode(".jpg", np.vstack([head, *rows]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _cell(number: int, one: ShownNormal) -> NDArray[np.uint8]:
    height, width = one.picture.shape[:2]
    scale = _CELL / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(one.picture, size, interpolation=cv2.INTER_AREA)
    cell = np.full((size[1] + 2 * _CAPTION + _GAP, _CELL, 3), _PAPER, np.uint8)
    left = (_CELL - size[0]) // 2
    cell[: size[1], left : left + size[0]] = small
    text, text_height = fit_text(f"{number}. {Path(one.name).parent.name}/{Path(one.name).name}", _TEXT, _CELL)
    draw_text(cell, text, 0, size[1] + _TEXT + 6, height_px=text_height, colour=_INK)
    caption = caption_of(one.verdict)
    line = "   ".join(filter(None, (caption.tag, caption.figures, one.remark)))
    text, text_height = fit_text(line, _TEXT, _CELL)
    draw_text(cell, text, 0, size[1] + _CAPTION + _TEXT, height_px=text_height, colour=_INK)
    return cell


def _row(cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(cell.shape[0] for cell in cells)
    row = np.full((height, _COLUMNS * (_CELL + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for column, cell in enumerate(cells):
        left = _GAP + column * (_CELL + _GAP)
        row[: cell.shape[0], left : left + _CELL] = cell
    return row
