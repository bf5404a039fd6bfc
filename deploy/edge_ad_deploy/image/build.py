"""An image from first to last: checked before anything is built, and written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_ad.errors import InputError
from edge_ad.files import check_output, check_space, output_error, part_file, read_small
from edge_ad_deploy.image.disk import assemble, make_data, make_esp
from edge_ad_deploy.image.layout import DiskLayout
from edge_ad_deploy.image.root import RootRequest, build_root
from edge_ad_deploy.image.tools import need_tools, run_tool

__all__ = ["BuiltImage", "ImageRequest", "build_image", "check_version"]

_TOOLS = (
    "mmdebstrap",
    "mksquashfs",
    "sgdisk",
    "mkfs.vfat",
    "mmd",
    "mcopy",
    "mkfs.ext4",
    "grub-mkstandalone",
    "dd",
    "zstd",
)
_ROOM_BYTES = 4e9
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~-]*")
_KERNEL_OPTION = re.compile(r"[A-Za-z0-9_.,=:/@+%*!~^-]+")  # GRUB reads them as a script
_PACKAGE_HEAD = b"!<arch>\ndebian-binary"
_COMPATIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What is asked of an image.

    ``package``: of ``edge-ad package``; ``keyring``: the certificate by which updates of the system are signed;
    ``provision``: a folder that the first boot takes stations from; ``options``: more options of the kernel.
    """

    package: Path
    keyring: Path
    output: Path
    version: str
    compatible: str = "edge-ad-amd64"
    kernel: str = "generic"
    mirror: str | None = None
    provision: Path | None = None
    layout: DiskLayout = field(default_factory=DiskLayout)
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What was written. Bytes: of the compressed image, of the image on a disk, and of the root in its slot."""

    image: Path
    compressed: Path
    compressed_bytes: int
    disk_bytes: int
    root_bytes: int


def build_image(request: ImageRequest, tell: Callable[[str], None]) -> BuiltImage:
    """Writes the image, sparse, and beside it the same compressed (``.zst``).

    ``tell`` is called before each step that takes minutes, with what is done.

    Raises:
        DeviceError: a program that builds a part failed, such as for want of a network.
        InputError: something that was given cannot be used, or a program is missing.
        OutputError: the image cannot be written.
    """
    _check(request)
    with tempfile.TemporaryDirectory(prefix="edge-ad-image-", dir=request.output.parent) as name:
        work = Path(name)
        check_space(work, _ROOM_BYTES)
        esp = make_esp(request.layout, work, request.provision, request.options)
        root = build_root(
            RootRequest(
                package=request.package.resolve(),
                keyring=request.keyring,
                version=request.version,
                compatible=request.compatible,
                kernel=request.kernel,
                mirror=request.mirror,
            ),
            work,
            tell,
        )
        request.layout.check_slot(root.stat().st_size)
        ready = work / "image"
        tell("the disk image is put together and compressed")
        assemble(request.layout, {1: esp, 2: root, 4: make_data(request.layout, work)}, ready)
        run_tool(["zstd", "-q", "-10", "-T2", ready, "-o", work / "image.zst"])
        compressed = request.output.with_name(f"{request.output.name}.zst")
        _put({compressed: work / "image.zst", request.output: ready})
        root_bytes = root.stat().st_size
    return BuiltImage(request.output, compressed, compressed.stat().st_size, request.layout.size, root_bytes)


def check_version(version: str, option: str = "--image-version") -> None:
    """Devices compare versions as Debian does.

    Raises:
        InputError: it is no such version.
    """
    if not _VERSION.fullmatch(version):
        raise InputError(f"{option} {version}: expected a digit first, then letters, digits and . + ~ -")


def _check(request: ImageRequest) -> None:
    check_version(request.version)
    if request.output.suffix != ".img":
        raise InputError(f"-o {request.output}: expected a name that ends with .img")
    check_output(request.output, "-o")
    if not _COMPATIBLE.fullmatch(request.compatible):
        raise InputError(f"--compatible {request.compatible}: expected letters, digits and . _ -")
    for word in request.options:
        if not _KERNEL_OPTION.fullmatch(word):
            raise InputError(
                f"--kernel-option {word}: expected one word, such as isolcpus=3, without spaces and quotes"
            )
    if request.package.suffix != ".deb" or not _is_package(request.package):
        raise InputError(f"--package {request.package}: expected the .deb that edge-ad package has written")
    try:
        pem = read_small(request.keyring).decode("ascii")
    except (OSError, UnicodeDecodeError):
        pem = ""
    if "-----BEGIN CERTIFICATE-----" not in pem or "PRIVATE KEY" in pem:
        raise InputError(f"--keyring {request.keyring}: expected a certificate (PEM) without a private key")
    if request.provision is not None and not (request.provision / "stations").is_dir():
        raise InputError(f"--provision {request.provision}: expected a folder with stations/NAME/station.toml")
    need_tools(_TOOLS)
    if os.geteuid() != 0:
        raise InputError("edge-ad image needs root, such as in a container: mmdebstrap makes files of other users")


def _is_package(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_PACKAGE_HEAD)) == _PACKAGE_HEAD


def _put(files: dict[Path, Path]) -> None:
    """Moves finished files to their places, the image last."""
    for place, source in files.items():
        part = part_file(place)
        try:
            shutil.move(source, part)
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise output_error(place, error) from None
