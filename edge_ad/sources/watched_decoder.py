"""Decodes a picture and listens to what its decoder complains of: OpenCV gives a damaged picture like a whole one.

libjpeg and libtiff go on after an error, fill in what is missing, and print a line on standard error. That line is the
only sign, so it is caught on the file descriptor while pictures are decoded.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded", "decode_watched"]

_COMPLAINT = re.compile(
    r"Corrupt JPEG data: (?!bad ICC).*|Premature end of JPEG.*|Inconsistent progression.*|Invalid SOS.*"
    r"|\[ERROR:.*\bTIFF_Error (?P<tiff>.*)|\[(?:ERROR|[ ]?WARN):.*OpenJPEG2000: (?P<jp2>.*)"
)
_ERRORS = 2  # OpenCV's level of logging at which it prints errors


@dataclass(frozen=True, slots=True)
class Decoded:
    """``pixels``: ``None`` where the decoder gave up. ``complaints``: of a picture that is damaged."""

    pixels: NDArray[np.generic] | None
    complaints: list[str]


def decode_watched(data: bytes) -> Decoded:
    """The picture as it is stored, of any type, and the complaints about it.

    May be called from several threads at once. What else is printed to standard error meanwhile comes out afterwards.

    Raises:
        cv2.error: the decoder refuses the picture.
    """
    with _listener.together() as heard:
        pixels = _decode(data)
    if heard.complaints and heard.had_company:  # then it may be of another thread's picture
        with _listener.alone() as heard:
            pixels = _decode(data)
    return Decoded(pixels, heard.complaints)


def _decode(data: bytes) -> NDArray[np.generic] | None:
    import cv2

    pixels: NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels


@dataclass(slots=True, eq=False)
class _Heard:
    had_company: bool
    start: int
    complaints: list[str] = field(default_factory=list)


class _Listener:
    """Standard error is kept in memory as long as at least one thread listens."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._listening: list[_Heard] = []
        self._alone = 0  # threads that listen alone, or wait for it
        self._file = self._outside = -1
        self._level = _ERRORS

    @contextmanager
    def together(self) -> Iterator[_Heard]:
        """Listens at the same time as others may."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            heard = self._begin()
        try:
            yield heard
        finally:
            with self._changed:
                self._end(heard)

    @contextmanager
    def alone(self) -> Iterator[_Heard]:
        """Listens when nobody else does."""
        with self._changed:
            self._alone += 1
            self._changed.wait_for(lambda: not self._listening)
            heard = self._begin()
        try:
            yield heard
        finally:
            with self._changed:
                self._alone -= 1
                self._end(heard)

    def _begin(self) -> _Heard:
        if not self._listening:
            self._redirect()
        for other in self._listening:
            other.had_company = True
        heard = _Heard(bool(self._listening), os.fstat(self._file).st_size)
        self._listening.append(heard)
        return heard

    def _end(self, heard: _Heard) -> None:
        size = os.fstat(self._file).st_size - heard.start
        text = os.pread(self._file, size, heard.start).decode(errors="replace") if size else ""
        heard.complaints = [_wording(found) for line in text.splitlines() if (found := _COMPLAINT.match(line))]
        self._listening.remove(heard)
        if not self._listening:
            self._restore()
        self._changed.notify_all()

    def _redirect(self) -> None:
        import cv2

        if self._file < 0:
            self._file = os.memfd_create("decoder-complaints")
        try:
            self._outside = os.dup(2)
        except OSError:  # a daemon may have closed it
            self._outside = -1
        os.dup2(self._file, 2)
        self._level = cv2.utils.logging.getLogLevel()
        if self._level < _ERRORS:
            cv2.utils.logging.setLogLevel(_ERRORS)

    def _restore(self) -> None:
        import cv2

        if self._level < _ERRORS:
            cv2.utils.logging.setLogLevel(self._level)
        if self._outside < 0:
            os.close(2)
        else:
            os.dup2(self._outside, 2)
            os.close(self._outside)
        size = os.fstat(self._file).st_size
        if not size:
            return
        lines = os.pread(self._file, size, 0).decode(errors="replace").splitlines(keepends=True)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        rest = "".join(line for line in lines if not _COMPLAINT.match(line))
        if rest and self._outside >= 0:
            os.write(2, rest.encode())


def _wording(found: re.Match[str]) -> str:
    return (found["tiff"] or found["jp2"] or found[0]).strip(" :")


_listener = _Listener()
