"""The table ``[controller.NAME]`` of ``protocol = "http"``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from edge_ad.controllers.security import check_authorities, check_certificate, check_exposure, read_tokens
from edge_ad.controllers.settings import HandshakeSettings, Port
from edge_ad.errors import InputError, MissingExtraError
from edge_ad.page.assets import read_assets

__all__ = ["HttpSettings", "check_settings"]

Megabytes = Annotated[float, msgspec.Meta(gt=0, le=65_536)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3_600)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class HttpSettings(HandshakeSettings, frozen=True, kw_only=True):
    """``host``, ``port``: where it listens. ``certificate``, ``key``: PEM files, for TLS. ``tokens``: the file of who
    may do what; without it everybody on this machine has ``local_role``. Another host than loopback needs all three.
    ``client_certificates``: a PEM file of authorities; with it every client has to show a certificate of theirs, whose
    subject may have a role in ``tokens``.

    ``rate_per_s``: requests of one client address in a second. ``clients``: connections at once. ``frame_mb``: the
    largest picture or tensor, ``frame_megapixels``: the most pixels that are decoded. ``receive_s``: within this time a
    request has to be here, and ``send_s``: so long a client may take nothing of its answer. ``evidence``: the
    folder of the station's evidence. ``bundle_mb``: the largest bundle that may be handed in. ``results``: so many are
    remembered. ``preview``: the folder of the station's previews, which the page shows. ``counters``: the
    file of its counts, for reports of earlier shifts, ``proof``: of what was proved. ``kiosk``: whoever has
    no token may look all the same. ``texts``: a folder with further languages of the page.
    ``events``: so many events wait for a reader that is slow; then the oldest are dropped.
    """

    PATHS: ClassVar[tuple[str, ...]] = (
        "certificate", "key", "client_certificates", "tokens", "evidence", "preview", "texts",
        "counters", "proof",
    )  # fmt: skip

    host: str = "127.0.0.1"
    port: Port = 8080
    certificate: str | None = None
    key: str | None = None
    client_certificates: str | None = None
    tokens: str | None = None
    local_role: Literal["viewer", "operator", "supervisor", "engineer"] = "operator"
    rate_per_s: Annotated[float, msgspec.Meta(ge=1, le=1_000_000)] = 1_000.0
    clients: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 64
    frame_mb: Megabytes = 32.0
    frame_megapixels: Megabytes = 32.0
    receive_s: Seconds = 30.0
    send_s: Seconds = 10.0
    evidence: str | None = None
    bundle_mb: Megabytes = 1_000.0
    preview: str | None = None
    counters: str | None = None
    proof: str | None = None
    kiosk: bool = False
    texts: str | None = None
    results: Count = 1_000
    events: Count = 1_000

    def claims(self) -> dict[str, str]:
        """The port, unless the system chooses it."""
        return {"port": f"{self.host} port {self.port}"} if self.port else {}


def check_settings(settings: HttpSettings) -> None:
    """Raises ``EdgeAdError`` where something that the table names is missing."""
    for library in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(library, "serve")
    if settings.texts is not None and not Path(settings.texts).is_dir():
        raise InputError(f"texts: no such folder: {settings.texts}")
    for name in ("evidence", "preview", "counters", "proof"):  # the station makes these when it has something for them
        path = getattr(settings, name)
        if path is not None and not Path(path).parent.is_dir():
            raise InputError(f"{name}: no such folder: {Path(path).parent}")
    check_exposure(settings.host, settings.certificate, settings.key, settings.tokens)
    if settings.certificate is not None and settings.key is not None:
        check_certificate(settings.certificate, settings.key)
    if settings.texts is not None:
        read_assets(Path(settings.texts))
    if settings.client_certificates is not None:
        if settings.certificate is None or settings.tokens is None:
            raise InputError("client_certificates needs certificate and key, and tokens, where the roles stand")
        check_authorities(settings.client_certificates)
    if settings.tokens is not None:
        read_tokens(Path(settings.tokens))
