"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ad.errors import OutputError
from edge_ad.files import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000))
def test_what_is_written_is_read_back(tmp_path: Path, data: bytes) -> None:
    atomic_write(tmp_path / "a.bin", data)
    assert (tmp_path / "a.bin").read_bytes() == data
    assert names(tmp_path) == ["a.bin"]


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic_write(tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("missing/a", "its folder does not exist", id="no-folder"),
        pytest.param("file/a", "a part of its path is a file", id="file-as-folder"),
        pytest.param("folder", "a folder of that name is in the way", id="folder-in-the-way"),
        pytest.param("n" * 300, "File name too long", id="name-too-long"),
    ],
)
def test_the_error_says_which_file_and_why(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    before = names(tmp_path)
    with pytest.raises(OutputError, match=message) as caught:
        atomic_write(tmp_path / name, b"data")
    assert str(tmp_path / name) in str(caught.value)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("number", "message"),
    [
        pytest.param(errno.ENOSPC, "the disk is full", id="full"),
        pytest.param(errno.EDQUOT, "the disk quota is used up", id="quota"),
        pytest.param(errno.EROFS, "read-only", id="read-only"),
        pytest.param(errno.EIO, "Input/output error", id="other"),
    ],
)
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    target = tmp_path / "a"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=message):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_ctrl_c_in_the_middle_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "a"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_real_write_that_stops_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from edge_ad.errors import OutputError
from edge_ad.files import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic_write(Path(sys.argv[1]), b"n" * 5000)
except OutputError as error:
    print(error)
"""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(target)], capture_output=True, text=True, check=True, timeout=600
    )
    assert "would be larger than this system allows" in done.stdout
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
