"""Certificates, roles and bounds of the OPC UA server."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support.opcua_ends import OpcUaEnds, opcua_ends, until

from edge_ad.controllers.opcua import PROTOCOL, OpcUaSettings
from edge_ad.controllers.opcua.users import Users
from edge_ad.controllers.security import AuditTrail, Role, add_token, read_trail
from edge_ad.errors import DeviceError, InputError
from edge_ad.station.station_log import AuditSettings

ua = pytest.importorskip("asyncua", reason="needs the extra opcua").ua

FOLDER = "ns=1;s=EdgeAd"
LONG_AGO, YESTERDAY = (datetime.now(timezone.utc) - timedelta(days=days) for days in (30, 1))
NEXT_YEAR = datetime.now(timezone.utc) + timedelta(days=365)


def make_certificate(folder: Path, name: str, ends: datetime = NEXT_YEAR, bits: int = 2048) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65_537, bits)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:test:{name}"), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(LONG_AGO)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.der", folder.parent / f"{name}.key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.DER))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    private.chmod(0o600)
    return certificate, private


class Guarded:
    """A server with certificates and tokens, and what its clients need. ``tokens``: by role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trusted = folder / "trusted"
        self.trusted.mkdir()
        self.server = make_certificate(folder, "server")
        self.plc = make_certificate(self.trusted, "plc")
        self.old = make_certificate(self.trusted, "old", YESTERDAY)
        self.stranger = make_certificate(folder, "stranger")
        self.tokens = {role.value: add_token(folder / "tokens.toml", role.value, role) for role in Role}
        self.settings: dict[str, Any] = {
            "certificate": str(self.server[0]),
            "key": str(self.server[1]),
            "trusted_clients": str(self.trusted),
            "tokens": str(folder / "tokens.toml"),
        }
        self.ends: OpcUaEnds

    @contextlib.asynccontextmanager
    async def client(
        self, files: tuple[Path, Path], user: str | None = None, password: str = "", mode: str = "SignAndEncrypt"
    ) -> AsyncIterator[Any]:
        from asyncua import Client
        from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

        client = Client(self.ends.url, timeout=60)
        client.application_uri = f"urn:test:{files[0].stem}"
        certificate, key = (str(path) for path in files)
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate,
            key,
            server_certificate=str(self.server[0]),
            mode=getattr(ua.MessageSecurityMode, mode),
        )
        if user is not None:
            client.set_user(user)
            client.set_password(password)
        async with client:
            yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("guarded"))
    audit = AuditTrail(AuditSettings(file=str(made.folder / "audit.jsonl")), "opcua")
    with opcua_ends(made.folder, audit, recent=0, **made.settings) as made.ends:
        yield made


async def answer_of(call: Coroutine[Any, Any, Any]) -> str:
    try:
        await call
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    return "done"


def test_both_modes_and_what_each_role_may(guarded: Guarded) -> None:
    async def calls(user: str | None, mode: str) -> list[str]:
        said = []
        async with guarded.client(guarded.plc, user, guarded.tokens.get(user or "", ""), mode) as client:
            folder = client.get_node(FOLDER)
            assert await client.get_node(f"{FOLDER}.Ready").read_value() is True
            for name, arguments in (("Inspect", ["P"]), ("SelectRecipe", ["first"]), ("ResetCounters", [])):
                said.append(await answer_of(folder.call_method(f"1:{name}", *arguments)))
        return said

    async def scene() -> None:
        no = "BadUserAccessDenied"
        assert await calls(None, "SignAndEncrypt") == [no, no, no]
        assert await calls("operator", "Sign") == ["done", no, no]
        assert await calls("supervisor", "SignAndEncrypt") == ["done", "done", "done"]

    guarded.ends.run(scene())
    asked = [getattr(one.request, "by", None) for one in guarded.ends.station.requests]
    assert "opcua:supervisor@127.0.0.1" in asked


@pytest.mark.parametrize(
    ("user", "password"), [("operator", "ea_wrong"), ("operator", "supervisor's"), ("nobody", "operator's")]
)
def test_a_wrong_token_or_name_is_not_let_in(guarded: Guarded, user: str, password: str) -> None:
    token = guarded.tokens.get(password.removesuffix("'s"), password)

    async def scene() -> None:
        with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
            async with guarded.client(guarded.plc, user, token):
                pass
        await until(lambda: len(failed()) == before + 1)

    def failed() -> list[str | None]:
        path = guarded.folder / "audit.jsonl"
        records = list(read_trail(path)) if path.exists() else []
        return [
            one.detail for one in records if (one.action, one.result, one.source) == ("log_in", "refused", "127.0.0.1")
        ]

    before = len(failed())
    guarded.ends.run(scene())
    assert repr(user) in str(failed()[-1])
    assert token not in (guarded.folder / "audit.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("who", ["old", "stranger"])
def test_an_expired_or_unknown_certificate_is_not_let_in(
    guarded: Guarded, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        with pytest.raises((ConnectionError, ua.UaError, TimeoutError)):
            async with guarded.client(getattr(guarded, who)):
                pass

    guarded.ends.run(scene())
    expected = {"old": f"it expired on {YESTERDAY:%Y-%m-%d}", "stranger": f"is not in {guarded.trusted}"}
    lines = [one.getMessage() for one in caplog.records if one.name.startswith("edge_ad")]
    assert sum(expected[who] in line for line in lines) == 1


def test_without_security_only_the_endpoints_can_be_asked_for(guarded: Guarded) -> None:
    from asyncua import Client

    async def scene() -> None:
        client = Client(guarded.ends.url, timeout=60)
        found = await client.connect_and_get_server_endpoints()
        assert {one.SecurityPolicyUri.rpartition("#")[2] for one in found} == {"Basic256Sha256"}
        with pytest.raises(ua.UaStatusCodeError, match="BadSecurityPolicyRejected"):
            await client.connect()

    guarded.ends.run(scene())


def test_a_taken_port_is_one_line(guarded: Guarded) -> None:
    from edge_ad.controllers.opcua.hardened import BoundedServer, Bounds

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = BoundedServer("127.0.0.1", port, Bounds(2, 65_536), None, None)
            with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1 port {port}.*in use"):
                await server.start()

    guarded.ends.run(scene())


def test_what_the_settings_lack_is_said(guarded: Guarded, tmp_path: Path) -> None:
    def check(**changes: Any) -> None:
        PROTOCOL.check(OpcUaSettings(protocol="opcua", **{**guarded.settings, **changes}))

    check(host="0.0.0.0")  # noqa: S104 - nothing listens
    old, old_key = (str(path) for path in guarded.old)
    others_key = tmp_path / "open.pem"
    others_key.write_bytes(guarded.server[1].read_bytes())
    others_key.chmod(0o644)
    for changes, expected in (
        ({"host": "0.0.0.0", "tokens": None}, "tokens missing"),  # noqa: S104
        ({"key": None}, "belong together"),
        ({"certificate": old, "key": old_key}, f"it expired on {YESTERDAY:%Y-%m-%d}"),
        ({"key": str(guarded.plc[1])}, "does not belong"),
        ({"key": str(others_key)}, "chmod 600"),
        ({"trusted_clients": str(tmp_path / "none")}, "no such folder"),
        ({"certificate": None, "key": None}, "trusted_clients"),
        ({"tokens": str(tmp_path / "none.toml")}, "no such file of tokens"),
    ):
        with pytest.raises(InputError, match=expected):
            check(**changes)


def test_a_token_in_the_place_of_the_name_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tmp_path / "tokens.toml"
    token = add_token(tokens, "plc", Role.OPERATOR)
    told: list[str] = []
    users = Users(OpcUaSettings(protocol="opcua", tokens=str(tokens)), lambda *how: told.extend(how))
    assert users.get_user(None, username=token, password="x") is None  # noqa: S106
    assert users.get_user(None, username=token, password=token) is None
    assert token not in caplog.text + "".join(told)
    assert "***" in told[1]
