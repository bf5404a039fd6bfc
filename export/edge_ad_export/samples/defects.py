"""Synthetic defects that are drawn into normal images, so that an export can be tested without real defects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np

from edge_ad.geometry import map_in_camera_pixels
from edge_ad.sources import read_image
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.geometry import Preprocessor

__all__ = [
    "DEFECTS_MOST",
    "FITTING_KINDS",
    "KINDS",
    "Defect",
    "DefectSet",
    "Kind",
    "Sample",
    "cut_paste",
    "defects_for",
    "draw_defect",
    "perlin_noise",
    "scratch",
    "stain",
    "texture",
]


Kind = Literal["cut-paste", "texture", "scratch", "stain"]
KINDS: Final[tuple[Kind, ...]] = ("cut-paste", "texture", "scratch")
"""The kinds by which variants are judged."""
FITTING_KINDS: Final[tuple[Kind, ...]] = ("cut-paste", "texture", "stain")
"""The kinds that a quantizer sees: never a scratch, and a kind of its own, which judges nothing."""

# From hardly visible to plain: a variant must keep the ranks of all of them.
_STRENGTH = (0.25, 1.0)
_TRIES = 20
# A pixel counts as changed from this number of gray levels on, and a defect as visible from this share of pixels on.
_CHANGED = 8
_VISIBLE_SHARE = 2e-4


@dataclass(frozen=True)
class Defect:
    """``image``: uint8 of the normal's shape. ``mask``: bool ``(H, W)``, the pixels that differ visibly."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_defect(
    kind: Kind,
    image: NDArray[np.uint8],
    donor: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    random: np.random.Generator,
) -> Defect:
    """Draws one defect into what the model sees of the image; up to 20 times, until it is visible.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``, at least 4 pixels a side; not changed.
        donor: another normal image with as many channels.
        seen: bool ``(H, W)``, the pixels that the model gets to see.
    """
    least = max(_VISIBLE_SHARE * float(seen.sum()), 1.0)
    for _ in range(_TRIES):
        over, share = _over(kind, image, donor, random)
        share = share * seen * np.float32(random.uniform(*_STRENGTH))
        weight = share[..., None] if image.ndim == 3 else share
        mixed = np.round(image + weight * (over.astype(np.float32) - image)).astype(np.uint8)
        change = np.abs(mixed.astype(np.int16) - image)
        mask = (change.max(axis=2) if image.ndim == 3 else change) >= _CHANGED
        if mask.sum() >= least:
            break
    return Defect(mixed, mask)


def _over(
    kind: Kind, image: NDArray[np.uint8], donor: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if kind == "cut-paste":
        return cut_paste(image, random)
    if kind == "texture":
        return texture(image, donor, random)
    return scratch(image, random) if kind == "scratch" else stain(image, random)


# The paper's ranges of the patch's area, as a part of the image's, and of its aspect ratio; small patches added.
_AREA = (0.002, 0.08)
_LOG_ASPECT = (math.log(0.3), math.log(3.3))
_MAX_TURN_DEG = 45.0


def cut_paste(image: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``, at least 4 pixels a side; not changed.
    """
    height, width = image.shape[:2]
    area = height * width * math.exp(random.uniform(*np.log(_AREA)))
    aspect = math.exp(random.uniform(*_LOG_ASPECT))
    size = (_side(math.sqrt(area * aspect), width), _side(math.sqrt(area / aspect), height))
    x, y = (int(random.integers(0, limit - side + 1)) for side, limit in zip(size, (width, height), strict=True))
    turned = cv2.getRotationMatrix2D(
        (x + size[0] / 2, y + size[1] / 2), float(random.uniform(-_MAX_TURN_DEG, _MAX_TURN_DEG)), 1.0
    )
    turned[:, 2] += random.uniform(0, width) - x - size[0] / 2, random.uniform(0, height) - y - size[1] / 2
    patch = np.zeros((height, width), np.float32)
    patch[y : y + size[1], x : x + size[0]] = 1
    pasted = cv2.warpAffine(image, turned, (width, height), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(patch, turned, (width, height), flags=cv2.INTER_LINEAR)
    return pasted.astype(np.uint8, copy=False), mask.astype(np.float32, copy=False)


def _side(length: float, limit: int) -> int:
    return min(max(round(length), 2), limit // 2)


_STEPS = 24
# As parts of the longer side.
_LENGTH = (0.06, 0.4)
_WIDTH = (0.002, 0.012)
_BEND_RAD = 1.2
_CONTRAST = (25.0, 110.0)


def scratch(image: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``; not changed.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    headings = random.uniform(0, 2 * np.pi) + np.linspace(0, random.uniform(-_BEND_RAD, _BEND_RAD), _STEPS)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * longer * random.uniform(*_LENGTH) / _STEPS
    path = np.cumsum(steps, axis=0)
    path += random.uniform((0, 0), (width, height)) - path[_STEPS // 2]
    mask = np.zeros((height, width), np.uint8)
    thickness = max(round(longer * random.uniform(*_WIDTH)), 1)
    cv2.polylines(mask, [np.round(path).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    contrast = random.choice((-1.0, 1.0)) * random.uniform(*_CONTRAST)
    line = np.clip(image + np.float32(contrast), 0, 255)
    return line.astype(np.uint8), (mask / np.float32(255)).astype(np.float32)


# As parts of the shorter side.
_RADIUS = (0.04, 0.2)
_ROUNDNESS = (0.5, 1.0)


def stain(image: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A darker or brighter spot with a soft edge: what to blend over the image, uint8 of its shape, and how much of it,
    float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``; not changed.
    """
    height, width = image.shape[:2]
    across = min(height, width) * random.uniform(*_RADIUS)
    down = across * random.uniform(*_ROUNDNESS)
    turn = random.uniform(0, np.pi)
    x = np.arange(width, dtype=np.float32)[None, :] + 0.5 - random.uniform(0, width)
    y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - random.uniform(0, height)
    along, beside = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance = np.hypot(along / max(across, 1.0), beside / max(down, 1.0))
    share = np.clip(2 - 2 * distance, 0, 1)
    shift = random.choice((-1.0, 1.0)) * random.uniform(*_CONTRAST, image.shape[2:])
    return np.clip(image + shift, 0, 255).astype(np.uint8), share.astype(np.float32)


# Cells of the noise along the longer side: large blotches to small ones.
_CELLS = (2, 4, 8, 16)
# The part of the image that is covered.
_COVER = (0.005, 0.08)
# The paper takes its textures from a data set of them; here it is a normal image made strange.
_GAIN = (0.5, 1.6)
_SHIFT = (-60.0, 60.0)


def perlin_noise(height: int, width: int, cells: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Gradient noise (Perlin, SIGGRAPH 1985), float32 ``(height, width)``, about -1 to 1, of square cells.

    Args:
        cells: how many lie along the longer side.
    """
    pitch = max(height, width) / cells
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / pitch
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / pitch
    angles = random.uniform(0, 2 * np.pi, (cells + 1, cells + 1)).astype(np.float32)
    down, right = y.astype(int), x.astype(int)
    y, x = y - down, x - right

    def corner(i: int, j: int) -> NDArray[np.float32]:
        angle = angles[down + i, right + j]
        towards: NDArray[np.float32] = np.cos(angle) * (x - j) + np.sin(angle) * (y - i)
        return towards

    fade_y, fade_x = (t * t * t * (t * (t * 6 - 15) + 10) for t in (y, x))
    top = corner(0, 0) * (1 - fade_x) + corner(0, 1) * fade_x
    bottom = corner(1, 0) * (1 - fade_x) + corner(1, 1) * fade_x
    noise: NDArray[np.float32] = np.sqrt(np.float32(2)) * (top * (1 - fade_y) + bottom * fade_y)
    return noise.astype(np.float32, copy=False)


def texture(
    image: NDArray[np.uint8], donor: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``; not changed.
        donor: uint8 with as many channels, of any size: where the texture is taken from.
    """
    height, width = image.shape[:2]
    noise = perlin_noise(height, width, int(random.choice(_CELLS)), random)
    cover = random.uniform(*_COVER)
    # Half of the largest value at least: of a flat noise a quantile would take everything.
    level = np.quantile(noise, 1 - cover)
    ramp = np.clip((noise - level) / max(float(noise.max() - level), 1e-6) * 4, 0, 1)
    strange = np.roll(donor, int(random.integers(1, max(donor.shape[1], 2))), axis=1)[::-1].astype(np.float32)
    strange = cv2.resize(strange, (width, height), interpolation=cv2.INTER_AREA).reshape(image.shape)
    channels = image.shape[2:]
    strange = strange * random.uniform(*_GAIN, channels) + random.uniform(*_SHIFT, channels)
    return np.clip(strange, 0, 255).astype(np.uint8), ramp.astype(np.float32)


# More defects would say little more, and every variant scores all of them.
DEFECTS_MOST: Final = 60
"""So many are drawn at most."""


@dataclass(frozen=True)
class Sample:
    """What is drawn: the normal image, the image that a texture is taken from, the kind of defect, and a seed."""

    path: Path
    donor: Path
    kind: Kind
    seed: int


@dataclass(frozen=True)
class DefectSet:
    """Normal images with one synthetic defect each. ``preprocessor``: says which pixels the model sees. ``kinds``: take
    turns."""

    samples: tuple[Sample, ...]
    preprocessor: Preprocessor
    kinds: tuple[Kind, ...] = KINDS

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The images, the same ones every time. Raises :class:`FrameError` that names the one underneath."""
        return (self.draw(sample).image for sample in self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def draw(self, sample: Sample) -> Defect:
        """Draws one of the samples."""
        image, donor = read_image(sample.path), read_image(sample.donor)
        if donor.ndim != image.ndim:
            donor = image
        seen = self._seen(image)
        return draw_defect(sample.kind, image, donor, seen, np.random.default_rng(sample.seed))

    def _seen(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool ``(H, W)``: the pixels that reach the model and are not ignored."""
        layout = self.preprocessor.layout(image)
        cells = np.zeros((layout.y.map_length, layout.x.map_length), np.float32)
        seen = np.isfinite(map_in_camera_pixels(cells, layout))
        ignored = self.preprocessor.ignore_mask
        return seen if ignored is None else seen & (ignored <= 127)


def defects_for(
    paths: Sequence[Path], preprocessor: Preprocessor, seed: int = 0, kinds: tuple[Kind, ...] = KINDS
) -> DefectSet:
    """One defect for each of at most 60 of the images, which are evenly spaced. The kinds take turns."""
    chosen = [paths[i] for i in evenly_spaced(len(paths), DEFECTS_MOST)]
    count = len(chosen)
    seeds = np.random.SeedSequence(seed).generate_state(count)
    samples = (
        Sample(path, chosen[(i + count // 2) % count], kinds[i % len(kinds)], int(seeds[i]))
        for i, path in enumerate(chosen)
    )
    return DefectSet(tuple(samples), preprocessor, kinds)
