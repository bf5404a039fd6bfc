"""A signed update of the system: the root of an image as a RAUC bundle."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_ad.errors import InputError
from edge_ad.files import check_output, output_error, part_file
from edge_ad_deploy.image.build import check_version
from edge_ad_deploy.image.tools import need_tools, run_tool

__all__ = ["BuiltUpdate", "SystemUpdateRequest", "build_update"]

_SECTOR = 512
_VERSION_FILE = "usr/lib/edge-ad/image-version"
_CONFIG_FILE = "etc/rauc/system.conf"

_MANIFEST = """\
[update]
compatible={compatible}
version={version}

[bundle]
format=verity

[image.rootfs]
filename=root.img
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemUpdateRequest:
    """What is asked of an update.

    ``certificate``, ``key``: who signs it; ``replaces``: devices with versions up to this one may go back to it.
    """

    image: Path
    certificate: Path
    key: Path
    output: Path
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class BuiltUpdate:
    """What was written, and of which version it is."""

    update: Path
    version: str
    compatible: str
    update_bytes: int


def build_update(request: SystemUpdateRequest) -> BuiltUpdate:
    """Takes the root out of an image that ``edge-ad image`` has written, and signs it.

    The format is ``verity``: a device checks each block of the root as it reads it, and its signature before.

    Raises:
        DeviceError: a program that builds a part failed.
        InputError: something that was given cannot be used, or a program is missing.
        OutputError: the update cannot be written.
    """
    _check(request)
    with tempfile.TemporaryDirectory(prefix="edge-ad-update-", dir=request.output.parent) as name:
        work = Path(name)
        content, ready = work / "content", work / "update.raucb"
        content.mkdir()
        root = content / "root.img"
        _cut_root(request.image, root)
        version, compatible = _said_by(root, work)
        (content / "version").write_text(f"{version}\n", encoding="ascii")
        if request.replaces is not None:
            (content / "replaces").write_text(f"{request.replaces}\n", encoding="ascii")
        manifest = _MANIFEST.format(compatible=compatible, version=version)
        (content / "manifest.raucm").write_text(manifest, encoding="ascii")
        signing = [f"--cert={request.certificate}", f"--key={request.key}"]
        # The root is compressed already; compressing it once more only takes time.
        run_tool(["rauc", "bundle", *signing, "--mksquashfs-args=-noD -noF", content, ready])
        part = part_file(request.output)
        try:
            shutil.move(ready, part)
            part.replace(request.output)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise output_error(request.output, error) from None
    return BuiltUpdate(request.output, version, compatible, request.output.stat().st_size)


def _check(request: SystemUpdateRequest) -> None:
    if request.output.suffix != ".raucb":
        raise InputError(f"-o {request.output}: expected a name that ends with .raucb")
    check_output(request.output, "-o")
    if request.replaces is not None:
        check_version(request.replaces, "--replaces")
    for option, path in (("--certificate", request.certificate), ("--key", request.key)):
        if not path.is_file():
            raise InputError(f"{option} {path}: expected a PEM file, found none")
    need_tools(("rauc", "mksquashfs", "unsquashfs"))


def _cut_root(image: Path, root: Path) -> None:
    """Copies the squashfs of slot A, whose place the partition table of the image says."""
    if image.exists() and not image.is_file():
        raise InputError(f"{image}: expected an image of edge-ad image, found no file")
    try:
        with image.open("rb") as file:
            file.seek(_SECTOR)
            header = file.read(_SECTOR)
            if header[:8] != b"EFI PART":
                raise InputError(f"{image}: expected an image of edge-ad image, found no partition table")
            table = int.from_bytes(header[72:80], "little") * _SECTOR
            file.seek(table + 128)
            entry = file.read(128)
            start = int.from_bytes(entry[32:40], "little") * _SECTOR
            file.seek(start)
            head = file.read(96)
            if head[:4] != b"hsqs":
                raise InputError(f"{image}: expected an image of edge-ad image, found no root in its slot A")
            size = -(-int.from_bytes(head[40:48], "little") // 4096) * 4096
            file.seek(start)
            with root.open("wb") as out:
                left = size
                while left:
                    data = file.read(min(left, 1 << 22))
                    if not data:
                        raise InputError(f"{image}: ends in the middle of its slot A")
                    out.write(data)
                    left -= len(data)
                os.fsync(out.fileno())
    except OSError as error:
        raise InputError(f"{image}: cannot be read: {error.strerror}") from None


def _said_by(root: Path, work: Path) -> tuple[str, str]:
    """The version of a root, and the name of the devices that it fits."""
    said = work / "said"
    run_tool(["unsquashfs", "-quiet", "-no-progress", "-d", said, root, _VERSION_FILE, _CONFIG_FILE])
    version = (said / _VERSION_FILE).read_text(encoding="ascii").strip()
    lines = (said / _CONFIG_FILE).read_text(encoding="utf-8").splitlines()
    compatible = next(line.partition("=")[2] for line in lines if line.startswith("compatible="))
    return version, compatible
