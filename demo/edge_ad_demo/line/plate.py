"""The ideal part: a brushed cover plate with screw holes, a turned boss, ribs and printing, without defects."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BOSS", "BOSS_RADIUS", "HEIGHT", "WIDTH", "Image", "Plate", "Window", "draw_plate"]

Image = NDArray[np.float32]

WIDTH, HEIGHT = 640, 480
BOSS = (212, 240)
BOSS_RADIUS = 76
_SUPERSAMPLING = 4
_OUTLINE = (84, 78, 556, 402)
_CORNER_RADIUS = 34
_HOLES = tuple((x, y) for x in (122, 518) for y in (116, 364))
_HOLE_RADIUS, _COUNTERSINK_RADIUS = 10, 17
_BORE_RADIUS = 21
_RIBS = ((164, 110, 476, 110), (164, 370, 476, 370))
_DARK_INK = (0.13, 0.12, 0.11)
_BLUE_INK = (0.55, 0.30, 0.09)


Colour = tuple[float, float, float]
Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Plate:
    """The layers of the part, each (HEIGHT, WIDTH) float32, in the nominal camera view.

    ``metal`` is 1 on the plate and 0 beside it and in its holes; ``slope_x`` and ``slope_y`` are the gradient
    of the relief; ``turned`` is 1 on the lathe-turned boss; ``ink`` is the printing's coverage and ``ink_colour``
    (3, HEIGHT, WIDTH) its BGR colour, both 0..1. ``prints`` are the windows (rows, columns) of the printed elements.
    """

    metal: Image
    slope_x: Image
    slope_y: Image
    turned: Image
    ink: Image
    ink_colour: Image
    prints: tuple[Window, ...]


def draw_plate() -> Plate:
    """Draw the part four times finer than the camera sees it, then average down."""
    metal = _outline()
    relief = _relief(metal)
    slope_x, slope_y = np.gradient(relief, axis=1), np.gradient(relief, axis=0)
    for x, y in _HOLES:
        metal = metal * (1 - _disc(x, y, _HOLE_RADIUS))
    metal = metal * (1 - _disc(*BOSS, _BORE_RADIUS))
    ink, ink_colour = np.zeros_like(metal), np.zeros((3, HEIGHT, WIDTH), np.float32)
    elements = _elements()
    for coverage, colour in elements:
        ink += coverage
        rows, columns = _window(coverage)
        ink_colour[:, rows, columns] = np.array(colour)[:, None, None]
    return Plate(
        metal=metal,
        slope_x=slope_x.astype(np.float32),
        slope_y=slope_y.astype(np.float32),
        turned=_disc(*BOSS, BOSS_RADIUS),
        ink=ink,
        ink_colour=ink_colour,
        prints=tuple(_window(coverage) for coverage, _ in elements),
    )


def _canvas() -> NDArray[np.uint8]:
    return np.zeros((HEIGHT * _SUPERSAMPLING, WIDTH * _SUPERSAMPLING), np.uint8)


def _shrink(canvas: NDArray[np.uint8]) -> Image:
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255), np.float32)


def _point(x: float, y: float) -> tuple[int, int]:
    return _length(x), _length(y)


def _length(length_px: float) -> int:
    return round(length_px * _SUPERSAMPLING)


def _disc(x: float, y: float, radius: float) -> Image:
    canvas = _canvas()
    cv2.circle(canvas, _point(x, y), _length(radius), 255, cv2.FILLED)
    return _shrink(canvas)


def _outline() -> Image:
    canvas = _canvas()
    left, top, right, bottom = _OUTLINE
    r = _CORNER_RADIUS
    cv2.rectangle(canvas, _point(left + r, top), _point(right - r, bottom), 255, cv2.FILLED)
    cv2.rectangle(canvas, _point(left, top + r), _point(right, bottom - r), 255, cv2.FILLED)
    for x in (left + r, right - r):
        for y in (top + r, bottom - r):
            cv2.circle(canvas, _point(x, y), _length(r), 255, cv2.FILLED)
    return _shrink(canvas)


def _relief(metal: Image) -> Image:
    """The plate's surface height in pixels: bevelled rim, countersunk holes, raised boss, pressed ribs."""
    edge_px = cv2.distanceTransform((metal > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    relief = 0.55 * np.minimum(edge_px, 7.0)
    for x, y in _HOLES:
        relief -= 3.0 * cv2.GaussianBlur(_disc(x, y, _COUNTERSINK_RADIUS), (0, 0), 1.6)
    relief += 3.5 * cv2.GaussianBlur(_disc(*BOSS, BOSS_RADIUS), (0, 0), 1.4)
    relief -= 1.6 * cv2.GaussianBlur(_ring(*BOSS, 50, 3), (0, 0), 1.0)
    relief -= 3.0 * cv2.GaussianBlur(_disc(*BOSS, _BORE_RADIUS + 5), (0, 0), 1.4)
    for x0, y0, x1, y1 in _RIBS:
        canvas = _canvas()
        cv2.line(canvas, _point(x0, y0), _point(x1, y1), 255, _length(7), cv2.LINE_AA)
        relief += 2.6 * cv2.GaussianBlur(_shrink(canvas), (0, 0), 1.8)
    return np.asarray(relief, np.float32)


def _ring(x: float, y: float, radius: float, width: float) -> Image:
    return _disc(x, y, radius + width / 2) - _disc(x, y, radius - width / 2)


def _elements() -> tuple[tuple[Image, Colour], ...]:
    """The printed elements, apart from each other: coverage (H, W) 0..1 and BGR colour."""
    bar = _canvas()
    cv2.rectangle(bar, _point(318, 196), _point(524, 202), 255, cv2.FILLED)
    return (
        (_text("EDGE-AD", 316, 184, scale=1.55, stroke=4.4), _BLUE_INK),
        (_shrink(bar), _BLUE_INK),
        (_text("TYPE  EA-240/S", 318, 234, scale=0.62, stroke=1.9), _DARK_INK),
        (_text("24 V DC   1.6 A", 318, 262, scale=0.62, stroke=1.9), _DARK_INK),
        (_text("IP 67", 318, 318, scale=0.95, stroke=2.8), _DARK_INK),
        (_matrix_code(456, 284, module=4.5), _DARK_INK),
    )


def _window(coverage: Image) -> Window:
    rows, columns = np.nonzero(coverage)
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def _text(text: str, x: int, y: int, *, scale: float, stroke: float) -> Image:
    canvas = _canvas()
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, _point(x, y), font, scale * _SUPERSAMPLING, 255, _length(stroke), cv2.LINE_AA)
    return _shrink(canvas)


def _matrix_code(x: float, y: float, *, module: float) -> Image:
    """A square of 12 x 12 modules with the solid border of a Data Matrix code; its content means nothing."""
    modules = np.random.default_rng(240).integers(0, 2, (12, 12))
    modules[:, 0] = modules[-1, :] = 1
    modules[0, :] = np.arange(12) % 2 == 0
    modules[:, -1] = np.arange(12) % 2 == 1
    canvas = _canvas()
    for row, column in np.argwhere(modules):
        corner = _point(x + column * module, y + row * module)
        opposite = _point(x + (column + 1) * module, y + (row + 1) * module)
        cv2.rectangle(canvas, corner, opposite, 255, cv2.FILLED)
    return _shrink(canvas)
