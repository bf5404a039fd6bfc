"""Frames handed in as file descriptors: only sealed memory of the right size is taken, and every file is closed."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.link_ends import HELLO, open_files, pump, raw_client, read_line

from edge_ad.link import FrameRequest, LinkLimits, LinkServer
from edge_ad.link.handed import SEALS, OwnedFd, sealed_memory
from edge_ad.link.lines import encode_line

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)
LINE = encode_line(FrameRequest(id="f", height=2, width=3, channels=1))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LinkServer]:
    serving = LinkServer(tmp_path / "s.sock", station="s", limits=LinkLimits(frame_bytes=1000))
    yield serving
    serving.close()


@pytest.fixture
def client(server: LinkServer, tmp_path: Path) -> Iterator[socket.socket]:
    with raw_client(tmp_path / "s.sock", hello=False) as connection:
        connection.sendall(HELLO)
        pump(server)
        read_line(connection)
        yield connection


def memory(seals: int = SEALS, size: int = 6) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, bytes(range(size)))
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def test_a_sealed_frame_is_taken_and_read_in_place(server: LinkServer, client: socket.socket) -> None:
    before = open_files()
    with_memory = sealed_memory(PIXELS)
    socket.send_fds(client, [LINE], [with_memory.fd])
    with_memory.close()
    (asked,) = pump(server)
    assert asked.frame is not None
    assert os.get_inheritable(asked.frame.fd) is False
    pixels = asked.frame.view()
    asked.frame.close()
    asked.frame.close()
    np.testing.assert_array_equal(pixels, PIXELS)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1
    del pixels
    assert open_files() == before


def write_only() -> int:
    fd = memory()
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    finally:
        os.close(fd)


def regular_file() -> int:
    return os.open(__file__, os.O_RDONLY)


def pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def directory() -> int:
    return os.open("/", os.O_RDONLY)


def device() -> int:
    return os.open("/dev/zero", os.O_RDONLY)


def path_only() -> int:
    return os.open("/", os.O_PATH)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: memory(0), "not sealed", id="unsealed"),
        pytest.param(lambda: memory(fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW), "not sealed", id="can-be-written"),
        pytest.param(lambda: memory(fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE), "not sealed", id="can-shrink"),
        pytest.param(
            lambda: memory(size=5), "expected a memfd of 6 bytes (height * width * channels), found 5", id="small"
        ),
        pytest.param(lambda: memory(size=7), "found 7", id="large"),
        pytest.param(lambda: memory(size=0), "found 0", id="empty"),
        pytest.param(write_only, "cannot be read", id="write-only"),
        pytest.param(regular_file, "expected a memfd", id="file"),
        pytest.param(pipe, "expected a memfd", id="pipe"),
        pytest.param(directory, "expected a memfd", id="folder"),
        pytest.param(device, "expected a memfd", id="device"),
        pytest.param(path_only, "expected a memfd", id="path-only"),
        pytest.param(lambda: socket.socket(socket.AF_UNIX).detach(), "expected a memfd", id="socket"),
    ],
)
def test_anything_else_is_refused_closed_and_the_client_may_go_on(
    server: LinkServer, client: socket.socket, make: Callable[[], int], said: str
) -> None:
    before = open_files()
    fd = make()
    socket.send_fds(client, [LINE], [fd])
    os.close(fd)
    assert pump(server) == []
    answer = read_line(client).decode()
    assert '"type":"refused","id":"f","reason":"bad_frame"' in answer
    assert said in answer
    assert open_files() == before
    good = memory()
    socket.send_fds(client, [LINE], [good])
    os.close(good)
    (asked,) = pump(server)
    assert asked.frame is not None
    asked.frame.close()


def test_a_frame_larger_than_the_limit_is_refused(server: LinkServer, client: socket.socket) -> None:
    fd = memory()
    socket.send_fds(client, [encode_line(FrameRequest(id="f", height=40, width=30, channels=1))], [fd])
    os.close(fd)
    assert pump(server) == []
    assert b"a frame of 1200 bytes is larger than the 1000 taken here" in read_line(client)


@pytest.mark.parametrize("count", [0, 2, 3, 4, 5, 50, 253], ids=str)
def test_none_or_several_descriptors_end_the_connection_and_all_are_closed(
    server: LinkServer, client: socket.socket, count: int
) -> None:
    before = open_files()
    fds = [memory() for _ in range(count)]
    socket.send_fds(client, [LINE], fds)
    for fd in fds:
        os.close(fd)
    assert pump(server) == []
    assert b"file descriptors and frame lines do not match" in read_line(client)
    assert read_line(client) == b""
    assert server.clients == {}
    assert open_files() == before - 1  # the server's end of the connection is closed too


def test_a_line_is_matched_with_its_frame_however_the_bytes_arrive(server: LinkServer, client: socket.socket) -> None:
    first, second = memory(), memory()
    client.sendall(b'{"type":"trigger","id":"1"}\n')
    socket.send_fds(client, [LINE[:1]], [first])
    client.sendall(LINE[1:] + b'{"type":"trigger","id":"2"}\n')
    socket.send_fds(client, [LINE.replace(b'"f"', b'"g"') + b'{"type":"trigger","id":"3"}\n'], [second])
    asked = pump(server)
    assert [type(one.request).__name__ for one in asked] == [
        *["TriggerRequest", "FrameRequest"] * 2,
        "TriggerRequest",
    ]
    inodes = [os.fstat(one.frame.fd).st_ino for one in asked if one.frame is not None]
    assert inodes == [os.fstat(first).st_ino, os.fstat(second).st_ino]
    for one in asked:
        if one.frame is not None:
            one.frame.close()
    os.close(first)
    os.close(second)


def test_a_client_that_dies_in_the_middle_of_a_frame_leaves_nothing_open(server: LinkServer, tmp_path: Path) -> None:
    before = open_files()
    for length in range(1, len(LINE) + 1):
        fd = memory()
        with raw_client(tmp_path / "s.sock", hello=False) as connection:
            connection.sendall(HELLO)
            socket.send_fds(connection, [LINE[:length]], [fd])
        os.close(fd)
        for asked in pump(server):
            assert asked.frame is not None
            asked.frame.close()
        assert open_files() == before


def test_pixels_are_sealed_against_the_sender_itself() -> None:
    held = sealed_memory(PIXELS)
    with pytest.raises(PermissionError):
        os.write(held.fd, b"x")
    with pytest.raises(PermissionError):
        os.truncate(held.fd, 1)
    with pytest.raises(PermissionError):
        mmap.mmap(held.fd, 6, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    held.close()


def test_an_owned_descriptor_is_closed_once() -> None:
    fd = memory()
    owned = OwnedFd(fd)
    owned.close()
    again = os.open("/dev/null", os.O_RDONLY)
    assert again == fd
    owned.close()
    os.close(again)
