"""Clients of the HTTP adapter that show a certificate: who is let in, as whom, and what the audit trail says."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from support.certificates import Authority, Issued
from support.http_served import Served, http_served, settings

from edge_ad.cli import main
from edge_ad.controllers.http import PROTOCOL
from edge_ad.controllers.security import AuditRecord, Role, add_certificate, add_token, read_trail, remove_token
from edge_ad.errors import InputError


@dataclass
class Mutual:
    """A server that asks for certificates of ``authority``; ``foreign`` is another authority."""

    served: Served
    tokens: Path
    authority: Authority
    foreign: Authority

    def web(self, shown: Issued | None) -> httpx.Client:
        """A client that trusts the server and shows this certificate."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return httpx.Client(base_url=self.served.url, verify=context, timeout=60)

    @property
    def trail(self) -> list[AuditRecord]:
        return list(read_trail(self.served.folder / "audit.jsonl"))


def authority(folder: Path) -> Authority:
    folder.mkdir()
    return Authority(folder)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutual]:
    folder = tmp_path_factory.mktemp("mutual")
    ours, foreign = authority(folder / "ours"), authority(folder / "foreign")
    tokens = folder / "tokens.toml"
    add_token(tokens, "otto", Role.OPERATOR)
    server = ours.issue("127.0.0.1")
    server.key.chmod(0o600)
    given: dict[str, Any] = {
        "certificate": str(server.certificate),
        "key": str(server.key),
        "client_certificates": str(ours.certificate),
        "tokens": str(tokens),
    }
    PROTOCOL.check(settings(**given))
    with http_served(folder, **given) as served:
        yield Mutual(served, tokens, ours, foreign)


def test_the_subject_of_a_certificate_has_its_role_and_stands_in_the_audit_trail(mutual: Mutual) -> None:
    shown = mutual.authority.issue("mes-1")
    assert add_certificate(mutual.tokens, "mes", Role.SUPERVISOR, shown.certificate) == "CN=mes-1"
    with mutual.web(shown) as web:
        assert web.post("/api/v1/parts", json={"part_id": "A"}).json()["passes"] is True
        assert web.post("/api/v1/recipe", json={"name": "b"}).status_code == 202
        assert web.put("/api/v1/bundles/b", content=b"x").status_code == 403
        remove_token(mutual.tokens, "mes")
        assert web.post("/api/v1/recipe", json={"name": "a"}).status_code == 401
    told = [(one.who, one.role, one.source, one.after, one.result) for one in mutual.trail if one.action == "recipe"]
    assert told == [("CN=mes-1", "supervisor", "127.0.0.1", "b", result) for result in ("asked", "done")]
    assert any("CN=mes-1" in (one.detail or "") for one in mutual.trail if one.action == "log_in")


@pytest.mark.parametrize("who", ["nobody", "expired", "foreign"])
def test_who_shows_no_certificate_or_a_wrong_one_is_not_let_in(mutual: Mutual, who: str) -> None:
    shown = {
        "nobody": None,
        "expired": mutual.authority.issue("mes-2", days=-1),
        "foreign": mutual.foreign.issue("mes-1"),
    }[who]
    with mutual.web(shown) as web, pytest.raises(httpx.TransportError):
        web.get("/api/v1/health")


def test_a_certificate_without_a_role_may_nothing_and_is_recorded(mutual: Mutual) -> None:
    with mutual.web(mutual.authority.issue("stranger")) as web:
        answer = web.get("/api/v1/station")
        assert (answer.status_code, answer.json()["reason"]) == (401, "token")
        assert "CN=stranger has no role here" in answer.json()["detail"]
    assert [one.result for one in mutual.trail if "CN=stranger" in (one.detail or "")] == ["refused"]


def test_a_token_beside_a_certificate_decides(mutual: Mutual) -> None:
    shown = mutual.authority.issue("engineer")
    add_certificate(mutual.tokens, "engineer", Role.ENGINEER, shown.certificate)
    anna = add_token(mutual.tokens, "anna", Role.OPERATOR)
    with mutual.web(shown) as web:
        right, wrong = ({"Authorization": f"Bearer {token}"} for token in (anna, "ea_wrong"))
        assert web.post("/api/v1/recipe", json={"name": "b"}, headers=right).status_code == 403
        assert web.get("/api/v1/station", headers=wrong).status_code == 401
        assert web.get("/api/v1/station").status_code == 200


def test_the_command_gives_a_role_to_a_subject(tmp_path: Path) -> None:
    file, shown = ["--file", str(tmp_path / "tokens.toml")], authority(tmp_path / "ca").issue("mes-3")
    asked = ["token", "add", "mes", "--role", "operator", "--certificate", str(shown.certificate), *file]
    assert CliRunner().invoke(main, asked).output == "CN=mes-3\n"
    assert CliRunner().invoke(main, ["token", "list", *file]).output.endswith("  CN=mes-3\n")
    again = CliRunner().invoke(main, [*asked[:2], "other", *asked[3:]])
    assert (again.exit_code, "has a role already: remove mes first" in again.output) == (2, True)
    no_certificate = CliRunner().invoke(main, [*asked[:2], "key", *asked[3:6], str(shown.key), *file])
    assert (no_certificate.exit_code, "expected a certificate in PEM" in no_certificate.output) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('[token.a]\nrole = "operator"\nadded = ""', "either sha256 or subject", id="neither"),
        pytest.param(
            '[token.a]\nrole = "operator"\nadded = ""\nsubject = ""', "either sha256 or subject", id="empty-subject"
        ),
        pytest.param(
            "".join(f'[token.{name}]\nrole = "operator"\nadded = ""\nsubject = "CN=x"\n' for name in "ab"),
            "its subject is that of token.a too",
            id="twice",
        ),
    ],
)
def test_a_file_that_is_not_clear_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tokens.toml").write_text(text)
    (tmp_path / "tokens.toml").chmod(0o600)
    with pytest.raises(InputError, match=said):
        PROTOCOL.check(settings(tokens=str(tmp_path / "tokens.toml")))


def test_check_names_what_client_certificates_need(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ca")
    server = ours.issue("127.0.0.1")
    server.key.chmod(0o600)
    tokens = tmp_path / "tokens.toml"
    add_token(tokens, "anna", Role.OPERATOR)
    whole = {"certificate": str(server.certificate), "key": str(server.key), "tokens": str(tokens)}
    for given, said in (
        ({"client_certificates": str(ours.certificate)}, "needs certificate and key, and tokens"),
        ({**whole, "client_certificates": str(tmp_path / "none.pem")}, "cannot be read"),
        ({**whole, "client_certificates": str(tokens)}, "expected a certificate in PEM"),
        ({**whole, "client_certificates": str(ours.issue("old", days=-1).certificate)}, "is valid now"),
    ):
        with pytest.raises(InputError, match=said):
            PROTOCOL.check(settings(**given))
