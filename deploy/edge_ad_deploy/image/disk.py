"""A disk image from its parts, without mounting anything."""

from __future__ import annotations

import os
from pathlib import Path

from edge_ad_deploy.image.grub import ENVIRONMENT, FRESH, MODULES, environment_block, grub_config
from edge_ad_deploy.image.layout import DiskLayout, Partition
from edge_ad_deploy.image.tools import epoch, run_tool

__all__ = ["DATA_FOLDERS", "assemble", "make_data", "make_esp"]

DATA_FOLDERS = ("edge-ad", "etc/edge-ad", "journal", "rauc", "chrony")


def make_esp(layout: DiskLayout, work: Path, provision: Path | None, options: tuple[str, ...]) -> Path:
    """The ESP: GRUB with its script inside, its environment, and what the first boot takes. Returns the file."""
    image, loader, script = work / "esp.img", work / "BOOTX64.EFI", work / "grub.cfg"
    script.write_text(grub_config(layout, options), encoding="ascii")
    run_tool(
        [
            "grub-mkstandalone",
            "--format=x86_64-efi",
            f"--output={loader}",
            f"--install-modules={' '.join(MODULES)}",
            f"--modules={' '.join(MODULES)}",
            "--locales=",
            "--fonts=",
            "--themes=",
            f"boot/grub/grub.cfg={script}",
        ]
    )
    block = work / "grubenv"
    block.write_bytes(environment_block(FRESH))
    _sparse(image, layout.partitions[0].size)
    # -i: a serial number that does not change with the time.
    run_tool(["mkfs.vfat", "-F", "32", "-n", "EDGE-AD", "-i", "ed9ead01", image])
    run_tool(["mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/EFI/edge-ad"])
    run_tool(["mcopy", "-i", image, loader, "::/EFI/BOOT/BOOTX64.EFI"])
    run_tool(["mcopy", "-i", image, block, f"::{ENVIRONMENT}"])
    if provision is not None:
        run_tool(["mcopy", "-s", "-i", image, provision, "::/edge-ad"])
    return image


def make_data(layout: DiskLayout, work: Path) -> Path:
    """The data partition with its folders. Returns the file."""
    image, tree = work / "data.img", work / "data"
    for folder in DATA_FOLDERS:
        (tree / folder).mkdir(parents=True)
    _sparse(image, layout.partitions[3].size)
    # resize_inode with room for 1024 times the size; no reserve, because nobody is root here.
    extended = ["-E", "lazy_itable_init=0,root_owner=0:0,resize=268435456", "-m", "1"]
    run_tool(["mkfs.ext4", "-q", "-L", "data", *extended, "-U", layout.partitions[3].identity, "-d", tree, image])
    return image


def assemble(layout: DiskLayout, parts: dict[int, Path], image: Path) -> None:
    """Writes the partition table and each part into its place. ``parts``: partition number to file."""
    _sparse(image, layout.size)
    run_tool(["sgdisk", *layout.sgdisk_options(), image])
    for one in layout.partitions:
        if one.number in parts:
            _put(parts[one.number], one, image)


def _put(part: Path, place: Partition, image: Path) -> None:
    where = ["bs=1M", f"seek={place.start >> 20}", "conv=notrunc,sparse"]
    run_tool(["dd", f"if={part}", f"of={image}", *where, "status=none"])


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)
    stamp = epoch()
    if stamp is not None:
        os.utime(path, (stamp, stamp))
