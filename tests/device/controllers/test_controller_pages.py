"""The notes on controllers show what the code has; ``EDGE_AD_WRITE_TABLES=1`` writes it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.controller_pages import PARTS, filled

from edge_ad.controllers import SignalSettings
from edge_ad.controllers.ethernet_ip import EthernetIpSettings
from edge_ad.controllers.modbus import ModbusClientSettings, ModbusServerSettings
from edge_ad.controllers.s7 import S7Settings

FOLDER = Path(__file__).parents[3] / "firmware_notes/controllers"
PAGES = ["handshake.md", "modbus.md", "s7.md", "ethernet-ip.md", "opcua.md"]


@pytest.mark.parametrize("name", PAGES)
def test_generated_parts_are_those_of_the_code(name: str) -> None:
    page = FOLDER / name
    text = page.read_text(encoding="utf-8")
    if os.environ.get("EDGE_AD_WRITE_TABLES") == "1":
        page.write_text(filled(text), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == filled(text)


def test_every_part_stands_in_a_page() -> None:
    found = {part for name in PAGES for part in re.findall(r"<!-- (.*) -->", (FOLDER / name).read_text("utf-8"))}
    assert found - {"end"} == set(PARTS)


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        ("modbus.md", ModbusServerSettings),
        ("modbus.md", ModbusClientSettings),
        ("s7.md", S7Settings),
        ("ethernet-ip.md", EthernetIpSettings),
    ],
)
def test_every_key_stands_in_its_page(page: str, settings: type[SignalSettings]) -> None:
    own = set(settings.__struct_fields__) - set(SignalSettings.__struct_fields__)
    text = (FOLDER / page).read_text(encoding="utf-8")
    assert {key for key in own if f"`{key}`" not in text} == set()


def test_the_index_names_every_page() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in FOLDER.glob("*.md")} - {"README.md"} <= set(re.findall(r"\((\S+\.md)", index))


def test_the_tests_that_the_table_of_faults_names_exist() -> None:
    page = (FOLDER.parents[1] / "docs" / "controllers.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py")]
    there = {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}
    assert len(named) > 20
    assert named - there == set()
