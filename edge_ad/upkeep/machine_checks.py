"""What a machine says of itself in ``/proc``, ``/sys`` and ``/dev``, and what it means for a station.

``root``: the root of these trees, so that a test can bring a machine along.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Check", "clock_is_synchronised", "machine_checks"]

Level = Literal["OK", "WARN", "FAIL"]

# Instructions that multiply int8 numbers, the quickest first, and what they are called.
_INT8 = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "i8mm": "I8MM",
    "asimddp": "dot product",
}
_SHOWN = (*_INT8, "avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimdhp", "bf16", "sve")
# The bits of the firmware of a Raspberry Pi.
_PI_NOW = {0: "the supply voltage is too low", 1: "the clock is limited", 2: "the CPU is throttled", 3: "it is too hot"}
_HOT_C, _TOO_HOT_C = 80.0, 95.0
_FIRST_YEAR_S = 1_735_689_600.0  # 2025: an earlier time is that of a clock without a battery


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. ``advice``: what to do, where something is to be done."""

    name: str
    level: Level
    detail: str
    advice: str | None = None


def machine_checks(root: Path = Path("/"), *, now: float, is_synchronised: bool | None) -> list[Check]:
    """CPU, clock, governor, temperature and video devices.

    ``now``: seconds since the epoch. ``is_synchronised``: see :func:`clock_is_synchronised`.
    """
    return [
        _cpu(root),
        _clock(now, is_synchronised),
        *_governor(root),
        *_temperature(root),
        _throttling(root),
        *_cameras(root),
    ]


def clock_is_synchronised() -> bool | None:
    """Whether something keeps the clock right, as the kernel says; ``None`` where it does not say."""
    state = ctypes.create_string_buffer(512)  # a struct timex, zero: only asked
    try:
        answer = int(ctypes.CDLL(None).adjtimex(state))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != 5  # TIME_ERROR


def _cpu(root: Path) -> Check:
    text = _read(root / "proc/cpuinfo")
    lines = dict(reversed([_split(line) for line in text.splitlines() if ":" in line]))
    flags = set(lines.get("flags", lines.get("Features", "")).split())
    name = lines.get("model name") or lines.get("Model") or platform.machine()
    quick = [label for flag, label in _INT8.items() if flag in flags]
    has = " ".join(flag for flag in _SHOWN if flag in flags) or "none of the instructions that matter here"
    if quick:
        return Check(name="cpu", level="OK", detail=f"{name}: {has}; int8 variants gain from {quick[0]}")
    return Check(
        name="cpu",
        level="WARN",
        detail=f"{name}: {has}; no instructions for int8",
        advice="int8 variants may be slower than float here: compare them with  edge-ad bench BUNDLE --variant ID",
    )


def _clock(now: float, is_synchronised: bool | None) -> Check:
    if now < _FIRST_YEAR_S:
        advice = "verdicts and evidence carry this time: set the clock, or wait for time-sync.target in the unit"
        return Check(name="clock", level="FAIL", detail="the clock is years behind", advice=advice)
    if is_synchronised is None:
        return Check(name="clock", level="OK", detail="the kernel does not say whether it is synchronised")
    if is_synchronised:
        return Check(name="clock", level="OK", detail="synchronised")
    advice = "verdicts and evidence carry its time: run chrony or systemd-timesyncd"
    return Check(name="clock", level="WARN", detail="not synchronised", advice=advice)


def _governor(root: Path) -> Iterable[Check]:
    found = {_read(one).strip() for one in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")}
    found.discard("")
    if not found:
        return [Check(name="governor", level="OK", detail="the clock of the CPU is not governed here")]
    names = ", ".join(sorted(found))
    if found == {"performance"}:
        return [Check(name="governor", level="OK", detail=names)]
    advice = "the first frames after a pause are slower: cpupower frequency-set -g performance"
    return [Check(name="governor", level="WARN", detail=names, advice=advice)]


def _temperature(root: Path) -> Iterable[Check]:
    found = {}
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        said = _read(zone / "temp").strip()
        if said.lstrip("-").isdigit():
            found[_read(zone / "type").strip() or zone.name] = int(said) / 1000
    if not found:
        return [Check(name="temperature", level="OK", detail="no sensor")]
    name, most = max(found.items(), key=lambda one: one[1])
    detail = f"{most:.0f} °C at the hottest sensor, {name}"
    if most < _HOT_C:
        return [Check(name="temperature", level="OK", detail=detail)]
    level: Level = "FAIL" if most >= _TOO_HOT_C else "WARN"
    return [Check(name="temperature", level=level, detail=detail, advice="cool it: a hot CPU lowers its clock")]


def _throttling(root: Path) -> Check:
    counts = [
        int(said)
        for one in root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        if (said := _read(one).strip()).isdigit()
    ]
    firmware = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled").strip()
    advice = "verdicts come late when this happens: cool the device, or give it a stronger supply"
    if firmware:
        bits = int(firmware, 16)
        now = [text for bit, text in _PI_NOW.items() if bits >> bit & 1]
        before = [text for bit, text in _PI_NOW.items() if bits >> (bit + 16) & 1]
        if now:
            return Check(name="throttling", level="FAIL", detail=f"now: {', '.join(now)}", advice=advice)
        if before:
            return Check(name="throttling", level="WARN", detail=f"since the boot: {', '.join(before)}", advice=advice)
    if sum(counts):
        detail = f"the CPU was throttled {sum(counts)} times since the boot"
        return Check(name="throttling", level="WARN", detail=detail, advice=advice)
    return Check(name="throttling", level="OK", detail="none" if counts or firmware else "not told by this machine")


def _cameras(root: Path) -> Iterable[Check]:
    devices = sorted((root / "dev").glob("video[0-9]*"), key=lambda one: (len(one.name), one.name))
    if not devices:
        return [Check(name="cameras", level="OK", detail="no /dev/video*: only cameras in a network, or none")]
    shut = [f"/dev/{one.name}" for one in devices if not os.access(one, os.R_OK | os.W_OK)]
    if shut:
        advice = "add the user to the group video, or install the udev rules of firmware_notes/systemd"
        return [Check(name="cameras", level="FAIL", detail=f"no permission for {', '.join(shut)}", advice=advice)]
    return [Check(name="cameras", level="OK", detail=", ".join(f"/dev/{one.name}" for one in devices))]


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _read(path: Path) -> str:
    """The text of a file of the kernel; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
