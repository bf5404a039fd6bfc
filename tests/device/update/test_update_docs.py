"""docs/update.md: its diagram is the table of steps, and every key and step stands there."""

from __future__ import annotations

import re

from support.paths import DOCS

from edge_ad.update import FOLLOWING, ChallengeSettings, Step, UpdateSettings

PAGE = (DOCS / "update.md").read_text(encoding="utf-8")


def test_the_diagram_is_the_table() -> None:
    moves = [(before.value if before else "[*]", after.value) for before, all_ in FOLLOWING.items() for after in all_]
    ends = [(one.value, "[*]") for one in Step if one not in FOLLOWING]
    drawn = "\n".join(f"    {before} --> {after}" for before, after in [*moves, *ends])
    assert f"```mermaid\nstateDiagram-v2\n{drawn}\n```" in PAGE


def test_every_step_has_a_row_and_every_key_is_explained() -> None:
    rows = re.findall(r"^\| `([A-Z]+)` \|", PAGE, re.MULTILINE)
    assert rows == ["STAGED", "CHECKED", "SWITCHED", "WATCHED", "KEPT"]
    keys = [*UpdateSettings.__struct_fields__, *ChallengeSettings.__struct_fields__]
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_the_defaults_are_those_of_the_page() -> None:
    usual = UpdateSettings(folder="updates")
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    assert told["watch_parts"] == f"{usual.watch_parts}"
    assert told["allowed_percent"] == f"{usual.allowed_percent:g}"
    assert told["drift"] == f'`"{usual.drift}"`'
