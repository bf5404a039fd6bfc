"""Cameras and network streams: always the newest frame; a stream that goes silent has failed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_ad.errors import SourceError
from edge_ad.sources.decoder import DecodedImage, Decoder, StreamAddress
from edge_ad.sources.frame import Frame, FrameSource
from edge_ad.sources.video import VideoSource, decoded_frame, failed_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LiveSource", "open_camera", "open_url", "without_password"]

_SILENCE_S = 15.0


def open_camera(spec: str | Path) -> LiveSource:
    """The camera of an index, ``0`` for ``/dev/video0``. Raises ``SourceError`` when there is no such camera."""
    stream = StreamAddress(str(spec), f"camera {spec}", is_camera=True)
    return LiveSource(stream, Decoder(stream))


def open_url(spec: str | Path) -> FrameSource:
    """A stream from the network. One that states how many frames it has is a recording, else it is live.

    Raises:
        SourceError: it cannot be reached or is no video.
    """
    stream = StreamAddress(str(spec), without_password(str(spec)))
    decoder = Decoder(stream)
    if decoder.frame_count is not None:
        return VideoSource(stream, decoder)
    return LiveSource(stream, decoder)


@dataclass(frozen=True, slots=True)
class _Arrival:
    index: int
    picture: DecodedImage


class LiveSource(FrameSource):
    """The newest frame of a camera or a network stream each time one is asked for. Can be iterated once.

    Frames that came in between are dropped and counted. A live stream does not end by itself: when it ends,
    or gives no frame for 15 s, it has failed.
    """

    def __init__(self, stream: StreamAddress, decoder: Decoder, *, silence_s: float = _SILENCE_S) -> None:
        self._label = stream.label
        self._decoder = decoder
        self._silence_s = silence_s
        self._news = threading.Condition()
        self._newest: _Arrival | None = None
        self._failure: SourceError | None = None
        self.length: int | None = None
        self.fps = decoder.fps
        self.dropped = 0
        self._reader = threading.Thread(target=self._read, name=f"edge-ad reads {self._label}", daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        try:
            while True:
                arrival = self._take()
                index = arrival.index
                yield decoded_frame(self._label, index, arrival.picture)
                index += 1
        except SourceError as error:
            yield failed_frame(self._label, index, error)
            raise

    def close(self) -> None:
        """End the decoding process and the thread that reads from it."""
        self._decoder.close()
        self._reader.join()

    def _take(self) -> _Arrival:
        """Wait for the newest frame that was not given yet."""
        with self._news:
            self._news.wait_for(lambda: self._newest or self._failure, self._silence_s)
            arrival, self._newest = self._newest, None
        if arrival is not None:
            return arrival
        raise self._failure or SourceError(f"{self._label}: no frame for {self._silence_s:g} s: check the camera")

    def _read(self) -> None:
        index = 0
        try:
            while (picture := self._decoder.read()) is not None:
                self._put(_Arrival(index, picture))
                index += 1
            failure = SourceError(f"{self._label}: the live stream ended after {index} frames: check the camera")
        except SourceError as error:
            failure = error
        except ValueError:  # closed by its owner in the middle of a read
            return
        with self._news:
            self._failure = failure
            self._news.notify()

    def _put(self, arrival: _Arrival) -> None:
        with self._news:
            self.dropped += self._newest is not None
            self._newest = arrival
            self._news.notify()


def without_password(url: str) -> str:
    """The URL as it may stand in logs and results."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{host}").geturl() if user else url
