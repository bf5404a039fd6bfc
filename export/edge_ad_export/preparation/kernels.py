"""What the resampling kernel does to the scores, against the one that the model was trained through."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edge_ad_metrics.rank_correlation import spearman
from edge_ad_metrics.sampling import evenly_spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Resize
    from edge_ad_export.model.input_spec import Kernel
    from edge_ad_export.preparation.prepare import Setup

__all__ = ["cost_of_kernel"]

# Most tools for training resize through Pillow or torchvision.
_USUAL: Final[Kernel] = "antialiased-linear"
_IMAGES = 8
# Of the spread of the scores: less is no reason to choose another kernel.
_MATTERS = 0.05


def cost_of_kernel(setup: Setup, asked: Kernel | None) -> str | None:
    """One line if the scores of some images depend on the kernel; ``None`` if they hardly do.

    The bundle's kernel is compared with the one of the training where the model's file names it, else with the usual
    one. Nothing is said of a kernel that was ``asked`` for where the file names none.
    """
    trained, resize = setup.imported.kernel, setup.geometry.resize
    if resize is None or setup.clip is not None or (trained is None and asked is not None):
        return None
    other = trained or _USUAL
    if other == resize.kernel:
        return None
    found, expected = _scores(setup, resize), _scores(setup, msgspec.structs.replace(resize, kernel=other))
    off = float(np.abs(found - expected).max()) / max(float(np.ptp(expected)), float(np.finfo(np.float32).tiny))
    if off < _MATTERS:
        return None
    of_whom = "with which the model was trained" if trained else "as Pillow and torchvision resize"
    return (
        f"frames are resized with {resize.kernel}; with {other}, {of_whom}, the scores of {len(found)} images differ "
        f"by up to {off:.0%} of their spread, rank correlation {spearman(found, expected):.4f}: "
        f"{'leave out --kernel' if trained else 'say with --kernel which one the training used'}"
    )


def _scores(setup: Setup, resize: Resize) -> NDArray[np.float64]:
    """What the imported model says of some images, float64 ``(n,)``."""
    geometry = msgspec.structs.replace(setup.geometry, resize=resize)
    images = setup.images.chosen(evenly_spaced(len(setup.images), _IMAGES))
    with closing(replace(setup, geometry=geometry).reference()) as scorer:
        return np.array([scorer.measure(image).score for image in images], np.float64)
