"""The partitions of a disk: their order, sizes and names, which image, GRUB, RAUC and systemd-repart share."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import MappingProxyType

from edge_ad.errors import InputError

__all__ = ["KERNELS", "MIB", "DiskLayout", "Partition"]

MIB = 1 << 20
KERNELS = MappingProxyType({"generic": "linux-image-amd64", "cloud": "linux-image-cloud-amd64"})
"""Debian's kernels: for any board, and the small one for virtual machines."""
_NAMESPACE = uuid.UUID("d4b7c0a6-52c1-5a8e-9d53-2f7e6c4f9b11")
_ESP, _ROOT, _LINUX = "ef00", "8304", "8300"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. ``start``, ``size``: bytes. ``kind``: as sgdisk takes it. ``label``: its name in the table."""

    number: int
    label: str
    kind: str
    start: int
    size: int

    @property
    def identity(self) -> str:
        """Its UUID, the same in every image: the kernel finds its root by it."""
        return str(uuid.uuid5(_NAMESPACE, self.label))


@dataclass(frozen=True, slots=True)
class DiskLayout:
    """The disk. Sizes in MiB; the data partition grows on the device to the end of its disk."""

    esp_mib: int = 64
    slot_mib: int = 512
    data_mib: int = 128

    @property
    def partitions(self) -> tuple[Partition, Partition, Partition, Partition]:
        """ESP, root A, root B and data, one after the other from 1 MiB on."""
        esp, slot, data = (self.esp_mib * MIB, self.slot_mib * MIB, self.data_mib * MIB)
        return (
            Partition(1, "esp", _ESP, MIB, esp),
            Partition(2, "root-a", _ROOT, MIB + esp, slot),
            Partition(3, "root-b", _ROOT, MIB + esp + slot, slot),
            Partition(4, "data", _LINUX, MIB + esp + 2 * slot, data),
        )

    @property
    def size(self) -> int:
        """Bytes of the whole image. The last MiB holds the second partition table."""
        last = self.partitions[-1]
        return last.start + last.size + MIB

    def sgdisk_options(self) -> list[str]:
        """What sgdisk is told to write the table."""
        options = ["--clear", f"--disk-guid={uuid.uuid5(_NAMESPACE, 'disk')}"]
        for one in self.partitions:
            first, last = one.start // 512, (one.start + one.size) // 512 - 1
            options += [f"--new={one.number}:{first}:{last}", f"--typecode={one.number}:{one.kind}"]
            options += [f"--change-name={one.number}:{one.label}", f"--partition-guid={one.number}:{one.identity}"]
        return options

    def check_slot(self, root_bytes: int) -> None:
        """A root has to fit its slot, with room for the next ones to grow.

        Raises:
            InputError: it does not fit.
        """
        if root_bytes > self.slot_mib * MIB:
            needed = -(-root_bytes // MIB)
            raise InputError(f"--slot-mb {self.slot_mib}: the root needs {needed} MiB, and later ones some more")
