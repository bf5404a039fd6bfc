"""Parts that were taught without a station: frames through the writer of a scorer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.teaching import CalibrateOrder, TeachingFolder, TeachingSettings, TeachingWriter
from edge_ad.verdict import Reason, State, Verdict
from support import tiny
from support.videos import wait_for

__all__ = ["INSPECTION", "RECIPE", "begin", "order_of", "taught_verdict", "teach", "teach_parts"]

INSPECTION, RECIPE = "top", "a"
_times = itertools.count(1)


def taught_verdict(
    state: State = State.INVALID, reason: Reason | None = Reason.UNCALIBRATED, since: float = 1e9
) -> Verdict:
    """A verdict on a frame of its own, taken after ``since``."""
    number = next(_times)
    return Verdict(
        state=state, reason=reason, frame_id=number, captured_at=since + number, bundle="tiny@1", variant="onnx-fp32"
    )


def begin(folder: Path, wanted: int, alpha: float = 0.1, confidence: float = 0.9) -> TeachingFolder:
    """Says that so many parts are to be counted."""
    import msgspec

    taught = TeachingFolder(folder, INSPECTION, RECIPE)
    taught.change(
        taught.session().version,
        "anna",
        lambda one: msgspec.structs.replace(
            one, wanted=wanted, since=1.0, collecting=True, alpha=alpha, confidence=confidence
        ),
    )
    return taught


def teach(
    folder: Path, pictures: Iterable[tuple[str, NDArray[np.uint8]]], frames_each: int = 1, since: float = 1e9
) -> TeachingWriter:
    """Hands pictures of parts to a writer; all of them are on the disk when this returns."""
    writer = TeachingWriter(TeachingSettings(folder=str(folder)), INSPECTION, RECIPE, frames_each)
    for part, picture in pictures:
        assert wait_for(lambda: not writer.is_behind, 60)
        writer.observe(taught_verdict(since=since), part, picture)
    writer.close()
    return writer


def teach_parts(folder: Path, count: int, seed: int = 3) -> TeachingFolder:
    """So many good parts, taught."""
    taught = begin(folder, count)
    teach(folder, ((f"P-{number}", one) for number, one in enumerate(tiny.frames(count, seed=seed))))
    return taught


def order_of(bundle: Path, folder: Path) -> CalibrateOrder:
    """Calibrate with what was taught."""
    return CalibrateOrder(
        bundle=str(bundle), variant=None, calibration=None, device="CPU", threads=1, folder=str(folder),
        inspection=INSPECTION, recipe=RECIPE,
    )  # fmt: skip
