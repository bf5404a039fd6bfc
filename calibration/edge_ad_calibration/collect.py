"""Scores of held-out normals, through the very artefact and geometry that the device will run."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import list_images, read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad.scoring import Measurement, Scorer

    Track = Callable[[Sequence[Path]], AbstractContextManager[Iterable[Path]]]

__all__ = ["Duplicate", "Normals", "list_normals", "score_normals"]

_MOST_NAMED = 3


class Duplicate(msgspec.Struct, frozen=True):
    """An image whose pixels are exactly those of another one."""

    image: str
    same_as: str


@dataclass(frozen=True, slots=True)
class Normals:
    """What was measured, one entry per different image.

    ``scores``: float64 ``(n,)``, raw, in the order of the images.
    ``peaks``: float64 ``(n,)``, the largest value of each map where it is inspected; ``None`` without a map.
    ``images_sha256``: over the pixels of all images, whatever their names and order.
    """

    scores: NDArray[np.float64]
    peaks: NDArray[np.float64] | None
    duplicates: tuple[Duplicate, ...]
    images_sha256: str


def list_normals(sources: Sequence[str | Path]) -> list[Path]:
    """The image files that the sources name, source by source: image files, folders, globs.

    Videos are not taken: their frames are no independent observations.

    Raises:
        InputError: no source was given, or one of them names no image.
    """
    if not sources:
        raise InputError("no images were given: name a folder of normals, an image or a glob with --normal")
    return [path for source in sources for path in list_images(source)]


def score_normals(paths: Sequence[Path], scorer: Scorer, track: Track = nullcontext) -> Normals:
    """Scores every image once.

    Exact copies are counted once. A copy adds no observation, and counting it would promise more than was
    seen: the guarantee grows with the number of *independent* normals. It is no reason to refuse either, since
    what remains is the set of different images that was meant.

    Every image is looked at before an error is raised: all that is wrong is said at once, and nothing is
    dropped silently, for a calibration without the images that a station cannot score promises too much.

    Raises:
        InputError: images are unreadable or cannot be scored; names the first of them and says how many.
        EngineError: the engine failed.
    """
    seen: dict[bytes, Path] = {}
    scores: list[float] = []
    peaks: list[float] = []
    duplicates: list[Duplicate] = []
    problems: list[str] = []
    with track(paths) as tracked:
        for path in tracked:
            try:
                image = read_image(path)
                digest = _hash_pixels(image)
                if digest in seen:
                    duplicates.append(Duplicate(str(path), str(seen[digest])))
                    continue
                seen[digest] = path
                measured = _measure(path, image, scorer)
            except FrameError as error:
                problems.append(str(error))
                continue
            scores.append(measured.score)
            if measured.map is not None:
                peaks.append(float(measured.map.max()))  # -inf where nothing is inspected
    if problems:
        raise _cannot_score(problems, len(paths))
    return Normals(
        scores=np.array(scores),
        peaks=np.array(peaks) if peaks else None,
        duplicates=tuple(duplicates),
        images_sha256=hashlib.sha256(b"".join(sorted(seen))).hexdigest(),
    )


def _measure(path: Path, image: NDArray[np.uint8], scorer: Scorer) -> Measurement:
    try:
        return scorer.measure(image)
    except FrameError as error:
        raise FrameError(error.reason, f"{path}: {error}") from error


def _hash_pixels(image: NDArray[np.uint8]) -> bytes:
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def _cannot_score(problems: Sequence[str], total: int) -> InputError:
    more = len(problems) - _MOST_NAMED
    named = "; ".join(problems[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
    return InputError(
        f"{len(problems)} of {total} images cannot be scored: {named}. Repair them or take them out: "
        "none is left out unasked"
    )
