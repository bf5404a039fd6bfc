"""The table ``[controller.NAME]`` of a station file for ``protocol = "opcua"``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from edge_ad.controllers.settings import HandshakeSettings, Milliseconds, Port, is_loopback
from edge_ad.errors import InputError, MissingExtraError

__all__ = ["OpcUaSettings", "check_settings"]


class OpcUaSettings(HandshakeSettings, frozen=True, kw_only=True):
    """``host``, ``port``: where the server listens. Another host than loopback needs the next four.

    ``certificate``, ``key``: files of the server, PEM or DER; with them nothing is served without security.
    ``trusted_clients``: a folder of certificates of clients, or of authorities that issue them. ``tokens``: the file of
    who may do what; without it everybody has ``local_role``. ``kept_results``: so many can be asked for later.
    ``max_connections``: more are turned away. ``max_message_kb``: a longer request ends its connection.
    """

    PATHS: ClassVar[tuple[str, ...]] = ("certificate", "key", "trusted_clients", "tokens")

    host: str = "127.0.0.1"
    port: Port = 4840
    certificate: str | None = None
    key: str | None = None
    trusted_clients: str | None = None
    tokens: str | None = None
    local_role: Literal["operator", "supervisor", "engineer"] = "operator"
    heartbeat_ms: Milliseconds = 500
    kept_results: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    max_message_kb: Annotated[int, msgspec.Meta(ge=64, le=65_536)] = 1_024

    def claims(self) -> dict[str, str]:
        """The port, unless the system chooses it."""
        return {"port": f"{self.host} port {self.port}"} if self.port else {}


def check_settings(settings: OpcUaSettings) -> None:
    """Whether a server could begin with these; connects to nothing.

    Raises:
        MissingExtraError: asyncua is not installed.
        InputError: something is missing, or a file is not what it should be.
    """
    if find_spec("asyncua") is None:
        raise MissingExtraError("asyncua", "opcua")
    from edge_ad.controllers.opcua.certificates import TrustedClients, load_own
    from edge_ad.controllers.security import read_tokens

    if (settings.certificate is None) != (settings.key is None):
        raise InputError("certificate and key belong together: give both or neither")
    needed = ("certificate", "key", "trusted_clients", "tokens")
    missing = [name for name in needed if getattr(settings, name) is None]
    if missing and not is_loopback(settings.host):
        raise InputError(
            f'host = "{settings.host}" is reached from other machines: {", ".join(missing)} missing; '
            'add them, or take host = "127.0.0.1"'
        )
    if settings.certificate is not None and settings.key is not None:
        load_own(settings.certificate, settings.key)
    elif settings.trusted_clients is not None:
        raise InputError("trusted_clients: clients only show certificates where certificate and key are set")
    if settings.trusted_clients is not None:
        TrustedClients(Path(settings.trusted_clients)).read()
    if settings.tokens is not None:
        read_tokens(Path(settings.tokens))
