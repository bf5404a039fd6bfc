"""What an embedding model has learnt: arrays from an ``.npz`` file, checked against the features."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.errors import InputError
from edge_ad_export.model.head import Array

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad_export.heads.features import FeatureStack

__all__ = ["Gaussians", "read_bank", "read_centre", "read_gaussians"]


@dataclass(frozen=True, eq=False)
class Gaussians:
    """One for every place, or one for all.

    ``mean``: float64 ``(n, C)``, ``precision`` (the inverse covariance) ``(n, C, C)``, with ``n`` 1 or the number of
    places in raster order. ``channels``: which of the stacked features they describe, ``None`` for all.
    """

    mean: Array
    precision: Array
    channels: NDArray[np.int64] | None


def read_gaussians(path: Path, features: FeatureStack) -> Gaussians:
    """From ``mean`` ``[C]``, ``[C, N]`` or ``[C, h, w]`` and ``covariance`` or ``inverse_covariance`` ``[C, C]`` or
    ``[N, C, C]``; ``channels`` ``[C]``, where a part of the features was chosen, as PaDiM does.

    Raises:
        InputError: the file is unreadable, an array is missing, of another shape than the features or no covariance.
    """
    arrays = _read(path)
    kind = next((key for key in ("inverse_covariance", "covariance") if key in arrays), None)
    if kind is None or "mean" not in arrays:
        raise InputError(
            f"{path} holds {', '.join(arrays) or 'nothing'}: expected mean and covariance or inverse_covariance"
        )
    channels = _channels(path, arrays, features)
    count = features.channels if channels is None else len(channels)
    mean, matrices = arrays["mean"], np.asarray(arrays[kind], np.float64)
    places = features.rows * features.columns
    if mean.size not in (count, count * places) or len(mean) != count:
        raise InputError(
            f"mean of {path} has the shape {list(mean.shape)}: the features have {count} channels at {places} places, "
            f"expected [{count}], [{count}, {places}] or [{count}, {features.rows}, {features.columns}]"
        )
    if matrices.shape not in ((count, count), (places, count, count)):
        raise InputError(
            f"{kind} of {path} has the shape {list(matrices.shape)}: expected [{count}, {count}] or "
            f"[{places}, {count}, {count}]"
        )
    matrices = matrices.reshape(-1, count, count)
    return Gaussians(
        mean=np.asarray(mean, np.float64).reshape(count, -1).T,
        precision=_checked(path, kind, matrices),
        channels=channels,
    )


def read_bank(path: Path, features: FeatureStack) -> Array:
    """``bank`` float64 ``(M, C)``. Raises :class:`InputError` as above."""
    return _rows(path, "bank", features)


def read_centre(path: Path, features: FeatureStack) -> Array:
    """``centre`` float64 ``(C,)``. Raises :class:`InputError` as above."""
    return np.asarray(_rows(path, "centre", features)[0])


def _rows(path: Path, key: str, features: FeatureStack) -> Array:
    arrays = _read(path)
    if key not in arrays:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}: expected {key}")
    array = arrays[key]
    expected = "[vectors, channels]" if key == "bank" else "[channels]"
    if array.ndim != (2 if key == "bank" else 1) or not array.size or array.shape[-1] != features.channels:
        raise InputError(
            f"{key} of {path} has the shape {list(array.shape)}: expected {expected}, the features having "
            f"{features.channels} channels"
        )
    return np.asarray(array, np.float64).reshape(-1, features.channels)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise InputError(f"--head-data {path} does not exist: expected an .npz file") from None
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"--head-data {path} is no readable .npz file of plain arrays ({error}): write it with numpy.savez"
        ) from None
    for key, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InputError(f"{key} of {path} holds what is no finite number: expected an array of numbers")
    return arrays


def _channels(path: Path, arrays: dict[str, NDArray[Any]], features: FeatureStack) -> NDArray[np.int64] | None:
    channels = arrays.get("channels")
    if channels is None:
        return None
    if channels.ndim != 1 or channels.dtype.kind not in "iu" or not len(channels):
        raise InputError(f"channels of {path} has the shape {list(channels.shape)}: expected integers, [channels]")
    if channels.min() < 0 or channels.max() >= features.channels:
        raise InputError(
            f"channels of {path} run from {channels.min()} to {channels.max()}: the features have "
            f"{features.channels}, the first is 0"
        )
    return channels.astype(np.int64)


def _checked(path: Path, kind: str, matrices: Array) -> Array:
    """The precision matrices: symmetric and positive definite, or refused."""
    matrices = (matrices + matrices.swapaxes(1, 2)) / 2
    try:
        np.linalg.cholesky(matrices)
        return np.asarray(np.linalg.inv(matrices)) if kind == "covariance" else matrices
    except np.linalg.LinAlgError:
        raise InputError(
            f"{kind} of {path} is not positive definite: add a small multiple of the identity (PaDiM adds 0.01)"
        ) from None
