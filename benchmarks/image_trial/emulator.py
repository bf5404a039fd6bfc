"""A device in QEMU: switched on, cut off, given a stick, frozen and thawed; and its disk when it is off."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["MIB", "Disk", "Emulator", "kernel_seconds"]

_FIRMWARE = Path("/usr/share/OVMF")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MIB = 1 << 20


@dataclass(frozen=True)
class Disk:
    """A disk of a device: what was written since ``base``, apart from it."""

    path: Path

    @classmethod
    def over(cls, base: Path, path: Path, size: str | None = None) -> Disk:
        """A disk that begins as ``base``, which never changes. ``size``: another size, such as ``4G``."""
        kind = "qcow2" if base.suffix == ".qcow2" else "raw"
        backing = ["-b", str(base.resolve()), "-F", kind]
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", *backing, path, *([size] if size else [])], check=True
        )
        shutil.copyfile(_FIRMWARE / "OVMF_VARS_4M.fd", path.with_suffix(".vars"))
        return cls(path)

    @property
    def variables(self) -> Path:
        """What the firmware keeps."""
        return self.path.with_suffix(".vars")

    def copy(self, path: Path) -> Disk:
        """The same disk once more, over the same base."""
        for source, place in ((self.path, path), (self.variables, path.with_suffix(".vars"))):
            subprocess.run(["cp", "--sparse=always", source, place], check=True)
        return Disk(path)

    def part(self, start: int, size: int, place: Path) -> Path:
        """A part of the disk as a sparse file, to look into it or to damage it."""
        inside = f"driver=raw,offset={start},size={size},file.driver=qcow2,file.file.filename={self.path}"
        subprocess.run(["qemu-img", "convert", "-O", "raw", "--image-opts", inside, place], check=True)
        return place

    def put(self, start: int, size: int, source: Path) -> None:
        """Writes a part of the disk."""
        inside = f"driver=raw,offset={start},size={size},file.driver=qcow2,file.file.filename={self.path}"
        subprocess.run(["qemu-img", "convert", "-n", "-f", "raw", source, "--target-image-opts", inside], check=True)

    def size(self) -> int:
        """Bytes of the whole disk."""
        said = subprocess.run(["qemu-img", "info", "--output=json", self.path], check=True, capture_output=True)
        return int(json.loads(said.stdout)["virtual-size"])

    def remove(self) -> None:
        """Its files go."""
        self.path.unlink(missing_ok=True)
        self.variables.unlink(missing_ok=True)


@dataclass
class Emulator:
    """One run of a device. ``port``: of this machine, which leads to the station's own port 8443."""

    disk: Disk
    port: int
    stick: Path | None = None
    clock: str | None = None
    frozen: Path | None = None
    began: float = field(default=0.0, init=False)
    kernel_after: float = field(default=0.0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    def __enter__(self) -> Emulator:
        self._folder = tempfile.TemporaryDirectory(prefix="edge-ad-emulator-")
        self.began = time.monotonic()
        self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *failure: object) -> None:
        self.cut()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def folder(self) -> Path:
        """Of sockets and the serial line."""
        assert self._folder is not None
        return Path(self._folder.name)

    def _command(self) -> list[str]:
        flash = "if=pflash,format=raw"
        # The rescue address is the device's own; the emulated network leads to what DHCP gives, 10.0.2.15.
        network = f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:8443"
        options = [
            *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"),
            *("-display", "none", "-nodefaults", "-no-user-config", "-monitor", "none"),
            *("-drive", f"{flash},readonly=on,file={_FIRMWARE / 'OVMF_CODE_4M.fd'}"),
            *("-drive", f"{flash},file={self.disk.variables}"),
            *("-drive", f"if=none,id=d0,file={self.disk.path},format=qcow2,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=d0", "-device", "qemu-xhci,id=usb"),
            *("-netdev", network, "-device", "virtio-net-pci,netdev=n0"),
            *("-serial", f"file:{self.folder / 'serial'}"),
            *("-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"),
        ]
        if self.stick is not None:
            options += ["-drive", f"if=none,id=u0,file={self.stick},format=raw,readonly=on"]
            options += ["-device", "usb-storage,bus=usb.0,drive=u0,id=stick"]
        if self.clock is not None:
            options += ["-rtc", f"base={self.clock}"]
        if self.frozen is not None:
            options += ["-incoming", f"exec:cat {self.frozen}"]
        return ["qemu-system-x86_64", *options]

    def cut(self) -> None:
        """The power goes: nothing is written back."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def serial(self) -> str:
        """All that the device has said on its serial line."""
        file = self.folder / "serial"
        text = file.read_bytes().decode(errors="replace") if file.exists() else ""
        return _COLOUR.sub("", text).replace("\r", "")

    def wait_for(self, pattern: str, seconds: float, count: int = 1) -> str:
        """Waits until the serial line has said it, and returns the line.

        Raises:
            TimeoutError: it has not.
        """
        end = time.monotonic() + seconds
        while True:
            said = self.serial()
            if stamps := re.findall(r"^\[ *([0-9.]+)\] ", said, re.MULTILINE):
                late = time.monotonic() - self.began - float(stamps[-1])
                self.kernel_after = min(self.kernel_after or late, late)
            found = [match[0] for match in re.finditer(f".*(?:{pattern}).*", said)]
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > end:
                raise TimeoutError(f"the device has not said {pattern!r} within {seconds:.0f} s")
            time.sleep(0.5)

    def since_power_on(self, kernel: float) -> float:
        """Seconds since the power came, of a moment so many seconds after the kernel's start."""
        return self.kernel_after + kernel

    def freeze(self, place: Path) -> None:
        """Stops the device and writes all that it holds in memory. Its disk is whole; :meth:`thaw` lets it go on."""
        self.ask("stop")
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.ask("migrate", uri=f"exec:cat > {place}")
        while (status := self.ask("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise RuntimeError("QEMU cannot write the memory of the device")
            time.sleep(0.2)

    def thaw(self) -> None:
        """Lets a device that was frozen go on."""
        while self.ask("query-status").get("status") not in {"paused", "postmigrate"}:
            time.sleep(0.1)
        self.ask("cont")

    def written_bytes(self) -> int:
        """What the device has written to its disk since it was switched on or thawed."""
        found = self.ask("query-blockstats")
        assert isinstance(found, list)
        return int(next(one["stats"]["wr_bytes"] for one in found if one["device"] == "d0"))

    def plug_in(self, stick: Path) -> None:
        """Plugs a USB stick into the running device."""
        self.ask("blockdev-add", **{"node-name": "u0", "driver": "raw", "read-only": True, "file": {
            "driver": "file", "filename": str(stick), "read-only": True}})  # fmt: skip
        self.ask("device_add", driver="usb-storage", bus="usb.0", drive="u0", id="stick")

    def ask(self, command: str, **arguments: object) -> Any:
        """Sends a command of QMP, and returns the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            end = time.monotonic() + 60
            while True:
                try:
                    connection.connect(str(self.folder / "qmp"))
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)
            with connection.makefile("rw", encoding="utf-8") as lines:
                lines.readline()
                answer: dict[str, Any] = {}
                for name, given in (("qmp_capabilities", {}), (command, arguments)):
                    lines.write(json.dumps({"execute": name, "arguments": given}) + "\n")
                    lines.flush()
                    while "return" not in (answer := json.loads(lines.readline())):
                        if "error" in answer:
                            raise RuntimeError(f"QEMU refuses {name}: {answer['error']}")
        return answer["return"]


def kernel_seconds(serial: str, pattern: str) -> float:
    """How long after the kernel's start the last line came that fits the pattern."""
    found = re.findall(rf"\[ *([0-9.]+)\] .*(?:{pattern})", serial)
    assert found, f"the device has not said {pattern!r}"
    return float(found[-1])
