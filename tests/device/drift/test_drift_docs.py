"""docs/drift.md: nothing missing, and its figures are what is measured."""

from __future__ import annotations

import re

import pytest
from support.paths import DOCS as DOCS_FOLDER

from benchmarks.drift import NORMALS, SHIFTS, median_delay
from edge_ad.cli.score import score
from edge_ad.verdict import Drift, DriftState, FrameStatistics

DOC = (DOCS_FOLDER / "drift.md").read_text()


def test_every_option_stands_there() -> None:
    options = {name for parameter in score.params for name in (*parameter.opts, *parameter.secondary_opts)}
    about = {name for name in options if name.startswith(("--drift", "--no-drift", "--keep", "--defect"))}
    assert len(about) == 9
    assert about - {"--drift"} == set(re.findall(r"`(--(?:no-drift|drift|keep|defect)[a-z-]*)", DOC))


@pytest.mark.parametrize("record", [Drift, FrameStatistics])
def test_every_field_stands_there(record: type[Drift] | type[FrameStatistics]) -> None:
    assert {name for name in record.__struct_fields__ if f"`{name}`" not in DOC} == set()


def test_every_state_stands_there() -> None:
    assert {state.value for state in DriftState if f"| `{state.value}` |" not in DOC} == set()


@pytest.mark.slow
def test_the_delays_are_those_measured() -> None:
    rows = re.findall(r"^\| ([\d,]+) \|(.*)\|$", DOC, re.MULTILINE)
    stated = {number(normals): [number(cell) for cell in cells.split("|")] for normals, cells in rows}
    assert stated == {normals: [median_delay(normals, shift) for shift in SHIFTS] for normals in NORMALS}


def number(cell: str) -> int:
    return int(cell.replace(",", ""))
