"""The check for known faults, against an advisory database on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.ports import free_port

from edge_ad_deploy.advisories import main

FAULT = {
    "schema_version": "1.6.0",
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "summary": "A frame that is sent twice\nopens the door.",
    "affected": [
        {
            "package": {"name": "h11", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.17.0"}]}],
        }
    ],
}


class Database:
    """``faults``: by name and version. ``asked``: what was asked for. ``status``: with which it answers."""

    def __init__(self) -> None:
        self.faults: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.status = 200
        self.url = ""

    def answer(self, name: str, version: str) -> bytes:
        self.asked.append((name, version))
        found = self.faults.get((name, version), [])
        return json.dumps({"vulns": found} if found else {}).encode()


@pytest.fixture
def database() -> Iterator[Database]:
    one = Database()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = one.answer(query["package"]["name"], query["version"])
            self.send_response(one.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield one
        server.shutdown()
        thread.join()


def lock(folder: Path) -> Path:
    pins = (("h11", "0.16.0", "serve"), ("msgspec", "0.20.0", "edge-ad"))
    path = folder / "amd64.txt"
    path.write_text(
        "".join(
            f"{name}=={version} \\\n    --hash=sha256:{'0' * 64}\n    # for: {for_}\n" for name, version, for_ in pins
        )
    )
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.mark.slow
def test_wheels_without_a_known_fault_are_said_to_be_so(database: Database, tmp_path: Path) -> None:
    pytest.importorskip("pip_audit", reason="needs the extra dev, with pip-audit")
    done = run("--url", database.url, lock(tmp_path))
    assert (done.exit_code, done.output) == (0, "amd64: 2 wheels, 0 known faults\n")
    assert sorted(database.asked[1:]) == [("h11", "0.16.0"), ("msgspec", "0.20.0")]


def test_a_known_fault_is_a_line_and_exit_code_5(database: Database, tmp_path: Path) -> None:
    pytest.importorskip("pip_audit", reason="needs the extra dev, with pip-audit")
    database.faults["h11", "0.16.0"] = [FAULT]
    done = run("--url", database.url, lock(tmp_path))
    assert done.exit_code == 5
    assert done.output.splitlines() == [
        "amd64: h11 0.16.0 (for serve): PYSEC-2026-1, CVE-2026-0001: mended in 0.17.0: "
        "A frame that is sent twice opens the door.",
        "amd64: 2 wheels, 1 known faults",
        "Error: 1 known faults: take newer wheels with  edge-ad package --update-lock",
    ]


def unreachable() -> str:
    return f"http://127.0.0.1:{free_port()}/v1/query"


def test_where_no_database_can_be_reached_it_is_skipped_with_the_reason(tmp_path: Path) -> None:
    url = unreachable()
    done = run("--url", url, lock(tmp_path))
    assert done.exit_code == 0
    assert done.output.startswith(f"skipped: the wheels were not checked: {url} cannot be reached: ")
    assert "Connection refused" in done.output
    assert len(done.output.splitlines()) == 1


def test_who_has_to_know_gets_exit_code_4(tmp_path: Path) -> None:
    done = run("--required", "--url", unreachable(), lock(tmp_path))
    assert done.exit_code == 4
    assert "Connection refused" in done.output


def test_a_gateway_that_answers_instead_is_no_database(database: Database, tmp_path: Path) -> None:
    database.status = 403
    done = run("--url", database.url, lock(tmp_path))
    assert done.exit_code == 0
    assert "answers 403 Forbidden" in done.output


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nowhere"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    done = run("--url", url)
    assert (done.exit_code, "expected an address such as https://" in done.output) == (2, True)


def test_a_damaged_lock_is_one_line(database: Database, tmp_path: Path) -> None:
    (tmp_path / "amd64.txt").write_text("h11\n")
    done = run("--url", database.url, tmp_path / "amd64.txt")
    assert done.exit_code == 2
    assert "is damaged" in done.output
