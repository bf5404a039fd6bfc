"""The head of a Gaussian embedding model: the Mahalanobis distance of every place (PaDiM, Defard et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad.errors import InputError
from edge_ad_export.heads.embedding import FIT_SEED, EmbeddingFit, EmbeddingHead, FitOptions, read_arrays
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.features import FeatureStack
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.model.head import Head

__all__ = ["GaussianFit", "GaussianHead", "Gaussians", "read_gaussians"]

# The blur of PaDiM and its followers, in pixels of the model's input.
_BLUR_PX = 4.0
# PaDiM's own: what keeps a covariance of few images from being singular.
_REGULARISATION = 0.01


@dataclass(frozen=True, eq=False)
class Gaussians:
    """One Gaussian for every place, or one for all.

    Attributes:
        mean: float64 ``(n, C)``, with ``n`` 1 or the number of places in raster order.
        precision: the inverse covariance, float64 ``(n, C, C)``.
        channels: which of the stacked features they describe, int64 ``(C,)``; ``None`` for all.
    """

    mean: Array
    precision: Array
    channels: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class GaussianHead(EmbeddingHead):
    """``sqrt((x - mean)' precision (x - mean))`` at every place.

    The graph takes the whitened form ``|L' (x - mean)|`` with ``L L' = precision``: half the work of the quadratic
    form, and never the root of a negative number.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | (
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "map_score", "fit", "fit_channels"}
        | {"fit_shared"}
    )

    data: Gaussians

    @classmethod
    def make(cls, request: HeadRequest) -> GaussianHead | GaussianFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("nearest")
        blur_px = 0.0 if features.is_vector else _BLUR_PX
        postprocessor = request.postprocessor(features.rows, features.columns, blur_px=blur_px)
        path = request.head_data()
        if path is not None:
            return cls(features, postprocessor, read_gaussians(path, features))
        options = request.fit_options()
        return request.fitting(GaussianFit(features, lambda data: cls(features, postprocessor, data), options))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        features, data = self.features, self.data
        places, count = features.rows * features.columns, data.mean.shape[1]
        stacked = features.build(graph, given.values)
        if data.channels is not None:
            stacked = graph.op("Gather", stacked, graph.constant("channels", data.channels), axis=1)
        mean = np.broadcast_to(data.mean, (places, count)) if len(data.precision) > 1 else data.mean
        flat = graph.reshape(stacked, (1, count, places))
        deviation = graph.op("Sub", flat, graph.constant("mean", mean.T.astype(np.float32)))
        # Row vectors times matrices: both engines run it twice as fast as matrices times column vectors.
        rows = graph.op("Transpose", deviation, perm=[2, 0, 1])
        factor = np.linalg.cholesky(data.precision).astype(np.float32)
        if len(factor) == 1:
            rows, factor = graph.reshape(rows, (places, count)), factor[0]
        white = graph.op("MatMul", rows, graph.constant("whitening", factor))
        squared = graph.reduce("ReduceSumSquare", white, [factor.ndim - 1])
        return self.finish(graph, graph.op("Sqrt", squared))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        data, stacked = self.data, self.features.reference(given.values)
        if data.channels is not None:
            stacked = stacked[data.channels]
        deviation = stacked.reshape(len(stacked), -1).T - data.mean
        if len(data.precision) == 1:
            squared = np.einsum("nc,cd,nd->n", deviation, data.precision[0], deviation, optimize=True)
        else:
            squared = np.einsum("nc,ncd,nd->n", deviation, data.precision, deviation, optimize=True)
        return self.finish_reference(np.sqrt(squared))


@dataclass(frozen=True)
class GaussianFit(EmbeddingFit):
    """Learns a mean and a covariance at every place, or of all places together."""

    make: Callable[[Gaussians], Head]
    options: FitOptions

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        count = self.features.channels
        channels = np.sort(np.random.default_rng(FIT_SEED).permutation(count)[: self.options.channels])
        samples = self.samples(images, channels)
        if self.options.shared:
            samples = np.moveaxis(samples, 1, 2).reshape(-1, len(channels), 1)
        if len(samples) < 2:
            raise InputError("--fit of a covariance takes two images or more, better 100: found one")
        mean = samples.mean(axis=0).T
        deviation = np.ascontiguousarray(samples.transpose(2, 1, 0)) - mean[:, :, None]
        covariance = deviation @ deviation.transpose(0, 2, 1) / np.float32(len(samples) - 1)
        precision = np.linalg.inv(covariance.astype(np.float64) + _REGULARISATION * np.eye(len(channels)))
        chosen = None if len(channels) == count else channels.astype(np.int64)
        symmetric = (precision + precision.swapaxes(1, 2)) / 2
        return self.make(Gaussians(mean.astype(np.float64), symmetric, chosen))


def read_gaussians(path: Path, features: FeatureStack) -> Gaussians:
    """Reads what was learnt from an ``.npz`` file.

    It holds ``mean`` ``[C]``, ``[C, N]`` or ``[C, h, w]`` and ``covariance`` or ``inverse_covariance`` ``[C, C]`` or
    ``[N, C, C]``, with ``N`` the number of places; and ``channels`` ``[C]`` where a part of the features was chosen,
    as PaDiM does.

    Raises:
        InputError: the file is unreadable, an array is missing, of another shape than the features or no covariance.
    """
    arrays = read_arrays(path)
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
