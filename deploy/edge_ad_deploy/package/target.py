"""The device that a package is for: its processor, its Debian, and the wheels that run there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["ARCHITECTURES", "PYTHONS", "PackageTarget"]

# Debian's name of an architecture: the machine's name in the tags of wheels.
ARCHITECTURES = MappingProxyType({"amd64": "x86_64", "arm64": "aarch64"})
# The Python of a Debian release: the minor version of that release's glibc.
PYTHONS = MappingProxyType({"3.11": 36, "3.13": 41})
_OLDEST_GLIBC = 17


@dataclass(frozen=True, slots=True)
class PackageTarget:
    """A device. ``architecture``: Debian's name. ``python``: the version of Debian's own Python, such as ``3.11``."""

    architecture: str
    python: str = "3.11"

    @property
    def machine(self) -> str:
        """The name of the processor in the tags of wheels."""
        return ARCHITECTURES[self.architecture]

    @property
    def site_packages(self) -> str:
        """Where the libraries lie on the device, without the leading slash."""
        return f"opt/edge-ad/lib/python{self.python}/site-packages"

    @property
    def lock(self) -> Path:
        """The file of the pinned wheels that comes with edge-ad."""
        return Path(__file__).with_name("locks") / f"{self.architecture}-{self.python}.txt"

    def pip_options(self) -> list[str]:
        """What pip has to be told to take the wheels of this target instead of this machine's.

        pip takes an old version silently where a tag is not listed, so every one is.
        """
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(PYTHONS[self.python], _OLDEST_GLIBC - 1, -1)]
        tags.append(f"manylinux2014_{self.machine}")
        if self.architecture == "amd64":
            tags += ["manylinux2010_x86_64", "manylinux1_x86_64"]
        platforms = [part for tag in (*tags, "any") for part in ("--platform", tag)]
        abis = [part for abi in (f"cp{self.python.replace('.', '')}", "abi3", "none") for part in ("--abi", abi)]
        return [*platforms, *abis, "--implementation", "cp", "--python-version", self.python, "--only-binary", ":all:"]

    def markers(self, extra: str = "") -> dict[str, str]:
        """The environment in which the conditions of a requirement are judged."""
        return {
            "extra": extra,
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
