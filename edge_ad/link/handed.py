"""Frames in sealed anonymous memory that come and go as file descriptors."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SEALS", "HandedFrame", "OwnedFd", "sealed_memory"]

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Without the first a sender could cut the file, which kills whoever reads it; without the last, change its pixels."""


class OwnedFd:
    """A file descriptor that is closed once, by whoever holds it last."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """May be called more than once."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class HandedFrame:
    """The pixels of one ``frame`` request, checked; whoever receives it closes it.

    ``fd``: sealed memory of exactly ``height * width * channels`` bytes, to be lent to another process as it is.
    """

    def __init__(self, memory: OwnedFd, height: int, width: int, channels: int) -> None:
        """Takes over ``memory``.

        Raises:
            ValueError: the descriptor is no sealed memory of this size. ``memory`` is then still the caller's.
        """
        _check(memory.fd, height * width * channels)
        self._memory = memory
        self.height, self.width, self.channels = height, width, channels

    @property
    def fd(self) -> int:
        """Valid until ``close``."""
        return self._memory.fd

    def view(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR or (H, W) gray, uint8, read-only. It stays valid after ``close``."""
        import numpy as np

        size = self.height * self.width * self.channels
        pixels = np.frombuffer(mmap.mmap(self.fd, size, prot=mmap.PROT_READ), np.uint8)
        shape = (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)
        return pixels.reshape(shape)

    def close(self) -> None:
        """May be called more than once."""
        self._memory.close()


def sealed_memory(pixels: NDArray[np.uint8]) -> OwnedFd:
    """A copy of a frame that can be handed over. ``pixels``: (H, W), (H, W, 1) or (H, W, 3), uint8.

    Raises:
        ValueError: other pixels.
    """
    if (
        pixels.dtype.name != "uint8"
        or pixels.ndim not in (2, 3)
        or (*pixels.shape, 1)[2] not in (1, 3)
        or not pixels.size
    ):
        raise ValueError(f"expected pixels uint8 (H, W), (H, W, 1) or (H, W, 3), found {pixels.dtype} {pixels.shape}")
    memory = OwnedFd(os.memfd_create("edge-ad-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    try:
        left = memoryview(pixels.tobytes() if not pixels.flags.c_contiguous else pixels.data).cast("B")
        while left:
            left = left[os.write(memory.fd, left) :]
        fcntl.fcntl(memory.fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        memory.close()
        raise
    return memory


def _check(fd: int, size: int) -> None:
    # Seals first: only memory has them, so nothing below can ask a file system that hangs.
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        raise ValueError("expected a memfd, found another kind of file: make one with memfd_create") from None
    if seals & SEALS != SEALS:
        raise ValueError("the memfd is not sealed: add F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE before sending it")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise ValueError("the memfd's descriptor cannot be read: send the one that memfd_create returned")
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        raise ValueError(f"expected a memfd of {size} bytes (height * width * channels), found {status.st_size}")
