"""The camera over the line: frames of good and of defective parts, reproducible by seed and index."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad_demo.line.defects import Kind, Surface, spoil
from edge_ad_demo.line.plate import BOSS, BOSS_RADIUS, HEIGHT, WIDTH, Image, draw_plate

__all__ = ["DefectFrame", "Product", "Split"]

# BGR. Pictures are rendered as three planes: NumPy is several times faster on planes than on pixels.
_METAL_COLOUR = np.array((0.585, 0.575, 0.560), np.float32)[:, None, None]
_BELT_COLOUR = np.array((0.125, 0.150, 0.135), np.float32)[:, None, None]
_BELT_LENGTH = 1024
# Variances in units of the full scale squared.
_READ_NOISE, _SHOT_NOISE = np.float32(1.0e-5), np.float32(4.0e-5)
_BRUSHING = np.float32(0.03)
# How badly parts lie: the largest shift, and the standard deviations of rotation and scale.
_SHIFT_PX, _ROTATION_DEG, _SCALE = 4.0, 0.35, 0.003


class Split(int, Enum):
    """Independent runs of good parts: frames with the same index in two streams share nothing."""

    TRAIN = 0
    CALIBRATION = 1
    TEST = 2


@dataclass(frozen=True, slots=True)
class DefectFrame:
    """``image`` (480, 640, 3) uint8 BGR; ``mask`` (480, 640) uint8, 255 on the defect, 0 elsewhere."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


class Product:
    """A line that makes one part. The same ``seed`` and index give the same frame, in any order, in any thread."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._plate = draw_plate()
        self._belt = _belt(np.random.default_rng((seed, 99)))
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        self._u = (columns / WIDTH - 0.5).astype(np.float32)
        self._v = (rows / HEIGHT - 0.5).astype(np.float32)
        self._boss = _Boss()

    def normal(self, index: int, split: Split = Split.TEST) -> NDArray[np.uint8]:
        """A good part: (480, 640, 3) uint8 BGR."""
        rng = np.random.default_rng((self._seed, 0, split.value, index))
        return self._render(self._surface(rng), rng).image

    def defect(self, kind: Kind, index: int) -> DefectFrame:
        """A part with one defect and the pixels that it covers."""
        rng = np.random.default_rng((self._seed, 1, list(Kind).index(kind), index))
        surface = self._surface(rng)
        spoil(surface, kind, rng)
        return self._render(surface, rng)

    def _surface(self, rng: np.random.Generator) -> Surface:
        """One part's own metal, brushed anew, without its printing."""
        plate = self._plate
        # Short fine strokes of the brush and long broad ones.
        brushed = _stretched_noise(rng, HEIGHT, WIDTH // 40) + _stretched_noise(rng, HEIGHT // 2, WIDTH // 160)
        grain = _BRUSHING * brushed * (1 - plate.turned)
        self._boss.add_turning(grain, plate.turned, rng)
        light_x, light_y = rng.normal(-0.29, 0.016), rng.normal(-0.40, 0.016)
        shade = 1 + grain + light_x * plate.slope_x + light_y * plate.slope_y
        return Surface(
            plate=plate,
            metal=_METAL_COLOUR * shade.astype(np.float32),
            ink=plate.ink.copy(),
            mask=np.zeros((HEIGHT, WIDTH), np.float32),
        )

    def _render(self, surface: Surface, rng: np.random.Generator) -> DefectFrame:
        """Lay the part on the belt, light it, and look at it through a lens onto a noisy sensor."""
        pose = _pose(rng)
        metal = _warp(self._plate.metal, pose)
        shadow = _contact_shadow(metal)
        offset = int(rng.integers(0, _BELT_LENGTH - WIDTH))
        light, blur_px = self._light(rng), 0.8 + 0.1 * rng.random()
        planes = []
        for printed, belt in zip(surface.printed(), self._belt[:, :, offset : offset + WIDTH], strict=True):
            scene = belt * shadow
            scene += metal * (_warp(printed, pose) - scene)
            scene *= light
            planes.append(_expose(cv2.GaussianBlur(scene, (0, 0), blur_px), rng))
        mask = np.where(_warp(surface.mask, pose) > 0.5, 255, 0).astype(np.uint8)
        return DefectFrame(np.asarray(cv2.merge(planes), np.uint8), mask)

    def _light(self, rng: np.random.Generator) -> Image:
        """Lamp drift, a tilted field, a soft highlight and the lens's vignetting."""
        u, v = self._u, self._v
        gain = rng.normal(1.16, 0.02)
        tilt_u, tilt_v = rng.normal(-0.14, 0.025), rng.normal(-0.10, 0.025)
        highlight_at = rng.normal(-0.12, 0.02)
        glow = 0.13 * np.exp(-((u * 0.5 + v - highlight_at) ** 2) / 0.05)
        return np.asarray(gain * (1 + tilt_u * u + tilt_v * v + glow - 0.55 * (u * u + v * v)), np.float32)


class _Boss:
    """Circular tool marks and the bow-tie highlight that turned metal shows."""

    def __init__(self) -> None:
        r = BOSS_RADIUS + 2
        y, x = np.mgrid[-r : r + 1, -r : r + 1].astype(np.float32)
        self._window = (slice(BOSS[1] - r, BOSS[1] + r + 1), slice(BOSS[0] - r, BOSS[0] + r + 1))
        self._radius_px = np.sqrt(x * x + y * y)
        self._angle_rad = np.arctan2(y, x)

    def add_turning(self, grain: Image, turned: Image, rng: np.random.Generator) -> None:
        marks = rng.normal(0.0, 0.035, BOSS_RADIUS * 2 + 8)
        rings = np.interp(self._radius_px, np.arange(marks.size) * 0.75, marks)
        light_rad = rng.normal(-0.9, 0.05)
        bow_tie = 0.17 * np.cos(2 * (self._angle_rad - light_rad)) ** 3
        grain[self._window] += (rings + bow_tie).astype(np.float32) * turned[self._window]


def _stretched_noise(rng: np.random.Generator, rows: int, columns: int) -> Image:
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.float32)


def _belt(rng: np.random.Generator) -> Image:
    """Woven conveyor fabric, longer than the view."""
    rows, columns = np.mgrid[0:HEIGHT, 0:_BELT_LENGTH].astype(np.float32)
    weave = np.sin(columns * 1.05) * np.sin(rows * 1.05)
    wear = cv2.resize(rng.standard_normal((12, 26), dtype=np.float32), (_BELT_LENGTH, HEIGHT))
    fibre = cv2.GaussianBlur(rng.standard_normal((HEIGHT, _BELT_LENGTH), dtype=np.float32), (0, 0), 0.9)
    texture = 1 + 0.16 * weave + 0.05 * wear + 0.22 * fibre
    return np.asarray(texture * _BELT_COLOUR, np.float32)


def _pose(rng: np.random.Generator) -> NDArray[np.float64]:
    rotation_deg = rng.normal(0, _ROTATION_DEG)
    pose = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), rotation_deg, rng.normal(1, _SCALE))
    pose[:, 2] += rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2)
    return np.asarray(pose, np.float64)


def _warp(layer: Image, pose: NDArray[np.float64]) -> Image:
    return np.asarray(cv2.warpAffine(layer, pose, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.float32)


def _contact_shadow(metal: Image) -> Image:
    """What the plate takes of the belt's light, to its lower right."""
    small = cv2.resize(metal, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 2.4)
    shifted = cv2.warpAffine(soft, np.array(((1, 0, 2.0), (0, 1, 2.6))), (WIDTH // 4, HEIGHT // 4))
    return np.asarray(1 - 0.75 * cv2.resize(shifted, (WIDTH, HEIGHT)), np.float32)


def _expose(scene: Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shot and read noise as a camera leaves it on one plane, then 8 bit."""
    noise = rng.standard_normal(scene.shape, dtype=np.float32)
    noise *= np.sqrt(np.maximum(scene, 0) * _SHOT_NOISE + _READ_NOISE)
    noise += scene
    return np.asarray(cv2.convertScaleAbs(np.maximum(noise, 0), alpha=255.0), np.uint8)
