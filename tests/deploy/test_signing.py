"""From a key to a bundle that a device takes or refuses, each refusal with its own sentence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.full_disk import disk_of
from support.paths import DOCS

from edge_ad.bundle import MANIFEST, Bundle, TrustStore, pack, unpack
from edge_ad.bundle.signature import TARGETS
from edge_ad.cli import main
from edge_ad.errors import InputError, OutputError, SignatureError
from edge_ad_deploy.keys import PASSPHRASE, KeyFolder
from edge_ad_deploy.signing import _use_up, sign_bundle

NOW = datetime.now(timezone.utc)


def later(days: float) -> datetime:
    return NOW + timedelta(days=days)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder.create(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path, keys: KeyFolder) -> TrustStore:
    return TrustStore.create(tmp_path / "store", keys.folder / "root.json")


def take(store: TrustStore, path: Path, now: datetime | None = None) -> None:
    bundle = Bundle.open(path)
    store.remember(bundle, store.check(bundle), now)


def refusal(store: TrustStore, bundle: Path, now: datetime | None = None) -> str:
    with pytest.raises(SignatureError) as caught:
        store.check(Bundle.open(bundle), now)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_a_signed_bundle_is_taken(tiny_bundle: Path, keys: KeyFolder, store: TrustStore) -> None:
    assert sign_bundle(tiny_bundle, keys) == 1
    signed = store.check(Bundle.open(tiny_bundle))
    assert (signed.serial, signed.signed_by, signed.root) == (1, tuple(keys.signing_keys), 1)


def test_the_signature_travels_in_a_zip_file_and_back(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    sign_bundle(tiny_bundle, keys)
    packed = pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip")
    assert store.check(Bundle.open(packed)).serial == 1
    unpacked = unpack(Bundle.open(packed), tmp_path / "unpacked").path
    assert store.check(Bundle.open(unpacked)).serial == 1
    assert (unpacked / MANIFEST).read_bytes() == (tiny_bundle / MANIFEST).read_bytes()


def test_an_unsigned_bundle_is_refused(tiny_bundle: Path, store: TrustStore) -> None:
    assert "is not signed" in refusal(store, tiny_bundle)


def test_a_signature_of_strange_keys_is_refused(tiny_bundle: Path, store: TrustStore, tmp_path: Path) -> None:
    sign_bundle(tiny_bundle, KeyFolder.create(tmp_path / "strange"))
    assert "signed by no key that this device trusts" in refusal(store, tiny_bundle)


def test_the_signature_of_another_bundle_is_refused(tiny_bundle: Path, keys: KeyFolder, store: TrustStore) -> None:
    sign_bundle(tiny_bundle, keys)
    data = json.loads((tiny_bundle / TARGETS).read_bytes())
    data["signed"]["targets"]["manifest.json"]["custom"]["edge-ad"]["bundle"] = "other"
    (tiny_bundle / TARGETS).write_text(json.dumps(data))
    assert "signed by no key" in refusal(store, tiny_bundle)


def test_a_changed_manifest_is_refused_though_it_is_sealed(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    from edge_ad.bundle.seal import sealed_json

    sign_bundle(tiny_bundle, keys)
    manifest = Bundle.open(tiny_bundle).manifest
    manifest.provenance["note"] = "changed"
    (tiny_bundle / MANIFEST).write_bytes(sealed_json(manifest))
    assert "changed after it was signed" in refusal(store, tiny_bundle)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"signed": {}, "signatures": []}', b"[" * 10_000, b"\xff\xfe"])
def test_garbage_is_refused(tiny_bundle: Path, keys: KeyFolder, store: TrustStore, data: bytes) -> None:
    sign_bundle(tiny_bundle, keys)
    (tiny_bundle / TARGETS).write_bytes(data)
    assert "damaged" in refusal(store, tiny_bundle)


def test_a_root_in_the_place_of_targets_is_refused(tiny_bundle: Path, keys: KeyFolder, store: TrustStore) -> None:
    sign_bundle(tiny_bundle, keys)
    shutil.copy(keys.folder / "root.json", tiny_bundle / TARGETS)
    assert "expected metadata of the type targets" in refusal(store, tiny_bundle)


def test_an_expired_signature_and_expired_keys_are_told_apart(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore
) -> None:
    sign_bundle(tiny_bundle, keys, days=10)
    store.check(Bundle.open(tiny_bundle), later(9))
    assert "signature of" in refusal(store, tiny_bundle, later(11))
    assert "keys for" in refusal(store, tiny_bundle, later(4_000))


def test_a_clock_at_1970_does_not_bring_an_expired_signature_back(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore
) -> None:
    sign_bundle(tiny_bundle, keys, days=10)
    take(store, tiny_bundle, later(20))
    assert "expired" in refusal(store, tiny_bundle, datetime(1970, 1, 1, tzinfo=timezone.utc))


def test_an_older_bundle_is_refused_unless_a_statement_allows_it(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(tiny_bundle, tmp_path / "old"))
    sign_bundle(old, keys)
    sign_bundle(tiny_bundle, keys)
    store.check(Bundle.open(old))
    take(store, tiny_bundle)
    assert "older than what this device has taken: its serial is 1, taken was 2" in refusal(store, old)
    sign_bundle(old, keys, replaces=2)
    take(store, old)
    store.check(Bundle.open(tiny_bundle))


def test_a_statement_does_not_allow_going_back_from_a_later_one(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(tiny_bundle, tmp_path / "old"))
    sign_bundle(old, keys, replaces=2)
    for _ in range(3):
        sign_bundle(tiny_bundle, keys)
    take(store, tiny_bundle)
    assert "taken was 4" in refusal(store, old)


def test_a_new_key_is_good_beside_the_old_one_until_that_is_revoked(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore
) -> None:
    (first,) = keys.signing_keys
    both = keys.add_key()
    sign_bundle(tiny_bundle, both)
    assert len(store.check(Bundle.open(tiny_bundle)).signed_by) == 2
    rotated = both.revoke(first)
    sign_bundle(tiny_bundle, rotated)
    signed = store.check(Bundle.open(tiny_bundle))
    assert (signed.root, signed.signed_by) == (3, tuple(rotated.signing_keys))
    assert first not in signed.signed_by


def test_a_revoked_key_is_refused_once_the_new_root_was_seen(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    stolen = KeyFolder(Path(shutil.copytree(keys.folder, tmp_path / "stolen")))
    rotated = keys.add_key().revoke(keys.signing_keys[0])
    sign_bundle(tiny_bundle, rotated)
    take(store, tiny_bundle)
    attack = Path(shutil.copytree(tiny_bundle, tmp_path / "attack"))
    shutil.rmtree(attack / "signature")
    sign_bundle(attack, stolen, serial=99)
    for one in (store, TrustStore(store.folder)):
        assert "signed by no key" in refusal(one, attack)


def test_a_new_root_key_is_believed_when_the_old_one_signed_it(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore
) -> None:
    sign_bundle(tiny_bundle, keys.replace_root_key().renew())
    assert store.check(Bundle.open(tiny_bundle)).root == 3


def test_a_root_that_the_trusted_one_has_not_signed_is_refused(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    strange = KeyFolder.create(tmp_path / "strange").add_key()
    sign_bundle(tiny_bundle, strange)
    assert "have not signed it" in refusal(store, tiny_bundle)


def test_a_damaged_bundle_is_not_signed(tiny_bundle: Path, keys: KeyFolder) -> None:
    name = next(name for name in Bundle.open(tiny_bundle).manifest.files if name.endswith(".onnx"))
    (tiny_bundle / name).write_bytes(b"changed")
    with pytest.raises(Exception, match="was changed"):
        sign_bundle(tiny_bundle, keys)
    assert not (tiny_bundle / TARGETS).exists()


def test_a_serial_is_never_given_twice(tiny_bundle: Path, keys: KeyFolder) -> None:
    assert sign_bundle(tiny_bundle, keys, serial=7) == 7
    with pytest.raises(InputError, match="signed with 7 already"):
        sign_bundle(tiny_bundle, keys, serial=7)
    assert sign_bundle(tiny_bundle, keys) == 8
    with pytest.raises(InputError, match="larger than a device can remember"):
        sign_bundle(tiny_bundle, keys, serial=2**63)


def test_two_who_sign_at_once_get_serials_of_their_own(tiny_bundle: Path, keys: KeyFolder) -> None:
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: _use_up(keys.folder, "tiny", None), range(20)))
    assert sorted(given) == list(range(1, 21))


def test_signed_by_other_keys_before_it_is_taken(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, tmp_path: Path
) -> None:
    sign_bundle(tiny_bundle, KeyFolder.create(tmp_path / "strange").renew().renew())
    sign_bundle(tiny_bundle, keys)
    assert store.check(Bundle.open(tiny_bundle)).root == 1


def test_expired_keys_sign_nothing(tiny_bundle: Path, keys: KeyFolder) -> None:
    keys.root.expires = later(-1)
    with pytest.raises(InputError, match=r"expired on .* --renew"):
        sign_bundle(tiny_bundle, keys)
    assert not (tiny_bundle / TARGETS).exists()


@pytest.mark.parametrize("latest", ["garbage", "2026-01-01", "2026-01-01T00:00:00"])
def test_a_damaged_memory_of_the_store_is_one_line(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, latest: str
) -> None:
    sign_bundle(tiny_bundle, keys)
    (store.folder / "seen.json").write_text(json.dumps({"serials": {}, "latest": latest}))
    assert "seen.json is damaged" in refusal(store, tiny_bundle)


def test_keys_whose_root_was_lost_are_not_replaced(keys: KeyFolder) -> None:
    whole = keys.renew()
    before = (whole.folder / "root.json").read_bytes()
    (whole.folder / "root.json").unlink()
    for make in (KeyFolder.create, KeyFolder):
        with pytest.raises(InputError, match=r"copy .*/2\.root\.json to .*/root\.json"):
            make(whole.folder)
    assert (whole.folder / "2.root.json").read_bytes() == before


def test_a_full_disk_leaves_no_keys(tmp_path: Path) -> None:
    with disk_of(200), pytest.raises(OutputError):
        KeyFolder.create(tmp_path / "k")
    assert list((tmp_path / "k").iterdir()) == []


def test_private_keys_are_for_their_owner_alone_and_encrypted_where_asked(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "secret")
    folder = KeyFolder.create(tmp_path / "k")
    for path in folder.folder.glob("*.pem"):
        assert path.stat().st_mode & 0o077 == 0
        assert b"ENCRYPTED" in path.read_bytes()
    sign_bundle(tiny_bundle, folder)
    for wrong, said in (("", "is encrypted"), ("other", "cannot be opened")):
        monkeypatch.setenv(PASSPHRASE, wrong)
        with pytest.raises(InputError, match=said):
            sign_bundle(tiny_bundle, folder)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def test_the_commands_from_key_to_device(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = str(tiny_bundle)
    assert run("keys", "keys")[0] == 0
    assert run("trust", "store", "keys/root.json")[0] == 0
    code, said = run("verify", bundle, "--trust", "store")
    assert (code, "not signed" in said) == (3, True)
    assert run("sign", bundle, "--keys", "keys")[0] == 0
    code, said = run("verify", bundle, "--trust", "store")
    assert (code, "signed with the serial 1" in said) == (0, True)
    code, said = run("verify", bundle, "--trust", "store", "--json")
    assert json.loads(said)["signature"]["serial"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "keys"), "holds keys already"),
        (("keys", "none", "--renew"), "holds no keys"),
        (("keys", "keys", "--renew", "--add"), "expected one of"),
        (("keys", "keys", "--revoke", "zz"), "names 0 signing keys"),
        (("keys", "keys", "--revoke", ""), "only signing key"),
        (("keys", "new", "--days", "3000000"), "'--days': 3000000 is not in the range"),
        (("sign", "tiny", "--keys", "keys", "--days", "3000000"), "'--days': 3000000 is not in the range"),
        (("trust", "store2", "store/seen.json"), "cannot be read"),
        (("verify", "tiny", "--trust", "none"), "cannot be read"),
    ],
)
def test_wrong_use_has_one_line(
    tiny_bundle: Path,
    keys: KeyFolder,
    store: TrustStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = run(*arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output


def test_no_byte_of_a_signature_can_be_changed_unnoticed(
    tiny_bundle: Path, keys: KeyFolder, store: TrustStore, rng_bytes: Callable[[int], list[int]]
) -> None:
    sign_bundle(tiny_bundle, keys)
    path = tiny_bundle / TARGETS
    whole = json.loads(path.read_bytes())
    data = json.dumps(whole).encode()
    for place in rng_bytes(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        try:
            same = json.loads(bytes(changed)) == whole
        except ValueError:
            same = False
        assert not same
        with pytest.raises(SignatureError):
            store.check(Bundle.open(tiny_bundle))


@pytest.fixture
def rng_bytes() -> Callable[[int], list[int]]:
    return lambda count: list(range(0, count, 7))


OPENSSL = shutil.which("openssl") or ""


def openssl_says(package: Path, public_key: Path, signature: Path) -> bool:
    """The command of docs/package.md."""
    page = (DOCS / "package.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ (openssl pkeyutl .*)$", page, re.MULTILINE)
    words = [
        {"KEY.pub.pem": public_key, "edge-ad.deb": package, "edge-ad.deb.KEY.sig": signature}.get(one, one)
        for one in line.split()
    ]
    done = subprocess.run([OPENSSL, *map(str, words[1:])], capture_output=True, text=True, check=False)
    return (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n")


@pytest.mark.skipif(not OPENSSL, reason="openssl is not on this machine")
def test_a_package_is_signed_so_that_openssl_can_check_it(keys: KeyFolder, tmp_path: Path) -> None:
    package = tmp_path / "edge-ad.deb"
    package.write_bytes(b"!<arch>\ndebian-binary   and so on")
    keys.add_key()
    result = CliRunner().invoke(main, ["sign", str(package), "--keys", str(keys.folder)])
    assert result.exit_code == 0, result.output
    signatures = sorted(tmp_path.glob("edge-ad.deb.*.sig"))
    assert len(signatures) == 2
    publics = [keys.folder / f"{one.name.split('.')[2]}.pub.pem" for one in signatures]
    assert result.stdout.count("to be checked with") == 2
    assert [openssl_says(package, *pair) for pair in zip(publics, signatures, strict=True)] == [True, True]
    assert not openssl_says(package, publics[0], signatures[1])
    package.write_bytes(package.read_bytes() + b"!")
    assert not openssl_says(package, publics[0], signatures[0])


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        pytest.param(None, [], "cannot be read: No such file", id="missing"),
        pytest.param(b"PK", [], "expected a Debian package, found something else", id="no-package"),
        pytest.param(b"!<arch>\ndebian-binary", ["--days", "3"], "--days: the signature of a package has", id="days"),
        pytest.param(b"!<arch>\ndebian-binary", ["--serial", "3"], "--serial: the signature of a", id="serial"),
    ],
)
def test_what_is_no_package_is_not_signed(
    keys: KeyFolder, tmp_path: Path, content: bytes | None, options: list[str], said: str
) -> None:
    package = tmp_path / "edge-ad.deb"
    if content is not None:
        package.write_bytes(content)
    result = CliRunner().invoke(main, ["sign", str(package), "--keys", str(keys.folder), *options])
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, said in line) == (2, True), line
    assert not list(tmp_path.glob("*.sig"))
