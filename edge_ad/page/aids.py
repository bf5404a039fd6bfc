"""Aids for a person who sets up a camera: a reference picture, and how far the newest one is shifted against it."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import Bundle

__all__ = ["Shift", "find_shift", "reference_picture", "shrunk_jpeg"]

_QUALITY = 82
_REFERENCE_PX, _COMPARED_PX = 960, 256
# Of unrelated pictures the peak of the correlation is lower than this.
_LEAST_RESPONSE = 0.05


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a picture lies right of and below the reference, in camera pixels. ``response``: from 0 to 1, how surely.
    ``sharpness``: of the picture over that of the reference, from the same pixels."""

    x: float
    y: float
    response: float
    sharpness: float


def shrunk_jpeg(data: bytes, side_px: int) -> bytes | None:
    """A picture file as a JPEG of at most this side; ``None`` where it is damaged."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else _jpeg(np.asarray(picture, np.uint8), side_px)


def reference_picture(bundle: str, taught: Path | None) -> bytes | None:
    """A taught part or, without one, the first golden frame of the bundle, as a JPEG."""
    if taught is not None:
        return shrunk_jpeg(taught.read_bytes(), _REFERENCE_PX)
    opened = Bundle.open(bundle)
    name = next((one for one in opened.manifest.golden.frames if not one.endswith(".npy")), None)
    return None if name is None else shrunk_jpeg(opened.read(name), _REFERENCE_PX)


def find_shift(reference: bytes, picture: bytes, size: tuple[int, int]) -> Shift | None:
    """By phase correlation (Kuglin and Hines 1975); ``None`` where they show nothing in common.

    ``size``: width and height of the camera's frame. Both pictures show all of one.
    """
    one, other = _gray(reference), _gray(picture)
    if one is None or other is None:
        return None
    window = cv2.createHanningWindow((_COMPARED_PX, _COMPARED_PX), cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(one, other, window)
    if not response >= _LEAST_RESPONSE:
        return None
    width, height = size
    return Shift(
        x=round(x * width / _COMPARED_PX, 1),
        y=round(y * height / _COMPARED_PX, 1),
        response=round(float(response), 3),
        sharpness=round(_sharpness(other) / max(1e-6, _sharpness(one)), 3),
    )


def _gray(data: bytes) -> NDArray[np.float32] | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        return None
    small = cv2.resize(picture, (_COMPARED_PX, _COMPARED_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _sharpness(picture: NDArray[np.float32]) -> float:
    steps = np.diff(picture, axis=1)
    deviation = float(picture.std())
    return float(np.sqrt((steps * steps).mean())) / deviation if deviation else 0.0


def _jpeg(picture: NDArray[np.uint8], side_px: int) -> bytes:
    scale = min(1.0, side_px / max(picture.shape[:2]))
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
