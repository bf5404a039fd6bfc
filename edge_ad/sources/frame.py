"""What a source gives: frames, each a picture, a vector, or the reason why there is neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from edge_ad.errors import FrameError

__all__ = ["Frame", "FrameSource"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or one vector, of a source.

    ``image``: uint8, (H, W, 3) BGR or (H, W) gray, the caller's to keep; ``None`` when ``error`` is set.
    ``features``: in place of a picture, float32 (n,), the caller's to keep.
    ``source``: the file's path, or ``video.avi#12`` for frame 12 of a stream.
    ``index``: 0, 1, ... within the source; of a live source the frames that were dropped are counted too.
    ``captured_at``: seconds since the epoch. For files, the time of reading.
    """

    image: NDArray[np.uint8] | None
    source: str
    index: int
    captured_at: float
    error: FrameError | None = None
    features: NDArray[np.float32] | None = None

    @property
    def sample(self) -> NDArray[Any] | None:
        """The picture or the vector, ``None`` without either."""
        return self.image if self.features is None else self.features


class FrameSource(Protocol):
    """An iterable of frames that is closed after use; best used in a ``with`` statement.

    ``length``: how many frames there are, ``None`` where it is unknown. A video's is what its container
    states, which may be off by a few.
    ``fps``: frames per second as a video's container or a camera states it, else ``None``.
    ``dropped``: frames of a live source that were replaced by newer ones before anybody asked for them.

    Iterating raises ``SourceError`` when the source fails for good, right after a last frame whose
    ``error`` says the same: what drives a reject output sees the failure even if it ignores exceptions.
    """

    length: int | None
    fps: float | None
    dropped: int

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Closes files, cameras and processes. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
