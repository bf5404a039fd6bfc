"""``edge-ad deploy --to https://...``: wrong addresses, tokens, certificates and servers."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.certificates import Authority

from edge_ad.cli import main


def deploy(bundle: Path, *argv: object) -> Result:
    return CliRunner().invoke(main, ["deploy", str(bundle), "--to", *map(str, argv)])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        pytest.param("https://", "expected https://HOST:PORT", id="no-host"),
        pytest.param("https://here:99999999", "expected https://HOST:PORT: Port out of range", id="port"),
        pytest.param("https://he re", "expected https://HOST:PORT: URL can't contain", id="space"),
        pytest.param("https://[::1", "expected https://HOST:PORT: ", id="ipv6"),
        pytest.param("https://here/path", "expected https://HOST:PORT", id="path"),
        pytest.param("https://me:secret@here", "expected https://HOST:PORT", id="user"),
        pytest.param("ftp://here", "expected https://HOST:PORT", id="ftp"),
        pytest.param("http://192.0.2.1", "expected https://HOST:PORT, found http: the token and", id="http"),
    ],
)
def test_an_address_that_is_none_is_exit_code_2(tiny_bundle: Path, address: str, said: str) -> None:
    done = deploy(tiny_bundle, address)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"edge-ad: --to {address}: {said}")


@pytest.mark.parametrize(
    "content", [None, b"", b"two\nlines", b"\x89PNG\xff", "t\u00f6ken".encode(), b"a b"],
    ids=["missing", "empty", "lines", "binary", "letters", "space"],
)  # fmt: skip
def test_a_token_file_without_a_token_is_exit_code_2(tiny_bundle: Path, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    done = deploy(tiny_bundle, "https://127.0.0.1:1", "--token-file", file)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"--token-file {file}: " in done.stderr


def test_a_pipe_as_a_token_file_does_not_hang(tiny_bundle: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    done = deploy(tiny_bundle, "https://127.0.0.1:1", "--token-file", tmp_path / "token")
    assert (done.exit_code, "found a pipe" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "garbage"])
def test_a_wrong_ca_is_exit_code_2(tiny_bundle: Path, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca").write_bytes(content)
    done = deploy(tiny_bundle, "https://127.0.0.1:1", "--ca", tmp_path / "ca")
    assert (done.exit_code, f"--ca {tmp_path / 'ca'}: expected a certificate" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    "argv", [("https://127.0.0.1:1", "--by", "me"), ("s.toml", "--ca", "ca"), ("s.toml", "--token-file", "t")]
)
def test_an_option_that_would_do_nothing_is_refused(tiny_bundle: Path, argv: tuple[str, ...]) -> None:
    done = deploy(tiny_bundle, *argv)
    assert (done.exit_code, f"leave it out with --to {argv[0]}" in done.stderr) == (2, True), done.stderr


@contextmanager
def a_server(answers: dict[str, tuple[int, bytes]], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answers each method so, or a method and path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # answers Expect: 100-continue

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(f"{self.command} {self.path}") or answers[self.command]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust it goes
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


_STATION = (200, b'{"recipes": ["only"]}')


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param({"GET": (200, b"<html>")}, "no HTTP controller of a station answers there: look", id="page"),
        pytest.param({"GET": (404, b"<html>")}, "answers there (status 404): look", id="error-page"),
        pytest.param({"GET": (200, b'{"recipes": 3}')}, "no HTTP controller of a station answers", id="other-json"),
        pytest.param({"GET": _STATION, "PUT": (202, b"\xff")}, "no HTTP controller of a station answers", id="bytes"),
        pytest.param({"GET": _STATION, "PUT": (202, b'{"steps": []}')}, "its journal says nothing of it", id="empty"),
    ],
)
def test_another_server_is_exit_code_4(tiny_bundle: Path, answers: dict[str, tuple[int, bytes]], said: str) -> None:
    with a_server(answers) as address:
        done = deploy(tiny_bundle, address)
    assert (done.exit_code, done.stderr.count("\n")) == (4, 1), done.stderr
    assert said in done.stderr


def test_a_certificate_of_nobody_who_is_known_says_what_to_give(tiny_bundle: Path, tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with a_server({"GET": _STATION}, context) as address:
        done = deploy(tiny_bundle, address)
    assert (done.exit_code, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "give the authority that has signed it by --ca" in done.stderr


def test_a_device_that_asks_for_a_token_says_how_it_is_given(tiny_bundle: Path) -> None:
    with a_server({"GET": (401, b'{"detail": "a token is needed"}')}) as address:
        done = deploy(tiny_bundle, address)
    assert (done.exit_code, "give the file that holds it by --token-file" in done.stderr) == (2, True), done.stderr


def test_a_station_that_does_not_come_back_is_exit_code_4(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = b'{"steps": [{"bundle": "key", "slot": 1, "title": "tiny@1", "step": "SWITCHED", "type": "update"}]}'
    gone = (200, b'{"recipes": ["only"], "connected": false}')
    monkeypatch.setattr("edge_ad.update.remote._LOST_S", 0.0)
    monkeypatch.setattr("edge_ad.update.remote._POLL_S", 0.0)
    with a_server({"GET /api/v1/station": gone, "GET": (200, step), "PUT": (202, step)}) as address:
        done = deploy(tiny_bundle, address)
    assert (done.exit_code, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "tiny@1 was not kept, and the bundle before it is used at the next start" in done.stderr
