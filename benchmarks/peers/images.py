"""Labelled images that no export sees, and normal ones that exports measure with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.families import datasets
from edge_ad_metrics.sampling import evenly_spaced

__all__ = ["Images", "MaskedImage", "cookies", "magnetic_tile"]

T = TypeVar("T")

# Of each kind; more would take longer and say little more.
_MOST = 60


@dataclass(frozen=True)
class MaskedImage:
    """``mask``: of the defect; ``None`` for a normal part."""

    path: Path
    mask: Path | None


@dataclass(frozen=True)
class Images:
    """``given``: the normal images that an export gets. ``labelled``: what is judged with, none of ``given``."""

    given: tuple[Path, ...]
    labelled: tuple[MaskedImage, ...]


def cookies(shared: Path) -> Images:
    """31 images to export with; 14 other normals and 32 defects."""
    data = datasets.cookies(shared)
    return Images(data.train, _labelled(shared / "data/cookies", data.normals, data.defects))


def magnetic_tile(shared: Path) -> Images:
    """Images of other tiles than those of the training, and judged with others again."""
    data = datasets.magnetic_tile(shared)
    return Images(_some(data.held_out), _labelled(shared / "data/magnetic_tile", data.normals, data.defects))


def _labelled(root: Path, normals: tuple[Path, ...], defects: tuple[Path, ...]) -> tuple[MaskedImage, ...]:
    masks = {(mask.parent.name, mask.stem.removesuffix("_mask")): mask for mask in (root / "ground_truth").rglob("*.*")}
    masked = [MaskedImage(path, masks[key]) for path in defects if (key := (path.parent.name, path.stem)) in masks]
    return (*(MaskedImage(path, None) for path in _some(normals)), *_some(masked))


def _some(items: Sequence[T]) -> tuple[T, ...]:
    return tuple(items[index] for index in evenly_spaced(len(items), _MOST))
