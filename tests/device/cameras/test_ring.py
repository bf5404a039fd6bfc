"""The ring of frames: leased slots in sealed memory without a name."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edge_ad.cameras import NO_SLOT, FrameInfo, FrameRing
from edge_ad.cameras.ring import RingWriter
from edge_ad.errors import DeviceError, InputError


def info(slot: int, height: int = 4, width: int = 5, channels: int = 3) -> FrameInfo:
    return FrameInfo(
        slot=slot, height=height, width=width, channels=channels, sequence=0, captured_at=0.0, captured_ns=0
    )


def test_what_is_written_to_a_slot_is_read_from_it() -> None:
    ring, writable = FrameRing.create(3, 100)
    writer = RingWriter(writable, ring.slots, ring.slot_bytes)
    for slot in range(3):
        writer.slot(slot)[:60] = np.arange(60) + slot
    assert ring.slot_bytes == 4096
    assert [ring.view(info(slot))[0, 0, 0] for slot in range(3)] == [0, 1, 2]
    assert ring.view(info(1)).shape == (4, 5, 3)
    assert ring.view(info(2, channels=1)).tolist() == (np.arange(20).reshape(4, 5) + 2).tolist()
    os.close(writable)
    ring.close()


def test_a_reader_cannot_write() -> None:
    ring, writable = FrameRing.create(2, 100)
    with pytest.raises(ValueError, match="read-only"):
        ring.view(info(0))[0] = 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(ring.fd, b"x")
    os.close(writable)
    ring.close()


def test_nobody_can_change_the_size() -> None:
    ring, writable = FrameRing.create(2, 100)
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(writable, size)
    os.close(writable)
    ring.close()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(info(NO_SLOT), id="no-slot"),
        pytest.param(info(2), id="behind-the-last-slot"),
        pytest.param(info(0, height=2000), id="larger-than-a-slot"),
        pytest.param(info(0, height=0), id="no-pixels"),
    ],
)
def test_a_frame_that_does_not_lie_in_the_ring_is_refused(wrong: FrameInfo) -> None:
    ring, writable = FrameRing.create(2, 100)
    with pytest.raises(InputError, match="2 slots of 4096 bytes"):
        ring.view(wrong)
    os.close(writable)
    ring.close()


def test_a_slot_is_taken_again_only_after_it_was_released() -> None:
    ring, writable = FrameRing.create(2, 100)
    writer = RingWriter(writable, ring.slots, ring.slot_bytes)
    assert [writer.take(), writer.take(), writer.take()] == [0, 1, None]
    writer.release(1)
    writer.release(1)
    writer.release(NO_SLOT)
    writer.release(7)
    assert [writer.take(), writer.take()] == [1, None]
    os.close(writable)
    ring.close()


def test_another_process_attaches_by_file_descriptor_alone() -> None:
    ring, writable = FrameRing.create(2, 100)
    RingWriter(writable, ring.slots, ring.slot_bytes).slot(1)[:60] = 9
    other = FrameRing.attach(os.dup(ring.fd), ring.slots, ring.slot_bytes)
    os.close(writable)
    ring.close()
    assert other.view(info(1)).mean() == 9
    other.close()


def test_memory_that_is_not_sealed_or_of_another_size_is_refused() -> None:
    ring, writable = FrameRing.create(2, 100)
    unsealed = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, 8192)
    with pytest.raises(DeviceError, match="expected sealed shared memory of 8192 bytes"):
        FrameRing.attach(unsealed, 2, 4096)
    with pytest.raises(DeviceError, match="of 12288 bytes, found 8192"):
        FrameRing.attach(ring.fd, 3, 4096)
    reading, writing = os.pipe()
    with pytest.raises(DeviceError, match="another kind of file"):
        FrameRing.attach(reading, 2, 4096)
    for one in (unsealed, reading, writing, writable):
        os.close(one)
    ring.close()


def test_a_view_outlives_its_ring() -> None:
    ring, writable = FrameRing.create(2, 100)
    RingWriter(writable, ring.slots, ring.slot_bytes).slot(0)[:60] = 7
    view = ring.view(info(0))
    ring.close()
    ring.close()
    os.close(writable)
    assert view.mean() == 7
