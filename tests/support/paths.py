"""Where the project's files lie."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "ROOT", "TESTS"]

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
