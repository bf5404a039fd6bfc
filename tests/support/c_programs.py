"""Compiles the C programs of the firmware notes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT

__all__ = ["BUILDS", "SOURCES", "build", "check_sanitizers"]

SOURCES = ROOT / "firmware_notes" / "c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
BUILDS = {"plain": ["-O2"], "sanitized": ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]}


def build(target: Path, sources: list[Path], flags: list[str]) -> Path:
    """The program, compiled with all warnings; the test is skipped where the compiler or a sanitizer is missing."""
    flags = check_sanitizers(target, flags)
    done = subprocess.run(
        [str(shutil.which("cc")), *STRICT, *flags, f"-I{SOURCES}", *map(str, sources), "-o", str(target), "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return target


def check_sanitizers(target: Path, flags: list[str]) -> list[str]:
    """The flags; the test is skipped where there is no compiler, or it lacks the sanitizers that they ask for."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    if "-fsanitize=address,undefined" in flags:
        probe = target.with_suffix(".c")
        probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
        command = [compiler, *flags, str(probe), "-o", str(target)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this compiler has no sanitizers")
    return flags
