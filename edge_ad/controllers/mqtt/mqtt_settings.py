"""The table ``[controller.NAME]`` with ``protocol = "mqtt"``."""

from __future__ import annotations

import importlib.util
import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from edge_ad.controllers.settings import HandshakeSettings, Milliseconds, Port, is_loopback
from edge_ad.errors import InputError, MissingExtraError
from edge_ad.files import check_folder

__all__ = ["MqttSettings", "check", "password_of", "tls_context"]

BaseTopic = Annotated[str, msgspec.Meta(pattern=r"^[^+#$/\x00-\x1f][^+#\x00-\x1f]*[^+#/\x00-\x1f]$", max_length=128)]


class MqttSettings(HandshakeSettings, frozen=True, kw_only=True):
    """``host``, ``port``: of the broker; without ``port`` 8883 with TLS and 1883 without it.

    ``tls``: also where only the system's authorities are trusted. ``ca``: a file of the authorities that are trusted
    instead. ``certificate``, ``key``: our own. ``allow_insecure``: another host without TLS. ``password_file``: its
    first line. ``version``: of MQTT. ``topic``: before all topics, ``edge-ad/STATION`` where it is not given.
    ``client_id``: ``edge-ad-STATION-NAME`` where it is not given; no two clients of a broker may have the same.
    ``outbox``: the file in which messages wait for the broker, at most ``outbox_messages`` of them and ``outbox_mb``
    in 10**6 bytes. ``outbox_sync``: each one reaches the disk at once (fsync). ``stale_ms``: triggers that may have
    waited so long in this process are refused.
    """

    PATHS: ClassVar[tuple[str, ...]] = ("ca", "certificate", "key", "password_file", "outbox")

    recent: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1_000
    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Port | None = None
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    allow_insecure: bool = False
    username: str | None = None
    password_file: str | None = None
    version: Literal["3.1.1", "5"] = "5"
    topic: BaseTopic | None = None
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    keepalive_s: Annotated[int, msgspec.Meta(ge=2, le=600)] = 10
    outbox: str = "mqtt-outbox.sqlite"
    outbox_messages: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    outbox_mb: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 64
    outbox_sync: bool = False
    stale_ms: Milliseconds = 1_000

    def claims(self) -> dict[str, str]:
        """The file of messages that wait."""
        return {"outbox": self.outbox}

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted and the broker has to show a certificate."""
        return self.tls or self.ca is not None or self.certificate is not None

    @property
    def broker_port(self) -> int:
        """The port, where none was given the usual one."""
        return self.port or (8883 if self.uses_tls else 1883)


def check(settings: MqttSettings) -> None:
    """Whether the library is there and all files can be read; connects to nothing.

    Raises:
        MissingExtraError: paho-mqtt is not installed.
        InputError: something in the table is wrong.
        OutputError: the outbox cannot be written.
    """
    if importlib.util.find_spec("paho") is None:
        raise MissingExtraError("paho-mqtt", "mqtt")
    if not settings.uses_tls and not settings.allow_insecure and not is_loopback(settings.host):
        raise InputError(
            f"host: {settings.host} is another machine, and the connection is not encrypted: give ca = "
            '"FILE" or tls = true, or allow_insecure = true if the network is trusted'
        )
    if settings.key is not None and settings.certificate is None:
        raise InputError("key needs certificate as well")
    if (settings.password_file is None) is not (settings.username is None):
        raise InputError("username and password_file belong together: give both or neither")
    tls_context(settings)
    password_of(settings)
    check_folder(Path(settings.outbox).parent, f"outbox {settings.outbox}")


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """What the broker is checked with; ``None`` without TLS.

    Raises:
        InputError: a file cannot be read, or is no certificate or key.
    """
    if not settings.uses_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise _unreadable("ca", settings.ca, error) from error
    context.sslsocket_class = _ClosingSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key)
        except OSError as error:
            raise _unreadable("certificate or key", settings.certificate, error) from error
    return context


def password_of(settings: MqttSettings) -> str | None:
    """The first line of the password's file.

    Raises:
        InputError: it cannot be read, is empty, or everybody on this machine may read it.
    """
    if settings.password_file is None:
        return None
    path = Path(settings.password_file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable("password_file", settings.password_file, error) from error
    if mode & 0o007:
        raise InputError(f"password_file {path} can be read by everybody: run  chmod o-rwx {path}")
    if not lines or not lines[0]:
        raise InputError(f"password_file {path}: expected the password in its first line, found nothing")
    return lines[0]


class _ClosingSocket(ssl.SSLSocket):
    """Paho leaves a socket open whose handshake failed."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _unreadable(what: str, path: str | None, error: Exception) -> InputError:
    said = getattr(error, "strerror", None) or str(error)
    return InputError(f"{what} {path}: cannot be used: {said}")
