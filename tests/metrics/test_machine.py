"""What is said of a CPU."""

from __future__ import annotations

import os
import platform
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge_ad_metrics import machine
from edge_ad_metrics.machine import Cpu, describe_cpu


@pytest.mark.parametrize(
    ("info", "model", "instructions"),
    [
        pytest.param(
            {"brand_raw": "Some CPU @ 2 GHz", "flags": ["amx_int8", "avx2", "avx512vnni", "avx_vnni", "zzz"]},
            "Some CPU @ 2 GHz",
            ("avx2", "avx_vnni", "amx_int8"),
            id="x86",
        ),
        pytest.param(
            {"brand_raw": "Cortex-A76", "flags": ["asimd", "asimddp", "fp"]},
            "Cortex-A76",
            ("asimd", "asimddp"),
            id="arm",
        ),
        pytest.param({}, platform.machine(), (), id="unknown"),
    ],
)
def test_a_cpu_is_described_by_what_engines_choose_by(
    info: dict[str, Any], model: str, instructions: tuple[str, ...]
) -> None:
    assert Cpu.from_info(info) == Cpu(model, instructions)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux lists its flags there")
def test_instruction_sets_are_spelled_as_linux_spells_them() -> None:
    words = set(Path("/proc/cpuinfo").read_text().split())

    assert describe_cpu().instructions == Cpu.from_info({"flags": words}).instructions


def test_the_question_forks_nothing_beside_threads_and_runs_no_file_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks = list[str]()
    monkeypatch.setattr("os.fork", lambda: forks.append("fork"))
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", lambda _self: forks.append("process"))
    for name in ("cpuinfo", "json"):
        (tmp_path / f"{name}.py").write_text("open('run', 'w')\n")
    monkeypatch.chdir(tmp_path)

    assert "cpuinfo_version" in machine._ask_cpuinfo()
    assert forks == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "model name\t: Some CPU: fast\nflags\t\t: fpu avx2 amx_int8\n\nmodel name\t: Another\nflags\t\t: fpu\n",
            Cpu("Some CPU: fast", ("avx2", "amx_int8")),
            id="x86",
        ),
        pytest.param("processor\t: 0\nFeatures\t: fp asimd\n", Cpu(platform.machine(), ("asimd",)), id="arm"),
    ],
)
def test_where_cpuinfo_fails_the_kernel_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: Cpu
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setattr(machine, "_KERNELS_ANSWER", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text)

    assert describe_cpu.__wrapped__() == expected


def test_a_machine_that_does_not_answer_is_named_by_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setattr(machine, "_KERNELS_ANSWER", tmp_path / "none")

    assert describe_cpu.__wrapped__() == Cpu(platform.machine(), ())


def test_no_answer_in_time_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    # The grandchild, as py-cpuinfo forks it, holds the pipe; it ends by the signal only.
    read, write = os.pipe()
    os.set_inheritable(write, True)
    monkeypatch.setattr(machine, "_QUESTION", "import os, signal; os.fork(); signal.pause()")
    monkeypatch.setattr(machine, "_ANSWER_S", 0.5)
    popen = subprocess.Popen
    monkeypatch.setattr("subprocess.Popen", lambda *args, **how: popen(*args, pass_fds=[write], **how))

    with pytest.raises(subprocess.TimeoutExpired):
        machine._ask_cpuinfo()

    os.close(write)
    ready, _, _ = select.select([read], [], [], 30)
    assert ready == [read]
    assert os.read(read, 1) == b""
    os.close(read)
