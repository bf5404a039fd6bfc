"""What has to be there before something listens where other machines can reach it: a certificate and tokens."""

from __future__ import annotations

import ipaddress
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, MissingExtraError
from edge_ad.files import read_small

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["check_authorities", "check_certificate", "check_exposure", "is_loopback", "subject_of"]

logger = logging.getLogger(__name__)

_ENDS_SOON = timedelta(days=30)


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(host: str, certificate: str | None, key: str | None, tokens: str | None) -> None:
    """The rule: another host than loopback needs TLS and tokens.

    Raises:
        InputError: it is not kept, or one of certificate and key is missing.
    """
    if (certificate is None) != (key is None):
        raise InputError("certificate and key belong together: give both or neither")
    needed = {"certificate": certificate, "key": key, "tokens": tokens}
    missing = [name for name, value in needed.items() if value is None]
    if missing and not is_loopback(host):
        raise InputError(
            f'host = "{host}" is reached from other machines, which needs certificate, key and tokens: '
            f'{", ".join(missing)} missing; add them, or take host = "127.0.0.1"'
        )


def check_certificate(certificate: str, key: str, now: datetime | None = None) -> None:
    """Whether these PEM files can serve TLS today.

    Raises:
        InputError: one cannot be read, others may read the key, they do not belong together, or the certificate is not
            valid now.
        MissingExtraError: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    except ImportError:
        raise MissingExtraError("cryptography", "serve") from None
    leaf = _certificates(Path(certificate), "certificate")[0]
    private = _private_key(Path(key))
    _check_dates(Path(certificate), leaf, now or datetime.now(timezone.utc))
    both = (one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (leaf.public_key(), private))
    if len(set(both)) != 1:
        raise InputError(f"key {key} does not belong to certificate {certificate}: name two that were made together")


def check_authorities(path: str, now: datetime | None = None) -> None:
    """Whether the certificates of a PEM file can say today which clients are let in.

    Raises:
        InputError: it cannot be read, has no certificate, or none of its certificates is valid now.
        MissingExtraError: ``cryptography`` is not installed.
    """
    found = _certificates(Path(path), "client_certificates")
    now = now or datetime.now(timezone.utc)
    if not any(one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in found):
        raise InputError(f"client_certificates {path}: none of its {len(found)} certificates is valid now")


def subject_of(path: Path) -> str:
    """The subject of the first certificate of a PEM file, in the form of RFC 4514.

    Raises:
        InputError: it cannot be read, is no certificate, or its subject is empty.
        MissingExtraError: ``cryptography`` is not installed.
    """
    subject = _certificates(path, "certificate")[0].subject.rfc4514_string()
    if not subject:
        raise InputError(f"certificate {path}: its subject is empty, so nobody could be told by it")
    return subject


def _certificates(path: Path, what: str) -> list[x509.Certificate]:
    try:
        from cryptography import x509
    except ImportError:
        raise MissingExtraError("cryptography", "serve") from None

    data = _read(path, what)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise InputError(f"{what} {path}: expected a certificate in PEM, found something else") from error


def _private_key(path: Path):  # type: ignore[no-untyped-def]
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path, "key")
    if path.stat().st_mode & 0o027:
        raise InputError(f"key {path}: others may read or write the private key: run  chmod 600 {path}")
    try:
        return load_pem_private_key(data, None).public_key()
    except TypeError as error:
        raise InputError(f"key {path}: expected a private key without a password, found one with a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"key {path}: expected a private key in PEM, found something else") from error


def _check_dates(path: Path, leaf: x509.Certificate, now: datetime) -> None:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now > ends:
        raise InputError(f"certificate {path}: it expired on {ends:%Y-%m-%d}: get a new one")
    if now < begins:
        raise InputError(f"certificate {path}: it is valid from {begins:%Y-%m-%d} on: is this machine's clock right?")
    if ends - now < _ENDS_SOON:
        logger.warning("certificate %s expires on %s: get a new one before", path, f"{ends:%Y-%m-%d}")


def _read(path: Path, what: str) -> bytes:
    try:
        return read_small(path)
    except OSError as error:
        raise InputError(f"{what} {path}: cannot be read: {error.strerror}") from error
