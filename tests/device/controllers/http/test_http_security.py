"""Tokens, roles, TLS and the audit trail of the HTTP adapter, on a real server."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.http_served import Served, http_served, settings
from support.self_signed import write_certificate

from edge_ad.controllers.http import PROTOCOL
from edge_ad.controllers.security import AuditRecord, Role, add_token, check_trail, read_trail
from edge_ad.errors import DeviceError, EdgeAdError, InputError


@dataclass
class Guarded:
    served: Served
    web: httpx.Client
    tokens: dict[str, str]

    def post(self, who: str, path: str, **given: object) -> httpx.Response:
        token = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.web.post(path, headers=token, **given)  # type: ignore[arg-type]

    @property
    def trail(self) -> list[AuditRecord]:
        path = self.served.folder / "audit.jsonl"  # made with the first record
        return list(read_trail(path)) if path.exists() else []


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "tokens.toml"
    tokens = {role.value: add_token(file, role.value, role) for role in Role}
    certificate, key = write_certificate(folder)
    with http_served(folder, tokens=str(file), certificate=str(certificate), key=str(key)) as served:
        trusted = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=served.url, verify=trusted, timeout=60) as web:
            yield Guarded(served, web, tokens)


@pytest.mark.parametrize(
    ("path", "body", "least"),
    [
        pytest.param("/api/v1/parts", {}, Role.OPERATOR, id="trigger"),
        pytest.param("/api/v1/recipe", {"name": "b"}, Role.SUPERVISOR, id="recipe"),
        pytest.param("/api/v1/counters/reset", {}, Role.SUPERVISOR, id="counters"),
    ],
)
def test_each_role_may_what_it_may(guarded: Guarded, path: str, body: object, least: Role) -> None:
    assert guarded.web.post(path, json=body).status_code == 401
    allowed = [role for role in Role if guarded.post(role.value, path, json=body).status_code in {200, 202}]
    assert allowed == [role for role in Role if role.may(least)]
    refused = [role for role in Role if guarded.post(role.value, path, json=body).status_code == 403]
    assert refused == [role for role in Role if not role.may(least)]


def test_without_a_token_nothing_but_health_is_told(guarded: Guarded) -> None:
    assert guarded.web.get("/api/v1/health").status_code == 200
    for path in ("/api/v1/station", "/api/v1/events", "/api/v1/results", "/api/v1/parts/x"):
        answer = guarded.web.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_changes_stand_in_the_trail_with_who_and_from_where(guarded: Guarded) -> None:
    before = len(guarded.trail)
    assert guarded.post("supervisor", "/api/v1/recipe", json={"name": "a"}).status_code == 202
    assert guarded.post("supervisor", "/api/v1/recipe", json={"name": "nothing"}).status_code == 404
    told = [(one.action, one.result, one.who, one.role, one.source, one.after) for one in guarded.trail[before:]]
    who = ("supervisor", "supervisor", "127.0.0.1")
    assert told == [
        ("recipe", "asked", *who, "a"),
        ("recipe", "done", *who, "a"),
        ("recipe", "asked", *who, "nothing"),
        ("recipe", "refused", *who, "nothing"),
    ]
    assert check_trail(guarded.served.folder / "audit.jsonl").problems == ()


def test_a_failed_log_in_stands_in_the_trail_and_no_token_is_written_anywhere(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    wrong = guarded.web.get("/api/v1/station?token=in-the-query", headers={"Authorization": "Bearer ea_wrong-one"})
    assert wrong.status_code == 401
    last = guarded.trail[-1]
    assert (last.action, last.result, last.source, last.who) == ("log_in", "refused", "127.0.0.1", None)
    assert guarded.post("operator", "/api/v1/parts", json={}).status_code == 200
    written = caplog.text + (guarded.served.folder / "audit.jsonl").read_text()
    assert "ea_wrong-one" not in written
    assert not any(token in written for token in guarded.tokens.values())


def test_plain_http_is_not_understood_where_tls_is_served(guarded: Guarded) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(guarded.served.url.replace("https", "http"), timeout=60)


def test_where_the_trail_cannot_be_written_nothing_is_changed(tmp_path: Path) -> None:
    with http_served(tmp_path) as served, httpx.Client(base_url=served.url, timeout=60) as web:
        (tmp_path / "audit.jsonl").mkdir()
        answer = web.post("/api/v1/recipe", json={"name": "b"})
        assert (answer.status_code, answer.json()["reason"]) == (507, "not_written")
        assert web.post("/api/v1/parts", json={}).json()["recipe"] == "a"


def test_too_many_failed_log_ins_close_the_door_for_a_while(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    token = add_token(file, "anna", Role.OPERATOR)
    with http_served(tmp_path, tokens=str(file)) as served, httpx.Client(base_url=served.url, timeout=60) as web:
        said = [
            web.get("/api/v1/station", headers={"Authorization": f"Bearer {number}"}).status_code
            for number in range(12)
        ]
        assert said == [401] * 10 + [429] * 2
        closed = web.get("/api/v1/station", headers={"Authorization": f"Bearer {token}"})
        assert closed.status_code == 429
        assert int(closed.headers["retry-after"]) > 0


def test_no_client_may_say_that_it_asks_from_another_address(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    add_token(file, "anna", Role.OPERATOR)
    with http_served(tmp_path, tokens=str(file)) as served, httpx.Client(base_url=served.url, timeout=60) as web:
        for number in range(10):
            forged = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"10.0.0.{number}"}
            assert web.get("/api/v1/station", headers=forged).status_code == 401
        assert web.get("/api/v1/station", headers=forged).status_code == 429
    assert {one.source for one in read_trail(tmp_path / "audit.jsonl")} == {"127.0.0.1"}


def test_a_client_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    with http_served(tmp_path, rate_per_s=1) as served, httpx.Client(base_url=served.url, timeout=60) as web:
        answers = (web.get("/api/v1/health") for _ in range(1_000))
        refused = next(one for one in answers if one.status_code != 200)
    assert (refused.status_code, refused.json()["reason"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "1"


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    expired = write_certificate(tmp_path, begins=-3, days=-1)
    tokens = tmp_path / "tokens.toml"
    add_token(tokens, "anna", Role.OPERATOR)
    for given, said in (
        ({"host": "0.0.0.0"}, "certificate, key, tokens missing"),  # noqa: S104
        ({"certificate": str(expired[0]), "key": str(expired[1])}, "expired on"),
        ({"tokens": str(tmp_path / "none.toml")}, "no such file of tokens"),
        ({"evidence": str(tmp_path / "none" / "evidence")}, "evidence: no such folder: .*none"),
    ):
        with pytest.raises(InputError, match=said):
            PROTOCOL.check(settings(**given))
    PROTOCOL.check(settings(tokens=str(tokens), evidence=str(tmp_path / "evidence")))  # which the station makes


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    from edge_ad.controllers.http.server import listen

    with listen("127.0.0.1", 0, "web") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            listen("127.0.0.1", port, "web")
    with pytest.raises(EdgeAdError, match="cannot listen on"):
        listen("no-such-host.invalid", 0, "web")


def test_the_settings_are_read_without_the_libraries_of_the_server() -> None:
    code = "import sys, edge_ad.controllers.http, edge_ad.controllers.security; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "starlette", "uvicorn", "pydantic", "cryptography"} & set(loaded)
