"""Golden frames: the proof that this device scores as the workstation did."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import Bundle, Variant
from edge_ad.errors import BundleFormatError, FrameError, GoldenError
from edge_ad.scoring.scorer import Scorer

__all__ = ["MAP_CORRELATION_MIN", "Expectation", "Replay", "golden_frames", "replay"]

MAP_CORRELATION_MIN = 0.99
"""A replayed map must correlate at least so well with the stored one."""


@dataclass(frozen=True)
class Expectation:
    """``scores`` float32 ``(k,)``; ``maps`` float32 ``(k, h', w')`` or ``None``."""

    scores: NDArray[np.float32]
    maps: NDArray[np.float32] | None

    def dump(self) -> bytes:
        """As a compressed ``.npz``."""
        buffer = io.BytesIO()
        arrays = {"scores": self.scores} | ({} if self.maps is None else {"maps": self.maps})
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, bundle: Bundle, variant: Variant) -> Expectation:
        """The variant's expectation. Raises :class:`BundleFormatError` when it does not fit the golden frames."""
        name = bundle.manifest.golden.expected[variant.id]
        try:
            with np.load(io.BytesIO(bundle.read(name)), allow_pickle=False) as arrays:
                loaded = cls(arrays["scores"], arrays.get("maps"))
        except (ValueError, KeyError, OSError) as error:
            raise BundleFormatError(f"{name} of {bundle.path} is no file of golden scores: {error}") from None
        count, rest = divmod(len(bundle.manifest.golden.frames), _case_length(bundle))
        maps = None if loaded.maps is None else loaded.maps.shape
        size = variant.map
        fits = not rest and loaded.scores.shape == (count,) and (maps is None) == (size is None)
        if not fits or (maps is not None and len(maps) != 3):
            raise BundleFormatError(f"{name} of {bundle.path} does not fit its {count} golden frames")
        return loaded


@dataclass(frozen=True)
class Replay:
    """How one golden frame scored here. ``map_correlation`` is ``None`` without a map."""

    frame: str
    expected: float
    found: float
    tolerance: float
    map_correlation: float | None

    @property
    def problem(self) -> str | None:
        """What is wrong, ``None`` when nothing is."""
        if not abs(self.found - self.expected) <= self.tolerance:
            return f"score {self.found:.6g}, expected {self.expected:.6g} ± {self.tolerance:.2g}"
        if self.map_correlation is not None and not self.map_correlation >= MAP_CORRELATION_MIN:
            return f"map correlates {self.map_correlation:.4f} with the stored one, expected {MAP_CORRELATION_MIN}"
        return None


def golden_cases(bundle: Bundle) -> Iterator[tuple[NDArray[np.uint8], ...]]:
    """The golden frames that are scored together: one by one, or a clip's."""
    frames = golden_frames(bundle)
    while case := tuple(itertools.islice(frames, _case_length(bundle))):
        yield case


def golden_frames(bundle: Bundle) -> Iterator[NDArray[np.uint8]]:
    """The bundle's golden frames, as the camera gave them: uint8 ``(H, W)`` or ``(H, W, 3)`` BGR.

    Of a bundle that takes vectors from the caller: float32 ``(n,)``.
    """
    for name in bundle.manifest.golden.frames:
        if name.endswith(".npy"):
            yield np.load(io.BytesIO(bundle.read(name)), allow_pickle=False)
            continue
        image = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise BundleFormatError(f"{name} of {bundle.path} is no image")
        yield image.astype(np.uint8, copy=False)


def _case_length(bundle: Bundle) -> int:
    clip = bundle.manifest.clip
    return 1 if clip is None else clip.golden_frames


def replay(bundle: Bundle, variant: Variant, scorer: Scorer) -> tuple[Replay, ...]:
    """Scores every golden frame and compares it with the stored score and map.

    Raises:
        GoldenError: this device gives other scores or maps; the message says which and how far off.
    """
    stored = Expectation.load(bundle, variant)
    done = []
    length = _case_length(bundle)
    for index, case in enumerate(golden_cases(bundle)):
        name = bundle.manifest.golden.frames[(index + 1) * length - 1]
        try:
            found = scorer.measure_case(case)
        except FrameError as error:
            raise GoldenError(
                f"golden frame {name} cannot be scored by {variant.id} on this device: {error}"
            ) from error
        expected_map = None if stored.maps is None else stored.maps[index]
        correlation = None if expected_map is None or found.map is None else correlate(found.map, expected_map)
        done.append(Replay(name, float(stored.scores[index]), found.score, variant.golden_tolerance, correlation))
    problems = [f"{r.frame}: {r.problem}" for r in done if r.problem]
    if problems:
        raise GoldenError(
            f"{variant.id} gives other scores on this device than the bundle promises ({'; '.join(problems)}): "
            "do not use it here; export on this kind of device or choose another --variant"
        )
    return tuple(done)


def correlate(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Pearson correlation of two maps over the cells that are finite in both; 1 when both are constant and equal."""
    if found.shape != expected.shape:
        return -1.0
    both = np.isfinite(found) & np.isfinite(expected)
    a, b = found[both].astype(np.float64), expected[both].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    # Not `a @ b`: for vectors of this length BLAS starts threads, which fight the engine's own for the cores.
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else float(np.array_equal(found[both], expected[both]))
