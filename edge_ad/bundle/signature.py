"""Whether a bundle comes from somebody whom this device trusts.

The metadata are those of The Update Framework (TUF, specification 1.0.x, with its reference implementation): a *root*
names the keys and expires; *targets*, signed by one of these keys, carries a serial number, a date of expiry, and
length and SHA-256 of the manifest, which itself holds the SHA-256 of every other file. A new root is believed if the
one before it has signed it. The device's own calibration is bound to the artefact and is not signed.

In a bundle they lie in ``signature/``: ``targets.json`` and every root from the first on (``1.root.json``, ...).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_ad.bundle.reader import MANIFEST, Bundle
from edge_ad.errors import InputError, MissingExtraError, OutputError, SignatureError
from edge_ad.files import atomic_write, output_error, read_small

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.api.metadata import Metadata, Root, Targets

__all__ = ["CUSTOM", "MOST_SERIAL", "SIGNATURE", "TARGETS", "SignedBundle", "TrustStore", "read_signature", "root_name"]

logger = logging.getLogger(__name__)

SIGNATURE = "signature"
TARGETS = f"{SIGNATURE}/targets.json"
CUSTOM = "edge-ad"
"""The field of the manifest's target that holds what TUF has no word for: ``bundle`` and ``replaces_up_to``."""

MOST_SERIAL = 2**63 - 1
"""What a device can remember."""

_ROOT, _SEEN = "root.json", "seen.json"
_MOST_ROOTS = 1_000


class _Seen(msgspec.Struct, forbid_unknown_fields=True):
    """What a device remembers: the newest serial that it took of each bundle, and the latest time it knows of."""

    serials: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    latest: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle whose signature holds.

    ``replaces``: devices that have taken serials up to this one may go back to it. ``signed_by``: the ids of the keys.
    ``root``: the newest root's version.
    """

    name: str
    serial: int
    expires: datetime
    replaces: int | None
    signed_by: tuple[str, ...]
    root: int


def root_name(version: int) -> str:
    """Where the root of this version lies in a bundle."""
    return f"{SIGNATURE}/{version}.root.json"


def read_signature(bundle: Bundle) -> dict[str, bytes]:
    """The files of the bundle's signature by name, unchecked; empty where it is not signed."""
    names = [TARGETS, *(root_name(version) for version in range(1, _MOST_ROOTS))]
    found = {}
    for name in names:
        data = bundle.companion(name)
        if data is None and name != TARGETS:
            break
        if data is not None:
            found[name] = data
    return found


class TrustStore:
    """What a device trusts: a folder with a root, and the serials that it has taken.

    Raises:
        InputError: the folder holds no root; the message says how one is made.
        MissingExtraError: ``tuf`` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = _parsed(_read(folder / _ROOT), "root", f"the trust store's {folder / _ROOT}")

    @classmethod
    def create(cls, folder: Path, root: Path) -> TrustStore:
        """Makes a device trust the keys of a root file from now on. Who gives this file is the one to be trusted.

        Raises:
            InputError: it is no root, or does not carry its own signature, or the store trusts another one already.
        """
        data = _read(root, "expected the root.json that edge-ad keys has written")
        found = _parsed(data, "root", str(root))
        if not found.signed.get_root_verification_result(None, found.signed_bytes, found.signatures):
            raise InputError(f"{root} is not signed by its own keys: take the root.json that edge-ad keys has written")
        if (folder / _ROOT).exists() and _read(folder / _ROOT) != data:
            raise InputError(f"{folder} trusts another root already: choose another folder, or remove this one first")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        atomic_write(folder / _ROOT, data)
        return cls(folder)

    def check(self, bundle: Bundle, now: datetime | None = None, *, was_taken: bool = False) -> SignedBundle:
        """Checks the bundle's signature. ``now``: the time in UTC; a clock that lags is set right by what is known.
        ``was_taken``: this device has used this very copy before, so it may be older than the last one.

        Raises:
            SignatureError: it is not signed, wrongly signed, by an expired key, expired itself, or older than what
                this device has taken already. Each has a sentence of its own.
        """
        seen = self._seen()
        now = max(filter(None, (now or datetime.now(timezone.utc), seen.latest)))
        data = bundle.companion(TARGETS)
        if data is None:
            raise SignatureError(f"{bundle.path} is not signed: sign it on the workstation with  edge-ad sign")
        root = self._newest_root(bundle)
        if root.is_expired(now):
            raise SignatureError(
                f"the keys for {bundle.path} expired on {_day(root.expires)}: renew them with  edge-ad keys --renew  "
                "and sign the bundle again"
            )
        targets = _parsed(data, "targets", f"{TARGETS} of {bundle.path}", SignatureError)
        result = root.get_verification_result("targets", targets.signed_bytes, targets.signatures)
        if not result:
            raise SignatureError(
                f"{bundle.path} is signed by no key that this device trusts: expected {_keys(root)}, found "
                f"{', '.join(sorted(targets.signatures)) or 'no signature'}"
            )
        replaces = self._check_content(bundle, targets.signed, _Seen() if was_taken else seen, now)
        return SignedBundle(
            name=bundle.manifest.name,
            serial=targets.signed.version,
            expires=targets.signed.expires,
            replaces=replaces,
            signed_by=tuple(sorted(result.signed)),
            root=root.version,
        )

    def remember(self, bundle: Bundle, signed: SignedBundle, now: datetime | None = None) -> None:
        """This bundle was taken into use: from now on none of its name with a lower serial is, and no key of an older
        root is trusted. ``signed``: what :meth:`check` has said of it.

        Where only the time of the last bundle would be new, a full disk is no reason not to inspect: this is logged.

        Raises:
            OutputError: it cannot be written.
        """
        with self._locked():
            newest = bundle.companion(root_name(signed.root))
            if newest is not None and signed.root > self._root.signed.version:
                atomic_write(self.folder / _ROOT, newest)
                self._root = _parsed(newest, "root", str(self.folder / _ROOT))
            seen = self._seen()
            is_known = signed.replaces is not None or seen.serials.get(signed.name, 0) >= signed.serial
            if signed.replaces is None:
                seen.serials[signed.name] = max(signed.serial, seen.serials.get(signed.name, 0))
            seen.latest = max(filter(None, (now or datetime.now(timezone.utc), seen.latest)))
            try:
                atomic_write(self.folder / _SEEN, msgspec.json.format(msgspec.json.encode(seen)) + b"\n")
            except OutputError as error:
                if not is_known:
                    raise
                logger.warning("the time at which %s was taken is not remembered: %s", signed.name, error)

    # --- inside

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Several scorers may take their bundles at once."""
        path = self.folder / ".lock"
        try:
            file = path.open("ab")
        except OSError as error:
            raise output_error(path, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _newest_root(self, bundle: Bundle) -> Root:
        """From the trusted root to the newest one in the bundle, each signed by the one before it and by itself."""
        root: Root = self._root.signed
        for version in range(root.version + 1, root.version + _MOST_ROOTS):
            data = bundle.companion(root_name(version))
            if data is None:
                return root
            found = _parsed(data, "root", f"{root_name(version)} of {bundle.path}", SignatureError)
            try:
                result = found.signed.get_root_verification_result(root, found.signed_bytes, found.signatures)
            except ValueError as error:
                raise SignatureError(f"{root_name(version)} of {bundle.path} does not follow: {error}") from None
            if not result:
                raise SignatureError(
                    f"{root_name(version)} of {bundle.path} names new keys, and the keys that this device trusts have "
                    "not signed it"
                )
            root = found.signed
        return root

    def _check_content(self, bundle: Bundle, targets: Targets, seen: _Seen, now: datetime) -> int | None:
        """Whether it is about this bundle, as it is and now; up to which serial it may replace others."""
        name, path = bundle.manifest.name, bundle.path
        target = targets.targets.get(MANIFEST)
        custom = {} if target is None else (target.custom or {}).get(CUSTOM, {})
        if target is None or custom.get("bundle") != name:
            raise SignatureError(f"the signature of {path} is about another bundle: expected {name!r}, found {custom}")
        from tuf.api.exceptions import LengthOrHashMismatchError

        try:
            target.verify_length_and_hashes(bundle.manifest_bytes)
        except LengthOrHashMismatchError as error:
            raise SignatureError(f"the manifest of {path} was changed after it was signed: {error}") from None
        if targets.is_expired(now):
            raise SignatureError(
                f"the signature of {path} expired on {_day(targets.expires)}, and it is {_day(now)}: sign it again"
            )
        if targets.version > MOST_SERIAL:
            raise SignatureError(f"the serial of {path} is {targets.version}, expected at most {MOST_SERIAL}")
        taken, replaces = seen.serials.get(name, 0), custom.get("replaces_up_to")
        if targets.version < taken and not (isinstance(replaces, int) and replaces >= taken):
            raise SignatureError(
                f"{path} is older than what this device has taken: its serial is {targets.version}, taken was {taken}; "
                f"to go back, sign it with  edge-ad sign --replaces {taken}"
            )
        return replaces if isinstance(replaces, int) else None

    def _seen(self) -> _Seen:
        path = self.folder / _SEEN
        if not path.exists():
            return _Seen()
        try:
            return msgspec.json.decode(_read(path), type=_Seen)
        except msgspec.DecodeError as error:
            raise SignatureError(
                f"{path} is damaged ({error}), so an older bundle could not be told from a newer one: restore it"
            ) from None


def _parsed(data: bytes, kind: str, what: str, raised: type[InputError | SignatureError] = InputError) -> Metadata[Any]:
    try:
        from tuf.api.metadata import Metadata
        from tuf.api.serialization import DeserializationError
    except ImportError:
        raise MissingExtraError("tuf", "trust") from None
    try:
        found = Metadata[Any].from_bytes(data)
    except (DeserializationError, RecursionError) as error:
        raise raised(f"{what} is damaged or no such file: {error}") from None
    if found.signed.type != kind:
        raise raised(f"{what}: expected metadata of the type {kind}, found {found.signed.type}")
    return found


def _read(path: Path, what_to_do: str = "make a trust store with  edge-ad trust STORE ROOT") -> bytes:
    try:
        return read_small(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {what_to_do}") from error


def _keys(root: Root) -> str:
    return " or ".join(root.roles["targets"].keyids)


def _day(when: datetime) -> str:
    return when.strftime("%Y-%m-%d")
