"""A recording: every frame in order, however long the consumer takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import FrameError, InputError, SourceError
from edge_ad.sources.decoder import DecodedImage, Decoder, StreamAddress
from edge_ad.sources.edit_list import shown_share
from edge_ad.sources.frame import Frame, FrameSource
from edge_ad.sources.frame_name import FrameName
from edge_ad.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VideoSource", "decoded_frame", "failed_frame", "open_video"]


def open_video(spec: str | Path) -> VideoSource:
    """A video file.

    Raises:
        InputError: there is no such file, or it may not be read.
        SourceError: it is no video, or damaged.
    """
    path = Path(spec)
    try:
        path.open("rb").close()  # FFmpeg would not say why it cannot
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from error
    # An absolute name, so that FFmpeg cannot take a colon or a dash in it for something else.
    stream = StreamAddress(str(path.absolute()), str(spec))
    return VideoSource(stream, Decoder(stream, shown_share=shown_share(path)))


class VideoSource(FrameSource):
    """The frames of a recording. Can be iterated once."""

    def __init__(self, stream: StreamAddress, decoder: Decoder | None = None) -> None:
        self._label = stream.label
        self._decoder = decoder or Decoder(stream)
        self.length = self._decoder.frame_count
        self.fps = self._decoder.fps
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        try:
            while (picture := self._decoder.read()) is not None:
                yield decoded_frame(self._label, index, picture)
                index += 1
        except SourceError as error:
            yield failed_frame(self._label, index, error)
            raise

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()


def decoded_frame(label: str, index: int, picture: DecodedImage) -> Frame:
    """A frame of a stream; one that is damaged carries the reason in place of a picture."""
    name = str(FrameName(label, index))
    if picture.image is not None:
        return Frame(picture.image, name, index, picture.captured_at)
    error = FrameError(
        Reason.UNREADABLE, f"{name}: damaged, or predicted from a damaged frame: record or transmit it again"
    )
    return Frame(None, name, index, picture.captured_at, error)


def failed_frame(label: str, index: int, error: SourceError) -> Frame:
    """The last frame of a source that failed: it has no picture and carries the error."""
    return Frame(None, str(FrameName(label, index)), index, time.time(), FrameError(Reason.SOURCE_FAILED, str(error)))
