"""What goes wrong with a part: each defect changes its surface and marks the pixels that it covers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad_demo.line.plate import HEIGHT, WIDTH, Image, Plate

__all__ = ["Kind", "Surface", "spoil"]

_FRACTION_BITS = 4
_INK_OPACITY = np.float32(0.9)


class Kind(str, Enum):
    """The kinds of defects of the line."""

    SCRATCH = "scratch"
    BLOB = "blob"
    MISSING_PRINT = "missing_print"
    STAIN = "stain"


@dataclass(slots=True)
class Surface:
    """One part before it is photographed; a defect edits ``metal``, ``ink`` and ``mask`` in place.

    ``metal`` (3, H, W) float32 BGR 0..1 is the bare metal, ``ink`` (H, W) the printing's coverage,
    ``mask`` (H, W) 1 on the defect, ``plate`` the layers that no defect changes.
    """

    plate: Plate
    metal: Image
    ink: Image
    mask: Image

    def printed(self) -> Image:
        """The metal under its printing: (3, H, W) float32."""
        colour = self.plate.ink_colour - self.metal
        colour *= _INK_OPACITY * self.ink
        colour += self.metal
        return colour


def spoil(surface: Surface, kind: Kind, rng: np.random.Generator) -> None:
    """Put one defect of ``kind`` on the part."""
    _DEFECTS[kind](surface, rng)


def _scratch(surface: Surface, rng: np.random.Generator) -> None:
    """A bowed line through the metal: a bright burr beside a dark groove."""
    start = _place(surface, rng)
    angle_rad, length_px = rng.uniform(0, 2 * np.pi), rng.uniform(35, 120)
    along = np.linspace(0, 1, 24)
    bow_px = rng.uniform(-0.12, 0.12) * length_px * np.sin(np.pi * along)
    direction = np.array((np.cos(angle_rad), np.sin(angle_rad)))
    normal = np.array((-direction[1], direction[0]))
    points = start + along[:, None] * length_px * direction + bow_px[:, None] * normal
    groove = _line(points, rng.uniform(1.0, 2.0)) * surface.plate.metal
    burr = _line(points + 1.2 * normal, 1.0) * surface.plate.metal
    depth = rng.uniform(0.14, 0.45)
    surface.metal *= 1 - depth * groove + 0.7 * depth * burr
    surface.ink *= 1 - np.float32(0.9) * groove
    surface.mask[:] = np.maximum(groove, burr)


def _blob(surface: Surface, rng: np.random.Generator) -> None:
    """A drop of dried resin: tinted, domed, with a highlight."""
    radius_px = rng.uniform(6, 13)
    drop = _patch(_place(surface, rng), radius_px, 0.25, rng) * surface.plate.metal
    dome = cv2.GaussianBlur(drop, (0, 0), radius_px / 3)
    slope = np.gradient(dome, axis=0) * -0.7 + np.gradient(dome, axis=1) * -0.5
    tint = _bgr(0.30, 0.46, 0.56) * np.float32(rng.uniform(0.75, 1.15))
    opacity = rng.uniform(0.25, 0.75)
    surface.metal += opacity * drop * (tint - surface.metal)
    surface.metal *= 1 + (0.2 * radius_px * slope).astype(np.float32)
    surface.ink *= 1 - np.float32(opacity) * drop
    surface.mask[:] = drop


def _missing_print(surface: Surface, rng: np.random.Generator) -> None:
    """Ink that never reached the metal: one element, from a few letters to all of it."""
    prints = surface.plate.prints
    rows, columns = prints[int(rng.integers(0, len(prints)))]
    width_px = columns.stop - columns.start
    share = rng.uniform(0.2, 1.0)
    first = columns.start + round(rng.uniform(0, 1 - share) * width_px)
    gap = np.zeros_like(surface.ink)
    gap[rows, first : first + max(1, round(share * width_px))] = 1
    gap = cv2.GaussianBlur(gap, (0, 0), 1.5)
    surface.mask[:] = cv2.dilate(surface.ink, np.ones((3, 3))) * gap
    surface.ink *= 1 - gap * np.float32(rng.uniform(0.6, 1.0))


def _stain(surface: Surface, rng: np.random.Generator) -> None:
    """A film of oil or coolant: soft, brownish, hardly darker than the metal."""
    film = _patch(_place(surface, rng), rng.uniform(16, 34), 0.45, rng)
    film = cv2.GaussianBlur(film, (0, 0), 4.0) * surface.plate.metal
    absorbed = _bgr(1.0, 0.75, 0.55) * np.float32(rng.uniform(0.08, 0.26))
    surface.metal *= 1 - film * absorbed
    surface.mask[:] = film


_DEFECTS = {
    Kind.SCRATCH: _scratch,
    Kind.BLOB: _blob,
    Kind.MISSING_PRINT: _missing_print,
    Kind.STAIN: _stain,
}


def _place(surface: Surface, rng: np.random.Generator) -> NDArray[np.float64]:
    """A point on the metal, a little inside its rim: (x, y)."""
    inside = cv2.erode(surface.plate.metal, np.ones((13, 13)))[::8, ::8]
    rows, columns = np.nonzero(inside > 0.5)
    which = int(rng.integers(0, rows.size))
    return np.array((columns[which] * 8.0, rows[which] * 8.0)) + rng.uniform(-4, 4, 2)


def _bgr(blue: float, green: float, red: float) -> Image:
    return np.array((blue, green, red), np.float32)[:, None, None]


def _line(points: NDArray[np.float64], width_px: float) -> Image:
    """An antialiased polyline: (H, W) float32 0..1."""
    scale = 4
    canvas = np.zeros((HEIGHT * scale, WIDTH * scale), np.uint8)
    fixed = np.round(points * scale * (1 << _FRACTION_BITS)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, max(1, round(width_px * scale)), cv2.LINE_AA, _FRACTION_BITS)
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255), np.float32)


def _patch(
    centre: NDArray[np.float64],
    radius_px: float,
    ragged: float,
    rng: np.random.Generator,
) -> Image:
    """A closed wavy outline, filled and softened by a pixel: (H, W) float32 0..1."""
    angle_rad = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = sum(rng.normal(0, ragged / k) * np.cos(k * angle_rad + rng.uniform(0, 6.3)) for k in (2, 3, 5))
    radius = radius_px * np.clip(1 + 0.5 * waves, 0.35, 1.8)
    points = centre + radius[:, None] * np.stack((np.cos(angle_rad), np.sin(angle_rad)), axis=1)
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    fixed = np.round(points * (1 << _FRACTION_BITS)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 1.0, cv2.LINE_8, _FRACTION_BITS)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.8), np.float32)
