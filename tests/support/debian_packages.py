"""Debian packages of devices for tests: made from tiny wheels without a registry, and read back with dpkg-deb."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from edge_ad_deploy.package import Lock, PackageTarget, Pin

LIBRARIES = {"numpy": "2.0", "protobuf": "7.0", "onnxruntime": "1.20"}
"""The tiny wheels by name and version."""

DPKG_DEB = shutil.which("dpkg-deb") or ""

needs_dpkg = pytest.mark.skipif(not DPKG_DEB, reason="dpkg-deb is not on this machine")


def write_wheel(folder: Path, name: str, version: str, *, tag: str = "py3-none-any", text: str = "") -> Path:
    """A wheel with one module, one licence and one program. ``text``: what its module holds."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        f"{info}/licenses/LICENSE": f"The licence of {name}.\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(place, (2026, 1, 1, 0, 0, 0)), content)
    return path


def write_wheels(folder: Path, target: PackageTarget, lock: Path) -> None:
    """A folder of tiny wheels of this target, and the lock that names them."""
    pins = []
    for name, version in LIBRARIES.items():
        wheel = write_wheel(
            folder, name, version, tag=f"cp{target.python.replace('.', '')}-abi3-manylinux_2_28_{target.machine}"
        )
        wanted = ("trust",) if name == "protobuf" else ("edge-ad",)
        pins.append(Pin(name, version, hashlib.sha256(wheel.read_bytes()).hexdigest(), wanted))
    lock.write_text(Lock(tuple(pins)).text(target))


def read_package(package: Path) -> tarfile.TarFile:
    """The tree of a package."""
    data = subprocess.run([DPKG_DEB, "--fsys-tarfile", str(package)], check=True, capture_output=True).stdout
    return tarfile.open(fileobj=BytesIO(data))


def text_in(package: Path, name: str) -> str:
    """A text file of a package, by its name without the leading slash."""
    with read_package(package) as tree:
        file = tree.extractfile(f"./{name}")
        assert file is not None, name
        return file.read().decode()


def control(package: Path, folder: Path) -> dict[str, str]:
    """The control files of a package by name."""
    subprocess.run([DPKG_DEB, "--control", str(package), str(folder)], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}
