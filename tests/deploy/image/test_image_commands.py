"""``edge-ad image`` and ``edge-ad image-update``: what they refuse, and the parts that need no root and no network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_ad.cli import main
from edge_ad_deploy.image import SystemUpdateRequest, build_update
from edge_ad_deploy.image.disk import assemble, make_data
from edge_ad_deploy.image.layout import MIB, DiskLayout
from edge_ad_deploy.image.root import RootRequest, build_root, system_config

SMALL = DiskLayout(esp_mib=1, slot_mib=8, data_mib=64)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "edge-ad.deb").write_bytes(b"!<arch>\ndebian-binary   ")
    (tmp_path / "other.deb").write_bytes(b"something else")
    os.mkfifo(tmp_path / "pipe.deb")
    (tmp_path / "update.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "update.key").write_text("-----BEGIN PRIVATE KEY-----\n")
    return tmp_path


def said(*given: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(given))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--image-version": "v1"}, "--image-version v1: expected a digit first"),
        ({"-o": "out.iso"}, "expected a name that ends with .img"),
        ({"--package": "edge-ad.whl"}, "expected the .deb that edge-ad package has written"),
        ({"--keyring": "update.key"}, "expected a certificate (PEM) without a private key"),
        ({"--provision": "."}, "expected a folder with stations/NAME/station.toml"),
        ({"--compatible": "a b"}, "--compatible a b: expected letters"),
        ({"--package": "pipe.deb"}, "expected the .deb that edge-ad package has written"),
        ({"--package": "other.deb"}, "expected the .deb that edge-ad package has written"),
        ({"--keyring": "pipe.deb"}, "expected a certificate (PEM) without a private key"),
        ({"--kernel-option": "quiet; rm"}, "--kernel-option quiet; rm: expected one word"),
        ({"--slot-mb": "99999999"}, "99999999 is not in the range 64<=x<=16384"),
        ({"--data-mb": "99999999"}, "99999999 is not in the range 64<=x<=1048576"),
    ],
    ids=[
        "version",
        "output",
        "package",
        "keyring",
        "provision",
        "compatible",
        "pipe",
        "no-package",
        "keyring-pipe",
        "kernel-option",
        "slot",
        "data",
    ],
)
def test_what_an_image_refuses(files: Path, changed: dict[str, str], message: str) -> None:
    places = {"--package": "edge-ad.deb", "--keyring": "update.pem", "-o": "out.img", "--image-version": "1"}
    given = {**places, **changed}
    paths = {"--package", "--keyring", "-o", "--provision"}
    words = [word for name, text in given.items() for word in (name, str(files / text) if name in paths else text)]
    code, text = said("image", *words)
    assert code == 2
    assert message in " ".join(text.split())
    assert not (files / "out.img").exists()


def test_missing_programs_are_named_with_their_packages(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name in {"sgdisk", "mcopy", "mmd"} else name)
    words = ["--package", str(files / "edge-ad.deb"), "--keyring", str(files / "update.pem"), "--image-version", "1"]
    code, text = said("image", *words, "-o", str(files / "out.img"))
    assert code == 2
    assert "sgdisk, mmd, mcopy not found on this machine: apt-get install gdisk mtools" in " ".join(text.split())


def test_an_update_of_a_pipe_is_refused(files: Path) -> None:
    words = ["--certificate", str(files / "update.pem"), "--key", str(files / "update.key")]
    code, text = said("image-update", str(files / "pipe.deb"), *words, "-o", str(files / "out.raucb"))
    assert code == 2
    assert "found no file" in text or "not found on this machine" in text


def test_a_wrong_version_is_named_by_its_option(files: Path) -> None:
    words = ["--certificate", str(files / "update.pem"), "--key", str(files / "update.key"), "--replaces", "v1"]
    code, text = said("image-update", str(files / "some.img"), *words, "-o", str(files / "out.raucb"))
    assert (code, "--replaces v1: expected a digit first" in text) == (2, True), text


def test_an_update_needs_an_image(files: Path) -> None:
    words = ["--certificate", str(files / "update.pem"), "--key", str(files / "update.key")]
    (files / "some.img").write_bytes(bytes(4096))
    code, text = said("image-update", str(files / "some.img"), *words, "-o", str(files / "out.raucb"))
    assert code == 2
    assert "found no partition table" in text or "not found on this machine" in text
    assert not (files / "out.raucb").exists()


def need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this machine")


def made_image(folder: Path) -> Path:
    """A small image with a root that says its version; no system is in it."""
    root = folder / "root"
    (root / "usr/lib/edge-ad").mkdir(parents=True)
    (root / "etc/rauc").mkdir(parents=True)
    (root / "usr/lib/edge-ad/image-version").write_text("7\n")
    (root / "etc/rauc/system.conf").write_text(system_config("line-box"))
    squashed, image = folder / "root.squashfs", folder / "image.img"
    subprocess.run(["mksquashfs", root, squashed, "-quiet", "-no-progress"], check=True, capture_output=True)  # noqa: S607
    (folder / "work").mkdir()
    assemble(SMALL, {2: squashed, 4: make_data(SMALL, folder / "work")}, image)
    return image


def test_each_long_step_is_told_before_it_begins(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def run(command: Sequence[str | Path], **_: object) -> str:
        (files / "work/root").mkdir(exist_ok=True)
        happened.append(str(command[0]))
        return ""

    monkeypatch.setattr("edge_ad_deploy.image.root.run_tool", run)
    (files / "work").mkdir()
    package, keyring = files / "edge-ad.deb", files / "update.pem"
    asked = RootRequest(package=package, keyring=keyring, version="1", compatible="line-box")
    build_root(asked, files / "work", happened.append)
    assert happened == [
        "Debian and the package are fetched and installed; this takes longest",
        "mmdebstrap",
        "the system is packed for its slot",
        "mksquashfs",
    ]


def test_each_part_lies_where_the_table_says(tmp_path: Path) -> None:
    need("sgdisk", "mksquashfs", "mkfs.ext4")
    image = made_image(tmp_path)
    listed = subprocess.run(["/usr/sbin/sgdisk", "--print", image], check=True, capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in listed.splitlines()[-4:]] == ["esp", "root-a", "root-b", "data"]
    data = image.read_bytes()
    assert len(data) == SMALL.size
    assert data[2 * MIB : 2 * MIB + 4] == b"hsqs"
    assert data[18 * MIB + 1080 : 18 * MIB + 1082] == b"\x53\xef"


def test_an_update_is_the_root_of_its_image_signed(tmp_path: Path) -> None:
    need("sgdisk", "mksquashfs", "mkfs.ext4", "rauc", "unsquashfs", "openssl")
    pair = ["-keyout", str(tmp_path / "update.key"), "-out", str(tmp_path / "update.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", "/CN=x"]
    subprocess.run(["openssl", "req", "-x509", *curve, *pair], check=True, capture_output=True)  # noqa: S607
    built = build_update(
        SystemUpdateRequest(
            image=made_image(tmp_path),
            certificate=tmp_path / "update.pem",
            key=tmp_path / "update.key",
            output=tmp_path / "out.raucb",
            replaces="9",
        )
    )
    assert (built.version, built.compatible) == ("7", "line-box")
    info = ["rauc", "info", f"--keyring={tmp_path / 'update.pem'}", str(built.update)]
    text = subprocess.run(info, check=True, capture_output=True, text=True).stdout
    assert "Compatible: \t'line-box'" in text
    assert "verity" in text
