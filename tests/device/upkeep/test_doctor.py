"""``edge-ad doctor`` on machines that are brought along, and on this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import tiny
from support.station_files import station_file, to_toml
from support.tiny_calibration import calibrate

from edge_ad.cli import main
from edge_ad.upkeep import Check
from edge_ad.upkeep.doctor import station_checks
from edge_ad.upkeep.machine_checks import machine_checks

NOW = 1_800_000_000.0
GIB = 1 << 30


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(
    root: Path, files: dict[str, str], *, now: float = NOW, is_synchronised: bool | None = True
) -> dict[str, Check]:
    machine(root, files)
    return {one.name: one for one in machine_checks(root, now=now, is_synchronised=is_synchronised)}


X86 = "model name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nmodel name\t: Some CPU\nflags\t\t: fpu\n"


@pytest.mark.parametrize(
    ("cpuinfo", "level", "expected"),
    [
        pytest.param(X86, "OK", "int8 variants gain from AVX-512 VNNI", id="vnni"),
        pytest.param(X86.replace("avx512_vnni", "amx_int8"), "OK", "gain from AMX", id="amx"),
        pytest.param(X86.replace("avx512_vnni", "avx_vnni"), "OK", "gain from AVX VNNI", id="avx-vnni"),
        pytest.param(X86.replace(" avx512_vnni", ""), "WARN", "no instructions for int8", id="avx2-only"),
        pytest.param("Features\t: fp asimd asimddp\n", "OK", "gain from dot product", id="pi-5"),
        pytest.param("Features\t: fp asimd\n", "WARN", "no instructions for int8", id="pi-4"),
        pytest.param("", "WARN", "no instructions for int8", id="nothing-is-said"),
    ],
)
def test_the_cpu_and_what_it_means_for_int8(tmp_path: Path, cpuinfo: str, level: str, expected: str) -> None:
    check = found(tmp_path, {"proc/cpuinfo": cpuinfo})["cpu"]
    assert check.level == level
    assert expected in check.detail


CPU0 = "sys/devices/system/cpu/cpu0"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
ZONE = "sys/class/thermal/thermal_zone0"


@pytest.mark.parametrize(
    ("name", "files", "level", "expected"),
    [
        pytest.param("governor", {f"{CPU0}/cpufreq/scaling_governor": "performance\n"}, "OK", "performance", id="gov"),
        pytest.param("governor", {f"{CPU0}/cpufreq/scaling_governor": "ondemand\n"}, "WARN", "ondemand", id="ondemand"),
        pytest.param("governor", {}, "OK", "not governed", id="no-governor"),
        pytest.param("temperature", {f"{ZONE}/temp": "61000\n", f"{ZONE}/type": "soc\n"}, "OK", "61 °C", id="warm"),
        pytest.param("temperature", {f"{ZONE}/temp": "84000\n"}, "WARN", "84 °C", id="hot"),
        pytest.param("temperature", {f"{ZONE}/temp": "99000\n"}, "FAIL", "99 °C", id="too-hot"),
        pytest.param("temperature", {f"{ZONE}/temp": "no\n"}, "OK", "no sensor", id="a-sensor-that-is-broken"),
        pytest.param("throttling", {FIRMWARE: "0x50005\n"}, "FAIL", "voltage is too low", id="pi-now"),
        pytest.param("throttling", {FIRMWARE: "0x40000\n"}, "WARN", "since the boot", id="pi-before"),
        pytest.param("throttling", {FIRMWARE: "0x0\n"}, "OK", "none", id="pi-never"),
        pytest.param(
            "throttling", {f"{CPU0}/thermal_throttle/core_throttle_count": "7\n"}, "WARN", "7 times", id="intel"
        ),
        pytest.param("throttling", {}, "OK", "not told", id="unknown"),
        pytest.param("cameras", {"dev/video10": "", "dev/video2": ""}, "OK", "/dev/video2, /dev/video10", id="two"),
        pytest.param("cameras", {}, "OK", "no /dev/video*", id="no-camera"),
    ],
)
def test_what_a_machine_says(tmp_path: Path, name: str, files: dict[str, str], level: str, expected: str) -> None:
    check = found(tmp_path, files)[name]
    assert (check.level, expected in check.detail) == (level, True)
    assert (check.advice is None) == (level == "OK")


@pytest.mark.parametrize(
    ("now", "is_synchronised", "level"),
    [
        pytest.param(NOW, True, "OK", id="synchronised"),
        pytest.param(NOW, None, "OK", id="not-told"),
        pytest.param(NOW, False, "WARN", id="not-synchronised"),
        pytest.param(0.0, True, "FAIL", id="1970"),
    ],
)
def test_the_clock(tmp_path: Path, now: float, is_synchronised: bool | None, level: str) -> None:
    assert found(tmp_path, {}, now=now, is_synchronised=is_synchronised)["clock"].level == level


@pytest.mark.parametrize(
    ("limit", "level", "whose"),
    [
        pytest.param("max", "OK", "of the machine", id="no-limit"),
        pytest.param(str(2 * GIB), "OK", "of the cgroup", id="enough"),
        pytest.param(str(GIB), "WARN", "of the cgroup", id="too-little"),
    ],
)
def test_the_memory_of_the_cgroup_is_compared_with_what_the_scorers_may_take(
    tmp_path: Path, limit: str, level: str, whose: str
) -> None:
    files = {
        "proc/meminfo": f"MemTotal: {8 * GIB >> 10} kB\n",
        "proc/self/cgroup": "0::/system.slice/edge-ad@a.service\n",
        "sys/fs/cgroup/system.slice/edge-ad@a.service/memory.max": f"{limit}\n",
        "sys/fs/cgroup/system.slice/memory.max": "max\n",
    }
    checks = {one.name: one for one in station_checks(station_file(), machine(tmp_path, files))}
    assert (checks["memory"].level, whose in checks["memory"].detail) == (level, True)


def test_a_camera_that_is_not_there_fails(tmp_path: Path) -> None:
    camera = {"top": {"source": "/dev/edge-ad-no-camera"}}
    checks = {one.name: one for one in station_checks(station_file(camera=camera), tmp_path)}
    assert checks["camera top"].level == "FAIL"
    assert "there is no /dev/edge-ad-no-camera" in checks["camera top"].detail


def test_evidence_that_does_not_fit_is_a_warning(tmp_path: Path) -> None:
    evidence = {"folder": str(tmp_path / "evidence"), "limit_mb": 100_000_000}
    checks = {one.name: one for one in station_checks(station_file(evidence=evidence), tmp_path)}
    assert checks["disk"].level == "WARN"


def test_the_command_looks_at_the_station(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    images = tiny.write_images(tmp_path / "images", tiny.frames(1))
    file = tmp_path / "station.toml"
    tables = {
        "station": {"name": "trial"},
        "camera": {"top": {"source": str(images)}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
    }
    file.write_text(to_toml(tables))
    done = CliRunner().invoke(main, ["doctor", str(file), "--json"])
    checks = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert checks["station"]["level"] == "OK"
    assert "onnxruntime" in checks["engines"]["detail"]
    (tiny_bundle / "manifest.json").unlink()
    done = CliRunner().invoke(main, ["doctor", str(file)])
    assert done.exit_code == 4
    assert "inspect.top" in done.stdout
    assert "checks failed" in done.stderr


def test_the_command_looks_at_each_controller(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    tables = {
        "station": {"name": "trial", "trigger": "link"},
        "link": {},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
        "controller": {
            "plc": {"protocol": "modbus"},
            "web": {"protocol": "http", "host": "0.0.0.0"},  # noqa: S104
        },
    }
    file.write_text(to_toml(tables))
    done = CliRunner().invoke(main, ["doctor", str(file), "--json"])
    checks = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert checks["controller plc"]["level"] == "OK"
    assert checks["controller web"]["level"] == "FAIL"
    assert "certificate, key, tokens missing" in checks["controller web"]["detail"]
