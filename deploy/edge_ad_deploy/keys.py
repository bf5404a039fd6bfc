"""The keys that sign bundles: a folder on the workstation, made, renewed and rotated.

It holds ``root.json`` (what devices trust, signed by the root key), every earlier root, and the private keys. The root
key only names other keys and is best kept away from the network; the signing keys sign bundles.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edge_ad.errors import InputError
from edge_ad.files import atomic_write, output_error, read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PASSPHRASE", "KeyFolder", "changing"]

PASSPHRASE = "EDGE_AD_KEY_PASSPHRASE"  # noqa: S105  a name
"""The environment variable with the passphrase of the private keys; without it they are not encrypted."""

_ROOT_DAYS = 3650
_ROLES = (Targets.type, Snapshot.type, Timestamp.type)


class KeyFolder:
    """An opened folder of keys.

    Raises:
        InputError: it holds no root, a damaged one, or a private key that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "root.json"
        try:
            self._metadata: Metadata[Root] = Metadata[Root].from_bytes(read_small(path))
        except FileNotFoundError as error:
            _check_none(folder)
            raise InputError(
                f"{folder} holds no keys ({error.strerror}): make them with  edge-ad keys {folder}"
            ) from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        except DeserializationError as error:
            raise InputError(f"{path} is damaged: {error}") from None
        self.root = self._metadata.signed
        if self.root.type != Root.type:
            raise InputError(f"{path}: expected metadata of the type {Root.type}, found {self.root.type}")

    @classmethod
    def create(cls, folder: Path, days: int = _ROOT_DAYS) -> KeyFolder:
        """Makes a root key and a signing key.

        Raises:
            InputError: there are keys already.
            OutputError: the folder cannot be written.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        with changing(folder), contextlib.ExitStack() as undo:
            if (folder / "root.json").exists():
                raise InputError(
                    f"{folder} holds keys already: choose another folder, or say --renew, --add, --revoke or "
                    "--replace-root"
                )
            _check_none(folder)
            root = Root(version=1, expires=_in_days(days), consistent_snapshot=False)
            root_key = _made(folder)
            undo.callback(_key_path(folder, root_key.keyid).unlink)
            signing_key = _made(folder)
            undo.callback(_key_path(folder, signing_key.keyid).unlink)
            root.add_key(root_key, Root.type)
            for role in _ROLES:
                root.add_key(signing_key, role)
            _write(folder, root, [_signer(folder, root_key)])
            undo.pop_all()
        return cls(folder)

    @property
    def signing_keys(self) -> list[str]:
        """The ids of the keys that may sign bundles."""
        return list(self.root.roles[Targets.type].keyids)

    def renew(self, days: int = _ROOT_DAYS) -> KeyFolder:
        """The same keys for longer."""
        return self._next(days, self.root.roles[Root.type].keyids)

    def add_key(self, days: int = _ROOT_DAYS) -> KeyFolder:
        """A further signing key: both are good until one is revoked."""
        key = _made(self.folder)
        for role in _ROLES:
            self.root.add_key(key, role)
        return self._next(days, self.root.roles[Root.type].keyids)

    def revoke(self, keyid: str, days: int = _ROOT_DAYS) -> KeyFolder:
        """A signing key that no device shall trust any more, once it has seen a bundle with the new root.

        Raises:
            InputError: there is no such key, or no other one.
        """
        found = [one for one in self.signing_keys if one.startswith(keyid)]
        if len(found) != 1:
            raise InputError(f"{keyid!r} names {len(found)} signing keys: there are {', '.join(self.signing_keys)}")
        if len(self.signing_keys) == 1:
            raise InputError(f"{found[0]} is the only signing key: add another one first with  edge-ad keys --add")
        for role in _ROLES:
            self.root.revoke_key(found[0], role)
        return self._next(days, self.root.roles[Root.type].keyids)

    def replace_root_key(self, days: int = _ROOT_DAYS) -> KeyFolder:
        """A new root key in place of the old one, which signs this change for the last time."""
        old = list(self.root.roles[Root.type].keyids)
        self.root.add_key(_made(self.folder), Root.type)
        for keyid in old:
            self.root.revoke_key(keyid, Root.type)
        return self._next(days, [*old, *self.root.roles[Root.type].keyids])

    def check_not_expired(self) -> None:
        """Raises :class:`InputError` where no device would take what these keys sign."""
        if self.root.is_expired():
            raise InputError(
                f"the keys in {self.folder} expired on {self.root.expires:%Y-%m-%d}: renew them with  "
                f"edge-ad keys {self.folder} --renew"
            )

    def signers(self) -> list[CryptoSigner]:
        """The signing keys whose private half lies in this folder.

        Raises:
            InputError: none does, or the passphrase is wrong.
        """
        keys = [self.root.keys[keyid] for keyid in self.signing_keys]
        found = [_signer(self.folder, key) for key in keys if _key_path(self.folder, key.keyid).exists()]
        if not found:
            raise InputError(
                f"{self.folder} holds no private key for signing: expected {', '.join(self.signing_keys)}.pem"
            )
        return found

    def roots(self) -> dict[int, bytes]:
        """Every root from the first on, as bytes."""
        try:
            return {
                version: (self.folder / f"{version}.root.json").read_bytes()
                for version in range(1, self.root.version + 1)
            }
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read: {error.strerror}; devices need every root") from error

    def _next(self, days: int, keyids: Iterable[str]) -> KeyFolder:
        self.root.version += 1
        self.root.expires = _in_days(days)
        before = Metadata[Root].from_bytes((self.folder / "root.json").read_bytes()).signed
        keys = {**before.keys, **self.root.keys}
        _write(self.folder, self.root, [_signer(self.folder, keys[keyid]) for keyid in dict.fromkeys(keyids)])
        return KeyFolder(self.folder)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Nobody else changes these keys, or takes a serial, meanwhile. Raises :class:`InputError`: there is no folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{folder} holds no keys ({error.strerror}): make them with  edge-ad keys {folder}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_none(folder: Path) -> None:
    """Raises :class:`InputError` where there are keys, and only root.json is missing: new ones would replace them."""
    versions = [int(one.name.split(".")[0]) for one in folder.glob("*.root.json") if one.name.split(".")[0].isdecimal()]
    if versions:
        newest = folder / f"{max(versions)}.root.json"
        raise InputError(f"{folder} holds keys, and its root.json is missing: copy {newest} to {folder / 'root.json'}")


def _write(folder: Path, root: Root, signers: Sequence[CryptoSigner]) -> None:
    metadata = Metadata(root)
    for signer in signers:
        metadata.sign(signer, append=True)
    data = metadata.to_bytes()
    atomic_write(folder / f"{root.version}.root.json", data)
    atomic_write(folder / "root.json", data)


def _made(folder: Path) -> SSlibKey:
    private = Ed25519PrivateKey.generate()
    public = SSlibKey.from_crypto(private.public_key())
    secret = os.environ.get(PASSPHRASE, "").encode()
    encryption = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    path = _key_path(folder, public.keyid)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise output_error(path, error) from error
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise output_error(path, error) from error
        raise
    return public


def _signer(folder: Path, key: object) -> CryptoSigner:
    assert isinstance(key, SSlibKey)  # noqa: S101
    path = _key_path(folder, key.keyid)
    secret = os.environ.get(PASSPHRASE, "").encode()
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), secret or None)
        return CryptoSigner(private, key)
    except OSError as error:
        raise InputError(f"the private key {path} cannot be read: {error.strerror}") from error
    except TypeError:
        said = "is encrypted: set" if not secret else "is not encrypted: unset"
        raise InputError(f"the private key {path} {said} {PASSPHRASE}") from None
    except (ValueError, RepositoryError) as error:
        raise InputError(f"the private key {path} cannot be opened with this {PASSPHRASE}: {error}") from None


def _key_path(folder: Path, keyid: str) -> Path:
    return folder / f"{keyid[:16]}.pem"


def _in_days(days: int) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)
