"""The file of tokens: who has one, with which role. Only hashes are kept; a token itself is shown once.

A program that shows a client certificate needs no token: its entry has the subject of the certificate instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

import msgspec

from edge_ad.bundle.fields import Identifier, Record, Sha256
from edge_ad.errors import InputError
from edge_ad.files import atomic_write, output_error, read_small
from edge_ad.station.strict import convert

__all__ = [
    "TOKEN_PREFIX",
    "Role",
    "TokenEntry",
    "TokenFile",
    "add_certificate",
    "add_token",
    "read_tokens",
    "remove_token",
]

TOKEN_PREFIX = "ea_"  # noqa: S105  no token, only how one begins
"""Each token begins with it, so that one that stands in a wrong place is known."""
_HEADER = "# Written by edge-ad token. A token itself is not in here: only its SHA-256.\n"


class Role(str, Enum):
    """What somebody may do; each may do what those before it may. A ``VIEWER`` may only look."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    ENGINEER = "engineer"

    def may(self, needed: Role) -> bool:
        """Whether this role is enough where ``needed`` is asked for."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class TokenEntry(Record, frozen=True, kw_only=True):
    """``[token.NAME]``. ``sha256``: of the token's text. ``added``: when, in UTC.

    ``subject``: of a client certificate, in the form of RFC 4514; stands there instead of ``sha256``.
    """

    role: Role
    sha256: Sha256 | None = None
    subject: str | None = None
    added: str


class _Tokens(Record, frozen=True, kw_only=True):
    token: dict[Identifier, TokenEntry] = msgspec.field(default_factory=dict)


class TokenFile:
    """The tokens of a file, read again as soon as the file changes, so that a removed one ends at once.

    Raises:
        InputError: the file cannot be read or is damaged, or others may read or write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._tokens = read_tokens(path)

    def find(self, token: str) -> tuple[str, Role] | None:
        """The name and role of a token. Takes the same time wherever it differs and whichever it is.

        Raises:
            InputError: the file has become unreadable; nobody is let in by what it once said.
        """
        asked, found = _hash(token), None
        for name, entry in self._entries().items():
            if entry.sha256 is not None and hmac.compare_digest(entry.sha256, asked):
                found = name, entry.role
        return found

    def role_of(self, subject: str) -> Role | None:
        """The role of a client certificate with this subject; ``None`` where none has it.

        Raises:
            InputError: as :meth:`find`.
        """
        return next((one.role for one in self._entries().values() if one.subject == subject), None)

    def _entries(self) -> dict[str, TokenEntry]:
        if (stamp := self._stamp()) != self._seen:
            self._tokens = read_tokens(self._path)
            self._seen = stamp
        return self._tokens

    def _stamp(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size


def read_tokens(path: Path) -> dict[str, TokenEntry]:
    """The entries of a file of tokens, by name.

    Raises:
        InputError: it cannot be read or is damaged, or other users may read or write it.
    """
    try:
        data, mode = read_small(path), path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of tokens: make one by  edge-ad token add NAME --role ROLE") from None
    except OSError as error:
        raise InputError(f"{path}: the file of tokens cannot be read: {error.strerror}") from error
    if mode & 0o027:
        raise InputError(f"{path}: others may read or write the file of tokens: run  chmod 600 {path}")
    try:
        return _checked(convert(msgspec.toml.decode(data), _Tokens, "").token)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a file of tokens in TOML: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def add_token(path: Path, name: str, role: Role) -> str:
    """Adds somebody to the file, which is made where it is not there. Returns the token: it is kept nowhere.

    Raises:
        InputError: the name is taken or has other characters than letters, digits, ``.``, ``_`` and ``-``, or the file
            is damaged.
        OutputError: the file cannot be written.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    _add(path, name, {"role": role, "sha256": _hash(token)})
    return token


def add_certificate(path: Path, name: str, role: Role, certificate: Path) -> str:
    """Adds whoever shows a client certificate with the subject of this one (PEM). Returns the subject.

    Raises:
        InputError: as :func:`add_token`; or the file is no certificate, its subject is empty or has a role already.
        OutputError: the file of tokens cannot be written.
        MissingExtraError: ``cryptography`` is not installed.
    """
    from edge_ad.controllers.security.exposure import subject_of

    subject = subject_of(certificate)
    _add(path, name, {"role": role, "subject": subject})
    return subject


def remove_token(path: Path, name: str) -> None:
    """Takes somebody out of the file: the token is worth nothing from now on.

    Raises:
        InputError: there is no such name, or the file is damaged.
        OutputError: the file cannot be written.
    """
    with _changing(path) as entries:
        if name not in entries:
            raise InputError(f"{path}: no token of the name {name!r}: there are {', '.join(entries) or 'none'}")
        del entries[name]
        _write(path, entries)


def _add(path: Path, name: str, entry: dict[str, object]) -> None:
    with _changing(path) as entries:
        if name in entries:
            raise InputError(f"{path}: {name} has a token already: remove it first, or choose another name")
        for other, one in entries.items():
            if one.subject is not None and one.subject == entry.get("subject"):
                raise InputError(f"{path}: the subject {one.subject} has a role already: remove {other} first")
        added = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _write(path, entries | convert({"token": {name: {**entry, "added": added}}}, _Tokens, "").token)


def _checked(entries: dict[str, TokenEntry]) -> dict[str, TokenEntry]:
    """Raises ``InputError`` where an entry is not the one or the other, or it is not clear whose role a subject has."""
    subjects: dict[str, str] = {}
    for name, one in entries.items():
        if (one.sha256 is None) == (not one.subject):
            raise InputError(f"token.{name}: expected either sha256 or subject")
        if one.subject is not None and (other := subjects.setdefault(one.subject, name)) != name:
            raise InputError(f"token.{name}: its subject is that of token.{other} too")
    return entries


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, TokenEntry]]:
    """The entries, while nobody else changes them."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield dict(read_tokens(path)) if path.exists() else {}
    finally:
        os.close(lock)


def _write(path: Path, entries: dict[str, TokenEntry]) -> None:
    tables = [
        f'\n[token."{name}"]\nrole = "{one.role.value}"\n{_key(one)}\nadded = "{one.added}"\n'
        for name, one in entries.items()
    ]
    before = os.umask(0o077)
    try:
        atomic_write(path, (_HEADER + "".join(tables)).encode())
    finally:
        os.umask(before)


def _key(entry: TokenEntry) -> str:
    if entry.subject is None:
        return f'sha256 = "{entry.sha256}"'
    return f"subject = {json.dumps(entry.subject)}"


def _hash(token: str) -> str:
    """A plain hash is enough: a token has 256 random bits, so nobody can guess one from its hash."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
