"""No file of the project is longer than somebody reads at once."""

from __future__ import annotations

from support.paths import ROOT

LIMIT = 400
FOLDERS = (
    "edge_ad",
    "export",
    "calibration",
    "metrics",
    "report",
    "demo",
    "tests",
    "benchmarks",
    "docs",
    "firmware_notes",
)


def test_no_file_is_longer_than_400_lines() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    files += [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}

    assert len(lines) > 300
    assert {name: count for name, count in lines.items() if count > LIMIT} == {}
