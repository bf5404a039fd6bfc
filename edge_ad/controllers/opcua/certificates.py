"""The server's own certificate, and the certificates of clients that it trusts."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ad.errors import InputError
from edge_ad.files import read_small

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["OwnCertificate", "TrustedClients", "UntrustedError", "load_own"]

logger = logging.getLogger(__name__)

_LEAST_BITS = 2_048
_ENDINGS = {".pem", ".crt", ".cer", ".der"}


class UntrustedError(Exception):
    """A client's certificate is not taken. ``status``: the name of an OPC UA status code."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


class OwnCertificate:
    """``uri``: the application's, as the certificate names it."""

    def __init__(self, certificate: x509.Certificate, key: Any, uri: str) -> None:
        self.certificate, self.key, self.uri = certificate, key, uri


def load_own(certificate: str, key: str, now: datetime | None = None) -> OwnCertificate:
    """Reads both files, PEM or DER.

    Raises:
        InputError: one cannot be read, they do not belong together, or the certificate is not one for OPC UA today.
    """
    path = Path(certificate)
    leaf = _certificate(path)
    private = _key(Path(key))
    if leaf.public_key() != private.public_key():
        raise InputError(f"key {key} does not belong to certificate {certificate}: take the two of one set")
    problem = _dates(leaf, now or datetime.now(timezone.utc)) or _size(leaf)
    if problem is not None:
        raise InputError(f"certificate {path}: {problem}: make a new one")
    uri = _uri(leaf)
    if uri is None:
        raise InputError(f"certificate {path}: it names no application URI (subjectAltName URI:urn:...)")
    return OwnCertificate(leaf, private, uri)


class TrustedClients:
    """A folder of certificates (``.pem``, ``.crt``, ``.cer``, ``.der``): clients' own, or of authorities.

    It is read anew for each connection, so that a certificate that is put in or taken away counts at once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> list[x509.Certificate]:
        """All of them.

        Raises:
            InputError: there is no such folder, or a file is no certificate.
        """
        if not self._folder.is_dir():
            raise InputError(f"trusted_clients {self._folder}: there is no such folder")
        return [_certificate(path) for path in self._files()]

    def check(self, given: bytes | None, now: datetime | None = None) -> None:
        """Whether a client may connect with this certificate.

        Raises:
            UntrustedError: it may not.
        """
        from cryptography import x509

        now = now or datetime.now(timezone.utc)
        try:
            leaf = x509.load_der_x509_certificate(given or b"")
        except ValueError:
            raise UntrustedError("BadCertificateInvalid", "it has sent no certificate") from None
        name = leaf.subject.rfc4514_string()
        problem = _dates(leaf, now)
        if problem is not None:
            raise UntrustedError("BadCertificateTimeInvalid", f"the certificate of {name}: {problem}")
        if _size(leaf) is not None:
            raise UntrustedError("BadCertificateInvalid", f"the certificate of {name}: {_size(leaf)}")
        if not any(leaf == one or (_dates(one, now) is None and _issued(one, leaf)) for one in self._readable()):
            raise UntrustedError("BadCertificateUntrusted", f"the certificate of {name} is not in {self._folder}")

    def _readable(self) -> list[x509.Certificate]:
        """Those that can be read; a damaged file does not shut out the clients of the others."""
        return [one for one in map(_readable, self._files()) if one is not None]

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.suffix.lower() in _ENDINGS)


def _readable(path: Path) -> x509.Certificate | None:
    try:
        return _certificate(path)
    except InputError as error:
        logger.error("%s", error)
        return None


def _certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    data = _read(path)
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise InputError(f"certificate {path}: this is no certificate in PEM or DER") from None


def _key(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    data = _read(path)
    if path.stat().st_mode & 0o027:
        raise InputError(f"key {path}: others may read or write it: run  chmod 600 {path}")
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            key = serialization.load_pem_private_key(data, None)
        else:
            key = serialization.load_der_private_key(data, None)
    except (ValueError, TypeError):
        raise InputError(f"key {path}: this is no private key without a password, in PEM or DER") from None
    if not isinstance(key, RSAPrivateKey):
        raise InputError(f"key {path}: OPC UA needs an RSA key, found {type(key).__name__}")
    return key


def _read(path: Path) -> bytes:
    try:
        return read_small(path)
    except OSError as error:
        raise InputError(f"file {path} cannot be read: {error.strerror}") from None


def _dates(leaf: x509.Certificate, now: datetime) -> str | None:
    if leaf.not_valid_after_utc < now:
        return f"it expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if leaf.not_valid_before_utc > now:
        return f"it is valid from {leaf.not_valid_before_utc:%Y-%m-%d} on; is the clock of this machine right?"
    return None


def _size(leaf: x509.Certificate) -> str | None:
    bits = getattr(leaf.public_key(), "key_size", 0)
    return None if bits >= _LEAST_BITS else f"its key has {bits} bits, expected at least {_LEAST_BITS}"


def _uri(leaf: x509.Certificate) -> str | None:
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), None)


def _issued(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        leaf.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True
