"""What is said of a CPU."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

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


def test_the_question_forks_no_process_that_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    forks = list[str]()
    monkeypatch.setattr("os.fork", lambda: forks.append("fork"))
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", lambda _self: forks.append("process"))

    found = describe_cpu.__wrapped__()

    assert (found.model, forks) == (describe_cpu().model, [])


def test_a_machine_that_does_not_answer_is_named_by_its_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    assert describe_cpu.__wrapped__() == Cpu(platform.machine(), ())
