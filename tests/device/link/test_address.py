"""Where the socket lies, who may open it, and what is left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.link_ends import open_files, raw_client

from edge_ad.errors import InputError, LinkError
from edge_ad.link import Client, FakeStation, LinkServer, default_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.sock"


def test_a_second_station_on_the_same_socket_is_refused_and_the_first_goes_on(path: Path) -> None:
    with FakeStation(path):
        before = open_files()
        with pytest.raises(LinkError, match=rf"another station \(process {os.getpid()}\) listens on .*station\.sock"):
            LinkServer(path, station="second")
        assert open_files() == before
        with Client(path) as link:
            assert link.station == "fake"


def test_a_station_that_ended_leaves_the_place_to_the_next(path: Path) -> None:
    for _ in range(2):
        with FakeStation(path), Client(path) as link:
            assert link.passes(timeout_s=60)
        assert not path.exists()


def test_what_a_killed_station_left_behind_is_removed(path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom edge_ad.link import FakeStation\n"
        "station = FakeStation(Path(sys.argv[1]))\nprint('listens', flush=True)\ntime.sleep(600)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    with killed:
        assert killed.stdout.readline() == b"listens\n"
        with pytest.raises(LinkError, match=rf"process {killed.pid}\)"):
            LinkServer(path, station="second")
        killed.send_signal(signal.SIGKILL)
    assert path.exists()
    with FakeStation(path), Client(path) as link:
        assert link.passes(timeout_s=60)


def test_another_file_at_the_path_is_left_alone(path: Path) -> None:
    path.write_text("a letter", encoding="utf-8")
    with pytest.raises(InputError, match="is no socket but another kind of file"):
        LinkServer(path, station="s")
    assert path.read_text(encoding="utf-8") == "a letter"


def test_a_link_in_the_place_of_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("a letter", encoding="utf-8")
    path.with_name("station.sock.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(LinkError, match="cannot listen"):
        LinkServer(path, station="s")
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "a letter"


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666], ids=oct)
def test_the_socket_has_the_mode_whatever_the_umask(path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        server = LinkServer(path, station="s", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    server.close()


def test_the_socket_belongs_to_the_group(path: Path) -> None:
    import grp

    group = grp.getgrgid(os.getgid())
    server = LinkServer(path, station="s", group=group.gr_name)
    assert path.stat().st_gid == group.gr_gid
    server.close()
    before = open_files()
    with pytest.raises(InputError, match="group does not exist on this machine: no-such-group"):
        LinkServer(path, station="s", group="no-such-group")
    assert open_files() == before
    LinkServer(path, station="s").close()


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 107 bytes"):
        LinkServer(tmp_path / ("x" * 108), station="s")


def test_one_folder_is_made_but_not_a_whole_tree(tmp_path: Path) -> None:
    LinkServer(tmp_path / "edge-ad" / "s.sock", station="s").close()
    assert stat.S_IMODE((tmp_path / "edge-ad").stat().st_mode) & 0o022 == 0
    with pytest.raises(LinkError, match=r"cannot listen on .*: No such file or directory"):
        LinkServer(tmp_path / "a" / "b" / "s.sock", station="s")


def test_closing_leaves_the_socket_of_somebody_else(path: Path) -> None:
    server = LinkServer(path, station="s")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        server.close()
        server.close()
        assert path.exists()


def test_nothing_is_left_open(path: Path) -> None:
    before = open_files()
    with FakeStation(path), Client(path) as link, raw_client(path), raw_client(path, hello=False):
        link.snapshot()
    assert open_files() == before


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"RUNTIME_DIRECTORY": "/run/unit"}, "/run/unit/line1.sock", id="systemd"),
        pytest.param({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/x"}, "/run/a/line1.sock", id="first"),
    ],
)
def test_the_default_place(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_path("line1") == Path(expected)


@pytest.mark.parametrize(
    ("system", "user", "expected"),
    [(True, "/x", "/run/edge-ad/line1.sock"), (False, "/x", "/x/edge-ad/line1.sock")],
    ids=["system", "user"],
)
def test_the_default_place_without_systemd(
    monkeypatch: pytest.MonkeyPatch, system: bool, user: str, expected: str
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", user)
    monkeypatch.setattr(Path, "is_dir", lambda _: system)
    assert default_path("line1") == Path(expected)


def test_no_default_place_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    with pytest.raises(InputError, match="name the socket's path"):
        default_path("line1")
