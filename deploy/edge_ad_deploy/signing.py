"""Signs a bundle: the manifest, and through its hashes every other file. Signs a package: its bytes, beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tuf.api.metadata import Metadata, TargetFile, Targets

from edge_ad.bundle import MANIFEST, Bundle
from edge_ad.bundle.signature import CUSTOM, MOST_SERIAL, TARGETS, root_name
from edge_ad.errors import InputError
from edge_ad.files import atomic_write, output_error, read_small
from edge_ad_deploy.keys import KeyFolder, changing

__all__ = ["PackageSignature", "sign_bundle", "sign_package"]

_SERIALS = "serials.json"
_MOST_PACKAGE_BYTES = 4 << 30
_PACKAGE_HEAD = b"!<arch>\ndebian-binary"


def sign_bundle(
    path: Path, keys: KeyFolder, *, days: int = 730, serial: int | None = None, replaces: int | None = None
) -> int:
    """Signs the bundle at ``path``, a folder, with every signing key of ``keys``. Returns its serial.

    ``days``: how long the signature is good. ``serial``: one more than the last of this name, unless given.
    ``replaces``: devices that have taken serials up to this one may go back to this bundle.

    Raises:
        InputError: no folder, a serial that was used already, or keys that expired.
        BundleError: the bundle is damaged: it is not signed then.
        OutputError: it cannot be written.
    """
    bundle = Bundle.open(path)
    if not path.is_dir():
        raise InputError(f"{path} is a zip file: sign the folder, then pack it")
    for name in bundle.manifest.files:
        bundle.check_file(name)
    keys.check_not_expired()
    signers = keys.signers()
    custom: dict[str, object] = {"bundle": bundle.manifest.name}
    if replaces is not None:
        custom["replaces_up_to"] = replaces
    target = TargetFile.from_data(MANIFEST, bundle.manifest_bytes, ["sha256"])
    target.unrecognized_fields["custom"] = {CUSTOM: custom}
    expires = (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)
    roots = {root_name(version): data for version, data in keys.roots().items()}
    serial = _use_up(keys.folder, bundle.manifest.name, serial)
    signed = Metadata(Targets(version=serial, expires=expires, targets={MANIFEST: target}))
    for signer in signers:
        signed.sign(signer, append=True)
    folder = (path / TARGETS).parent
    try:
        folder.mkdir(exist_ok=True)
        for other in folder.glob("*.root.json"):  # of other keys, which signed this bundle before
            if other.relative_to(path).as_posix() not in roots:
                other.unlink()
    except OSError as error:
        raise output_error(folder, error) from error
    for name, data in roots.items():
        atomic_write(path / name, data)
    atomic_write(path / TARGETS, signed.to_bytes())
    return serial


def _use_up(folder: Path, name: str, serial: int | None) -> int:
    """The serial of a bundle, written down before the bundle carries it: no two bundles ever have the same."""
    with changing(folder):
        serials = _serials(folder)
        last = serials.get(name, 0)
        if serial is not None and serial <= last:
            raise InputError(f"--serial {serial}: {name} was signed with {last} already, expected more")
        serial = last + 1 if serial is None else serial
        if serial > MOST_SERIAL:
            raise InputError(
                f"the serial {serial} is larger than a device can remember, expected {MOST_SERIAL} at most"
            )
        atomic_write(folder / _SERIALS, json.dumps({**serials, name: serial}, indent=1).encode() + b"\n")
    return serial


@dataclass(frozen=True, slots=True)
class PackageSignature:
    """``signature``: a file of 64 bytes beside the package; ``public_key``: a file in the folder of the keys."""

    signature: Path
    public_key: Path


def sign_package(path: Path, keys: KeyFolder) -> list[PackageSignature]:
    """Signs a Debian package with every signing key: Ed25519 over its bytes, as ``openssl pkeyutl`` checks it.

    The same keys sign metadata of bundles, which begins with ``{``; a package begins with ``!<arch>``, so neither can
    be taken for the other.

    Raises:
        InputError: it cannot be read, or is no package.
        OutputError: a signature cannot be written.
    """
    try:
        data = read_small(path, _MOST_PACKAGE_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not data.startswith(_PACKAGE_HEAD):
        raise InputError(f"{path}: expected a Debian package, found something else")
    signed = []
    for signer in keys.signers():
        name = signer.public_key.keyid[:16]
        one = PackageSignature(path.with_name(f"{path.name}.{name}.sig"), keys.folder / f"{name}.pub.pem")
        atomic_write(one.signature, bytes.fromhex(signer.sign(data).signature))
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        atomic_write(one.public_key, public.public_bytes(encoding, kind))
        signed.append(one)
    return signed


def _serials(folder: Path) -> dict[str, int]:
    path = folder / _SERIALS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        return {str(name): int(serial) for name, serial in found.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): say the next number with --serial and remove the file"
        ) from None
