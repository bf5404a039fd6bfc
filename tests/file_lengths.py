"""No file of the project is longer than 400 lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 400


def main() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py", "*.md", "*.toml"], capture_output=True, text=True, check=True)  # noqa: S607
    long = {name: count for name in listed.stdout.split() if (count := _lines(Path(name))) > LIMIT}
    for name, count in long.items():
        sys.stderr.write(f"{name}: {count} lines, expected at most {LIMIT}\n")
    sys.exit(1 if long else 0)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


if __name__ == "__main__":
    main()
