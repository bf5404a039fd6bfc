"""What the heads of embedding models share: a stack of features, what was learnt of it, and an anomaly map."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import InputError
from edge_ad_export.heads.features import FeatureStack
from edge_ad_export.heads.maps import MapPostprocessor
from edge_ad_export.model.head import Array, HeadOutputs, HeadResult

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["FIT_SEED", "EmbeddingFit", "EmbeddingHead", "FitOptions", "read_arrays", "read_rows"]

FIT_SEED = 0
"""Of every random choice of a fit: the same images give the same head every time."""


@dataclass(frozen=True, eq=False)
class EmbeddingHead:
    """The base of the heads. Features without places give a score and no map; others give a map as well."""

    features: FeatureStack
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.features.names

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score",) if self.features.is_vector else ("score", "map")

    def finish(self, graph: GraphBuilder, distances: ir.Value, score: ir.Value | None = None) -> HeadOutputs:
        """Map and score of the distance at every place. ``score``: where it is not that of the map."""
        if self.features.is_vector:
            return HeadOutputs(distances if score is None else score, None)
        anomaly_map = graph.reshape(distances, (1, 1, self.features.rows, self.features.columns))
        if score is None:
            return self.postprocessor.build(graph, anomaly_map)
        return HeadOutputs(score, self.postprocessor.smooth(graph, anomaly_map))

    def finish_reference(self, distances: Array, score: float | None = None) -> HeadResult:
        """The same in NumPy. ``distances``: float64 of any shape, the places in raster order."""
        anomaly_map = distances.reshape(self.features.rows, self.features.columns)
        if self.features.is_vector:
            return HeadResult(float(anomaly_map[0, 0]) if score is None else score, None)
        if score is None:
            return self.postprocessor.reference(anomaly_map)
        return HeadResult(score, self.postprocessor.smooth_reference(anomaly_map))


@dataclass(frozen=True)
class FitOptions:
    """What is kept of the normal images.

    Attributes:
        channels: how many of the stacked features are used, drawn at random as in PaDiM.
        shared: whether all places have one Gaussian.
        bank: how many patches a memory bank keeps, drawn at random.
    """

    channels: int = 100
    shared: bool = False
    bank: int = 4096


@dataclass(frozen=True)
class EmbeddingFit:
    """The base of heads that have yet to be fitted, in closed form: no gradients, the same result every time."""

    features: FeatureStack

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.features.names

    def samples(
        self, images: Iterable[Sequence[NDArray[Any]]], channels: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """The features of all images, float32 ``(images, C, places)``; ``channels``: which of them, or all.

        Raises:
            InputError: a feature is not finite.
        """
        features = self.features
        stacked = (features.reference(values).reshape(features.channels, -1) for values in images)
        samples = np.stack([(one if channels is None else one[channels]).astype(np.float32) for one in stacked])
        if not np.isfinite(samples).all():
            raise InputError(
                f"{' and '.join(features.names)} hold values that are not finite: check scale, mean and colour order"
            )
        return samples


def read_rows(path: Path, key: str, features: FeatureStack, *, several: bool) -> Array:
    """The array ``key`` of an ``.npz`` file, float64 ``(M, C)``: of several vectors, or of one (``M`` is 1).

    Raises:
        InputError: the file is unreadable, the array is missing, or it does not have the features' channels.
    """
    arrays = read_arrays(path)
    if key not in arrays:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}: expected {key}")
    array = arrays[key]
    expected = "[vectors, channels]" if several else "[channels]"
    if array.ndim != (2 if several else 1) or not array.size or array.shape[-1] != features.channels:
        raise InputError(
            f"{key} of {path} has the shape {list(array.shape)}: expected {expected}, the features having "
            f"{features.channels} channels"
        )
    return np.asarray(array, np.float64).reshape(-1, features.channels)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file by name, of any shape, integers or floats.

    Raises:
        InputError: there is no such file, it is unreadable, or it holds something else than finite numbers.
    """
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
            raise InputError(f"{key} of {path} holds values that are not finite numbers: expected an array of numbers")
    return arrays
