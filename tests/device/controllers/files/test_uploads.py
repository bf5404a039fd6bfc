"""Images of the evidence to a folder, an SFTP server and S3-compatible storage, all of them real on loopback."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import msgspec
import numpy as np
import pytest
from support.adapters import serving
from support.ports import free_port
from support.videos import wait_for

from edge_ad.controllers.adapter import read_settings
from edge_ad.controllers.files import PROTOCOL, FilesSettings
from edge_ad.controllers.files import service as module
from edge_ad.controllers.files.evidence_index import find_images
from edge_ad.errors import InputError, OutputError
from edge_ad.station.evidence import EvidenceRecord, EvidenceStore
from edge_ad.verdict import State, Verdict

FRAME = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


class Evidence:
    """The evidence of a station, written as its scorers do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def add(self, *states: State, inspection: str = "top", limit_bytes: int = 1_000_000) -> None:
        with closing(EvidenceStore(self.folder / inspection, limit_bytes)) as store:
            for state in states:
                self._count += 1
                verdict = Verdict(
                    state=state, captured_at=1e9 + self._count, frame_id=self._count, bundle="b@1", variant="v"
                )
                record = EvidenceRecord(
                    why="reject" if state is State.REJECT else "sample",
                    station="fake",
                    inspection=inspection,
                    camera="c",
                    recipe="r",
                    part_id=f"P{self._count}",
                    frame="",
                    frame_sha256="0" * 64,
                    map=None,
                    artefact_sha256="0" * 64,
                    verdict=verdict,
                )
                store.add(record, FRAME, None)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    monkeypatch.setattr(module, "_AGAIN_S", 0.02)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


def settings(base: Path, **more: Any) -> FilesSettings:
    given = {"queue": str(base / "queue.sqlite"), "evidence": str(base / "evidence"), **more}
    return FilesSettings(protocol="files", **given)


def numbers(names: list[str]) -> list[int]:
    """The frames of the pictures among these names."""
    return sorted(int(name.rpartition("-")[2].removesuffix(".png")) for name in names if name.endswith(".png"))


@dataclass(frozen=True)
class Place:
    """Somewhere to upload to. ``names``: of what lies there; ``go`` and ``come``: the server is away, and back."""

    settings: FilesSettings
    names: Callable[[], list[str]]
    read: Callable[[str], bytes]
    go: Callable[[], None]
    come: Callable[[], None]


@contextmanager
def a_folder(tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "share"

    def names() -> list[str]:
        return [str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file() and one.name[0] != "."]

    def go() -> None:
        folder.rename(tmp_path / "unmounted")
        folder.touch()

    def come() -> None:
        folder.unlink()
        (tmp_path / "unmounted").rename(folder)

    folder.mkdir()
    yield Place(settings(tmp_path, folder=str(folder)), names, lambda name: (folder / name).read_bytes(), go, come)


class SftpServer:
    """asyncssh's own server, in a thread; what it serves is ``root``."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "sftp"
        self.root.mkdir()
        self.host_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self.key = tmp_path / "id"
        client_key.write_private_key(str(self.key))
        self.key.chmod(0o600)
        client_key.write_public_key(str(tmp_path / "authorized"))
        self._authorized = str(tmp_path / "authorized")
        self.port = free_port()
        self.known_hosts = tmp_path / "known_hosts"
        self.trust(self.host_key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: list[asyncssh.SSHServerConnection] = []

    def _accept(self) -> asyncssh.SSHServer:
        connections = self._connections

        class Accepting(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                connections.append(conn)

        return Accepting()

    def trust(self, key: asyncssh.SSHKey) -> None:
        public = key.export_public_key().decode()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def come(self) -> None:
        async def listen() -> asyncssh.SSHAcceptor:
            return await asyncssh.create_server(
                self._accept,
                "127.0.0.1",
                self.port,
                server_host_keys=[self.host_key],
                authorized_client_keys=self._authorized,
                sftp_factory=lambda chan: asyncssh.SFTPServer(chan, chroot=bytes(self.root)),
            )

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(60)

    def go(self) -> None:
        async def end(server: asyncssh.SSHAcceptor) -> None:
            server.close()
            for connection in self._connections:
                connection.abort()
                await connection.wait_closed()
            self._connections.clear()
            await server.wait_closed()

        if self._server is not None:
            asyncio.run_coroutine_threadsafe(end(self._server), self._loop).result(60)
            self._server = None

    def close(self) -> None:
        self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def an_sftp_server(tmp_path: Path) -> Iterator[Place]:
    with closing(SftpServer(tmp_path)) as server:
        server.come()
        given = settings(
            tmp_path,
            sftp_host="127.0.0.1",
            sftp_port=server.port,
            sftp_user="line1",
            sftp_key=str(server.key),
            sftp_known_hosts=str(server.known_hosts),
            sftp_folder="/in",
        )
        root = server.root / "in"

        def names() -> list[str]:
            return [str(one.relative_to(root)) for one in root.rglob("*") if one.is_file() and one.name[0] != "."]

        yield Place(given, names, lambda name: (root / name).read_bytes(), server.go, server.come)


@contextmanager
def an_s3_server(tmp_path: Path) -> Iterator[Place]:
    pytest.importorskip("flask", reason="needs moto[server]")
    from moto.server import ThreadedMotoServer

    port = free_port()
    bucket = f"images-{port}"  # the server keeps everything in this process
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = line1\naws_secret_access_key = secret\n")
    keys.chmod(0o600)
    url = f"http://127.0.0.1:{port}"
    session = boto3.Session(aws_access_key_id="line1", aws_secret_access_key=secrets.token_hex(8))
    client = session.client("s3", endpoint_url=url, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)

    def names() -> list[str]:
        return [one["Key"].removeprefix("line/7/") for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def read(name: str) -> bytes:
        return bytes(client.get_object(Bucket=bucket, Key=f"line/7/{name}")["Body"].read())

    def go() -> None:
        for name in names():
            client.delete_object(Bucket=bucket, Key=f"line/7/{name}")
        client.delete_bucket(Bucket=bucket)

    given = settings(tmp_path, s3_endpoint=url, s3_bucket=bucket, s3_prefix="line/7", s3_credentials=str(keys))
    try:
        yield Place(given, names, read, go, lambda: client.create_bucket(Bucket=bucket) and None)
    finally:
        client.close()
        server.stop()


@pytest.fixture(params=[a_folder, an_sftp_server, an_s3_server], ids=["folder", "sftp", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with request.param(tmp_path) as one:
        yield one


def test_rejects_go_out_whole_with_their_records(tmp_path: Path, evidence: Evidence, place: Place) -> None:
    evidence.add(State.ACCEPT, State.REJECT, State.INVALID)
    PROTOCOL.check(place.settings)
    with serving(PROTOCOL, place.settings, tmp_path / "s.sock"):
        assert wait_for(lambda: len(place.names()) == 4, 60)
        evidence.add(State.REJECT, inspection="side")
        assert wait_for(lambda: len(place.names()) == 6, 60)
    assert numbers(place.names()) == [2, 3, 4]
    (picture,) = [name for name in place.names() if name.startswith("fake/side/") and name.endswith(".png")]
    (kept,) = (evidence.folder / "side").glob("*.png")
    assert place.read(picture) == kept.read_bytes()
    record = msgspec.json.decode(place.read(picture.replace(".png", ".json")), type=EvidenceRecord)
    assert (record.part_id, record.verdict.state) == ("P4", State.REJECT)


def test_the_place_is_away_for_a_time(
    tmp_path: Path, evidence: Evidence, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place.go()
    evidence.add(*[State.REJECT] * 5)
    with serving(PROTOCOL, place.settings, tmp_path / "s.sock"):
        assert wait_for(lambda: "images wait" in caplog.text, 60)
        place.come()
        assert wait_for(lambda: len(place.names()) == 10, 60)
    assert numbers(place.names()) == [1, 2, 3, 4, 5]
    assert "images go out again" in caplog.text


def test_a_restart_sends_the_rest_and_nothing_twice(tmp_path: Path, evidence: Evidence, place: Place) -> None:
    evidence.add(*[State.REJECT] * 3)
    with serving(PROTOCOL, place.settings, tmp_path / "s.sock"):
        assert wait_for(lambda: len(place.names()) == 6, 60)
    evidence.add(State.REJECT, State.ACCEPT)
    with serving(PROTOCOL, place.settings, tmp_path / "s.sock"):
        assert wait_for(lambda: len(place.names()) == 8, 60)
    assert numbers(place.names()) == [1, 2, 3, 4]


def test_another_host_key_is_not_spoken_to(
    tmp_path: Path, evidence: Evidence, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(closing(SftpServer(tmp_path)))
        server.trust(asyncssh.generate_private_key("ssh-ed25519"))
        server.come()
        given = settings(
            tmp_path,
            sftp_host="127.0.0.1",
            sftp_port=server.port,
            sftp_user="line1",
            sftp_key=str(server.key),
            sftp_known_hosts=str(server.known_hosts),
        )
        evidence.add(State.REJECT)
        stack.enter_context(serving(PROTOCOL, given, tmp_path / "s.sock"))
        assert wait_for(lambda: "Host key is not trusted" in caplog.text, 60)
        assert list(server.root.iterdir()) == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param({}, [2, 3], id="rejects-and-invalid"),
        pytest.param({"rejects": False}, [3], id="invalid-alone"),
        pytest.param({"invalid": False, "every": 2}, [2, 4, 6], id="every-second-accept"),
        pytest.param({"rejects": False, "invalid": False, "every": 1}, [1, 4, 5, 6, 7], id="every-accept"),
    ],
)
def test_images_by_rule(tmp_path: Path, evidence: Evidence, rule: dict[str, Any], expected: list[int]) -> None:
    marks: defaultdict[str, int] = defaultdict(int)
    found: list[str] = []
    for states in ([State.ACCEPT, State.REJECT, State.INVALID], [State.ACCEPT] * 3, [State.ACCEPT], []):
        evidence.add(*states)  # between two looks the count of accepted ones goes on
        new = find_images(evidence.folder, settings(tmp_path, **rule), marks.__getitem__)
        marks |= new.marks
        found += [one.name for one in new.images]
    assert [int(name.rpartition("-")[2]) for name in found] == expected


def test_what_the_evidence_has_no_room_for_any_more_is_left_out(
    tmp_path: Path, evidence: Evidence, caplog: pytest.LogCaptureFixture
) -> None:
    with a_folder(tmp_path) as place:
        place.go()
        evidence.add(*[State.REJECT] * 3)
        with serving(PROTOCOL, place.settings, tmp_path / "s.sock"):
            assert wait_for(lambda: "3 images wait" in caplog.text, 60)
            for path in sorted((evidence.folder / "top").glob("*.png"))[:2]:
                path.unlink()
            place.come()
            assert wait_for(lambda: len(place.names()) == 2, 60)
        assert numbers(place.names()) == [3]
        assert caplog.text.count("made room before it went out") == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        pytest.param({}, "expected csv, folder, sftp_host or s3_bucket", id="nothing"),
        pytest.param({"folder": "a"}, "evidence is missing", id="no-evidence"),
        pytest.param({"csv": "c", "evidence": "e"}, "needs a place", id="no-place"),
        pytest.param({"evidence": "e", "folder": "a", "s3_bucket": "abc"}, "to one place", id="two-places"),
        pytest.param({"evidence": "e", "sftp_host": "h"}, "sftp_user is missing", id="sftp-without-user"),
        pytest.param(
            {"evidence": "e", "sftp_host": "h", "sftp_user": "u", "sftp_key": "secret"},
            "sftp_known_hosts is missing",
            id="sftp-without-known-hosts",
        ),
        pytest.param(
            {"evidence": "e", "sftp_host": "h", "sftp_user": "u", "sftp_key": "open", "sftp_known_hosts": "open"},
            "sftp_key .*open can be read by everybody",
            id="open-key",
        ),
        pytest.param({"evidence": "e", "s3_bucket": "abc"}, "s3_endpoint is missing", id="s3-without-endpoint"),
        pytest.param(
            {"evidence": "e", "s3_bucket": "abc", "s3_endpoint": "http://minio.local:9000"},
            "not encrypted",
            id="s3-in-plain",
        ),
        pytest.param(
            {"evidence": "e", "s3_bucket": "abc", "s3_endpoint": "https://a:b@minio.local"},
            "keys do not belong into an address",
            id="s3-keys-in-the-address",
        ),
        pytest.param({"evidence": "e", "s3_bucket": "abc", "s3_prefix": "../x/"}, "s3_prefix", id="prefix"),
        pytest.param({"csv": "open/x"}, "csv", id="csv-below-a-file"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    for name, mode in (("open", 0o644), ("secret", 0o600)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    with pytest.raises((InputError, OutputError), match=said) as caught:
        PROTOCOL.check(read_settings("out", {"protocol": "files", **table}, tmp_path)[1])
    assert "\n" not in str(caught.value)
