"""A bundle whose files are pipes, links, far too large, or packed in a way that cannot be read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_ad.bundle import MANIFEST, Bundle, calibration_name, pack
from edge_ad.bundle.signature import TARGETS, read_signature
from edge_ad.errors import BundleError, BundleFormatError, BundleIntegrityError
from edge_ad.scoring.verification import verify_bundle


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 << 30)


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


ODD = [
    pytest.param(a_pipe, "no file|a pipe", id="pipe"),
    pytest.param(a_huge_file, r"expected (at most )?\d+ bytes, found 214748364800", id="huge"),
    pytest.param(a_link_to_itself, "leads to itself", id="loop"),
    pytest.param(a_link_outside, "leads outside", id="outside"),
]


def put(bundle: Path, name: str, make: Callable[[Path], None]) -> None:
    path = bundle / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize(("make", "said"), ODD)
@pytest.mark.parametrize("name", [MANIFEST, "golden/0.png", "variants/onnx-fp32/calibration.json"])
def test_verify_refuses_an_odd_file(tiny_bundle: Path, name: str, make: Callable[[Path], None], said: str) -> None:
    put(tiny_bundle, name, make)
    with pytest.raises(BundleError, match=said):
        verify_bundle(tiny_bundle)


@pytest.mark.parametrize(("make", "said"), ODD)
def test_an_odd_signature_is_not_the_same_as_none(tiny_bundle: Path, make: Callable[[Path], None], said: str) -> None:
    put(tiny_bundle, TARGETS, make)
    with pytest.raises(BundleIntegrityError, match=said):
        read_signature(Bundle.open(tiny_bundle))


@pytest.mark.parametrize(("make", "said"), ODD)
def test_pack_takes_no_odd_calibration_along(
    tiny_bundle: Path, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    opened = Bundle.open(tiny_bundle)
    put(tiny_bundle, calibration_name(opened.variant()), make)
    with pytest.raises(BundleIntegrityError, match=said):
        pack(opened, tmp_path / "packed.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_what_was_checked_is_what_is_packed_though_the_manifest_changes(tiny_bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(tiny_bundle)
    (tiny_bundle / MANIFEST).write_bytes(b"changed meanwhile")
    packed = Bundle.open(pack(opened, tmp_path / "packed.zip"))
    assert packed.manifest_bytes == opened.manifest_bytes


def is_encrypted(data: bytearray, entry: int, flags: int, _method: int) -> None:
    data[entry + flags] |= 1


def has_an_unknown_method(data: bytearray, entry: int, _flags: int, method: int) -> None:
    data[entry + method] = 99


def damaged_entries(data: bytes, damage: Callable[[bytearray, int, int, int], None]) -> bytes:
    """Each entry of a zip file, where it lies and where it is listed, changed."""
    out = bytearray(data)
    for mark, flags, method in ((b"PK\x01\x02", 8, 10), (b"PK\x03\x04", 6, 8)):
        entry = -1
        while (entry := out.find(mark, entry + 1)) >= 0:
            damage(out, entry, flags, method)
    return bytes(out)


@pytest.mark.parametrize(
    ("damage", "said"),
    [pytest.param(is_encrypted, "encrypted", id="encrypted"), pytest.param(has_an_unknown_method, "method", id="99")],
)
def test_a_zip_that_python_cannot_read_is_refused(
    tiny_bundle: Path, tmp_path: Path, damage: Callable[[bytearray, int, int, int], None], said: str
) -> None:
    packed = pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip")
    packed.write_bytes(damaged_entries(packed.read_bytes(), damage))
    with pytest.raises(BundleFormatError, match=said):
        Bundle.open(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_stream_of_a_zip_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(MANIFEST, os.urandom(100).hex())
    data = bytearray(path.read_bytes())
    start = 30 + len(MANIFEST)
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(BundleFormatError, match="cannot be read"):
        Bundle.open(path)


def test_a_file_that_unpacks_to_more_than_any_manifest_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b" " * 100)
    archive_info = zipfile.ZipFile.getinfo

    def huge(self: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
        found = archive_info(self, name)
        found.file_size = 200 << 30
        return found

    monkeypatch.setattr(zipfile.ZipFile, "getinfo", huge)
    with pytest.raises(BundleFormatError, match="expected at most"):
        Bundle.open(path)
