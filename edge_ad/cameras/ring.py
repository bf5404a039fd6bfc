"""A ring of frames in memory that processes share.

The memory has no name, so that nothing is left behind when a process is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from edge_ad.errors import DeviceError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import FrameInfo

__all__ = ["FrameRing", "RingWriter"]

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class FrameRing:
    """The reader's side: ``slots`` slots of ``slot_bytes`` each, sealed in its size.

    ``fd`` is open for reading only and may be passed on. A slot is leased: it is written again only after it was
    released, so that a view stays as it is until then.
    """

    def __init__(self, fd: int, slots: int, slot_bytes: int) -> None:
        self.fd = fd
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._memory = mmap.mmap(fd, slots * slot_bytes, prot=mmap.PROT_READ)

    @classmethod
    def create(cls, slots: int, slot_bytes: int) -> tuple[FrameRing, int]:
        """A new ring, and a file descriptor that may write to it, which the caller closes.

        Memory is taken page by page when it is first written.
        """
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        writable = os.memfd_create("edge-ad-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(writable, slots * slot_bytes)
            fcntl.fcntl(writable, fcntl.F_ADD_SEALS, _SEALS)
            readable = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
            return cls(readable, slots, slot_bytes), writable
        except BaseException:
            os.close(writable)
            raise

    @classmethod
    def attach(cls, fd: int, slots: int, slot_bytes: int) -> FrameRing:
        """The ring behind a file descriptor that another process has sent; it belongs to the ring from here on.

        Raises:
            DeviceError: it is no sealed memory of this size, so that reading it could kill this process.
        """
        _check(fd, slots * slot_bytes)
        return cls(fd, slots, slot_bytes)

    def view(self, info: FrameInfo) -> NDArray[np.uint8]:
        """The frame's pixels, uint8 (H, W, 3) BGR or (H, W) gray, read-only, not copied.

        Raises:
            InputError: the frame does not lie in this ring.
        """
        import numpy as np

        size = info.height * info.width * info.channels
        if not 0 <= info.slot < self.slots or not 0 < size <= self.slot_bytes:
            raise InputError(
                f"expected a frame in one of {self.slots} slots of {self.slot_bytes} bytes, found slot {info.slot} and "
                f"{info.height} x {info.width} x {info.channels}"
            )
        flat = np.frombuffer(self._memory, np.uint8, size, info.slot * self.slot_bytes)
        shape = (info.height, info.width) if info.channels == 1 else (info.height, info.width, info.channels)
        return flat.reshape(shape)

    def close(self) -> None:
        """Give the memory back. May be called twice; with views still in use, it goes when they go."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(BufferError):  # a view that is in use keeps the memory until it goes
            self._memory.close()

    def __del__(self) -> None:
        if hasattr(self, "_memory"):
            self.close()


class RingWriter:
    """The capture's side: which slots are free, and their memory."""

    def __init__(self, fd: int, slots: int, slot_bytes: int) -> None:
        import numpy as np

        _check(fd, slots * slot_bytes)
        self.slot_bytes = slot_bytes
        memory = mmap.mmap(fd, slots * slot_bytes)
        self._pixels = np.frombuffer(memory, np.uint8).reshape(slots, slot_bytes)
        self._free = list(range(slots))

    def take(self) -> int | None:
        """A free slot, which is not free any more; ``None``: there is none."""
        return self._free.pop(0) if self._free else None

    def slot(self, index: int) -> NDArray[np.uint8]:
        """The memory of a slot, uint8 (slot_bytes,), writable."""
        slot: NDArray[np.uint8] = self._pixels[index]
        return slot

    def release(self, index: int) -> None:
        """The slot may be written again. One that is free already, or is none of this ring, is passed over."""
        if 0 <= index < len(self._pixels) and index not in self._free:
            self._free.append(index)


def _check(fd: int, size: int) -> None:
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise DeviceError(
            f"expected shared memory of {size} bytes, found another kind of file: {error.strerror}"
        ) from None
    found = os.fstat(fd).st_size
    if seals & _SEALS != _SEALS or found != size:
        raise DeviceError(f"expected sealed shared memory of {size} bytes, found {found} bytes with seals {seals:#x}")
