"""The root of a device: Debian, edge-ad's package and what makes a device of them, as a squashfs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_ad_deploy.image.layout import KERNELS
from edge_ad_deploy.image.tools import epoch, run_tool

__all__ = ["FILES", "PACKAGES", "RootRequest", "build_root", "system_config"]

FILES = Path(__file__).with_name("files")
PACKAGES = (
    "busybox",
    "chrony",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "grub-common",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "python3.11",
    "rauc",
    "rauc-service",
    "systemd",
    "systemd-sysv",
    "udev",
    "zstd",
)
_PROGRAMS = ("usr/lib/edge-ad/stick", "usr/lib/edge-ad/refuse-older", "usr/lib/edge-ad/bin/grub-editenv")
# What a device never reads. Licences (copyright files) stay.
_LEFT_OUT = (
    "boot/System.map-*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/grub/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/cache/debconf/*-old",
    "var/log/*.log",
    "var/log/apt/*",
)

_SYSTEM = """\
# RAUC: two slots for the root, GRUB's environment says which one starts.
[system]
compatible={compatible}
bootloader=grub
grubenv=/boot/efi/EFI/edge-ad/grubenv
bundle-formats=verity
statusfile=/data/rauc/status
mountprefix=/run/rauc

[keyring]
path=/etc/rauc/keyring.pem

[handlers]
pre-install=/usr/lib/edge-ad/refuse-older

[slot.rootfs.0]
device=/dev/disk/by-partlabel/root-a
type=raw
bootname=A

[slot.rootfs.1]
device=/dev/disk/by-partlabel/root-b
type=raw
bootname=B
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRequest:
    """What goes into a root. ``kernel``: ``generic`` or ``cloud``; ``mirror``: of Debian, for the builder alone."""

    package: Path
    keyring: Path
    version: str
    compatible: str
    kernel: str = "generic"
    mirror: str | None = None


def system_config(compatible: str) -> str:
    """RAUC's configuration of a device. ``compatible``: updates of other devices are refused by it."""
    return _SYSTEM.format(compatible=compatible)


def build_root(request: RootRequest, work: Path, tell: Callable[[str], None]) -> Path:
    """Makes the root as a squashfs file in ``work``, and returns its path. ``tell`` is called before each long step."""
    early, late, tree, image = work / "early", work / "late", work / "root", work / "root.squashfs"
    _stage(early, late, request)
    packages = ",".join((*PACKAGES, KERNELS[request.kernel]))
    environment = {"SOURCE_DATE_EPOCH": str(epoch())} if epoch() is not None else {}
    tell("Debian and the package are fetched and installed; this takes longest")
    run_tool(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--architectures=amd64",
            f"--include={packages}",
            "--aptopt=Acquire::Languages none",
            # The initramfs is made once, with these in place.
            f"--essential-hook=sync-in {early} /",
            f"--customize-hook=copy-in {request.package} /tmp",
            f'--customize-hook=chroot "$1" dpkg -i /tmp/{request.package.name}',
            f'--customize-hook=rm "$1/tmp/{request.package.name}"',
            f"--customize-hook=sync-in {late} /",
            f'--customize-hook=sh {FILES / "customize.sh"} "$1"',
            "bookworm",
            tree,
            *([request.mirror] if request.mirror else []),
        ],
        environment=environment,
    )
    times = ["-all-time", str(epoch()), "-mkfs-time", str(epoch())] if epoch() is not None else []
    left_out = [word for pattern in _LEFT_OUT for word in ("-e", pattern)]
    # gzip: GRUB reads the kernel from it, and knows no zstd; xz takes the device three times as long.
    tell("the system is packed for its slot")
    run_tool(["mksquashfs", tree, image, "-noappend", "-quiet", "-comp", "gzip", "-wildcards", *times, *left_out])
    shutil.rmtree(tree)
    return image


def _stage(early: Path, late: Path, request: RootRequest) -> None:
    """Both trees of files, with the modes that a wheel of edge-ad does not keep."""
    shutil.copytree(FILES / "initramfs", early)
    shutil.copytree(FILES / "root", late, ignore=shutil.ignore_patterns("__pycache__"))
    generated = {
        "etc/rauc/system.conf": system_config(request.compatible),
        "etc/rauc/keyring.pem": request.keyring.read_text(encoding="utf-8"),
        "usr/lib/edge-ad/image-version": f"{request.version}\n",
    }
    for place, text in generated.items():
        (late / place).parent.mkdir(parents=True, exist_ok=True)
        (late / place).write_text(text, encoding="utf-8")
    for tree in (early, late):
        for path in tree.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    scripts = early / "etc/initramfs-tools"
    for path in (
        *(scripts / "hooks").iterdir(),
        *(scripts / "scripts").rglob("edge-ad"),
        *map(late.joinpath, _PROGRAMS),
    ):
        path.chmod(0o755)
