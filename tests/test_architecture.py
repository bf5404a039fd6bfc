"""docs/architecture.md names every room of every package, in the order in which they may import each other."""

from __future__ import annotations

import re

import pytest
from support.paths import DOCS, ROOT

PACKAGES = {
    "edge_ad": "edge_ad",
    "export/edge_ad_export": "edge_ad_export",
    "calibration/edge_ad_calibration": "edge_ad_calibration",
    "deploy/edge_ad_deploy": "edge_ad_deploy",
}


def described(folder: str) -> list[list[str]]:
    """The first cells of the package's table, row by row: the rooms that each of them names."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index(f"## `{folder}`") :].partition("\n## ")[0] + "\n"
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    return [[name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", row)] for row in rows]


def layers(package: str) -> list[list[str]]:
    """The layers of the package's import contract, the highest first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = text[text.index(f'containers = ["{package}"]') :].partition("[[")[0]
    listed = re.findall(r'"([^"]+)"', contract.partition("layers = [")[2].partition("]")[0])
    return [layer.split(" | ") for layer in listed]


@pytest.mark.parametrize(("folder", "package"), PACKAGES.items(), ids=PACKAGES.values())
def test_every_room_stands_on_the_page_in_the_order_of_the_contract(folder: str, package: str) -> None:
    rooms = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / folder).iterdir()
        if (path / "__init__.py").is_file() or path.suffix == ".py"
    } - {"__init__"}
    rows = described(folder)
    assert sorted(room for row in rows for room in row) == sorted(rooms)
    place = {room: index for index, row in enumerate(rows) for room in row}
    order = [min(place[room] for room in layer) for layer in layers(package)]
    assert order == sorted(order)
