"""``docs/station.md`` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from support.paths import DOCS

from edge_ad.controllers.adapter import read_settings
from edge_ad.errors import InputError
from edge_ad.link import StationState
from edge_ad.station.evidence_writer import EvidenceChoice
from edge_ad.station.kept_counts import CounterSettings
from edge_ad.station.metrics import MetricsSettings
from edge_ad.station.output_settings import OutputSettings
from edge_ad.station.parts import PartReason
from edge_ad.station.states import TRANSITIONS, StationChange, draw_states, following
from edge_ad.station.station_file import (
    InspectionSettings,
    LinkSettings,
    RecipeInspection,
    StationSettings,
    read_station_file,
)
from edge_ad.station.station_log import LogSettings
from edge_ad.station.stop_rules import StopRule
from edge_ad.station.template import find_camera, station_template

PAGE = (DOCS / "station.md").read_text(encoding="utf-8")


def test_the_diagram_is_the_table() -> None:
    assert f"```mermaid\n{draw_states()}\n```" in PAGE


@pytest.mark.parametrize(
    "table",
    [
        StationSettings,
        InspectionSettings,
        RecipeInspection,
        StopRule,
        OutputSettings,
        LinkSettings,
        EvidenceChoice,
        CounterSettings,
        MetricsSettings,
        LogSettings,
    ],
)
def test_every_key_of_the_station_file_is_explained(table: type[msgspec.Struct]) -> None:
    assert [name for name in table.__struct_fields__ if f"`{name}" not in PAGE] == []


def test_every_reason_is_explained() -> None:
    reasons = [value for name, value in vars(PartReason).items() if name.isupper()]
    assert [one for one in reasons if f"| `{one}` |" not in PAGE] == []


def test_stopping_is_the_end_and_every_state_leads_there() -> None:
    assert not [before for before, _ in TRANSITIONS if before is StationState.STOPPING]
    rest = set(StationState) - {StationState.STOPPING}
    assert {one for one in rest if following(one, StationChange.STOP) is StationState.STOPPING} == rest


@pytest.mark.parametrize("source", ["images", "/dev/video0", "rtsp://camera/1"])
def test_the_template_is_a_good_station_file(tmp_path: Path, source: str) -> None:
    (tmp_path / "images").mkdir()
    file = tmp_path / "station.toml"
    file.write_text(station_template("line-3", source, "part", "screws@1.2"))
    read = read_station_file(file)
    assert read.station.name == "line-3"
    assert read.inspect["main"].bundle == str(tmp_path / "part")


def test_what_the_template_has_as_comments_is_good_too(tmp_path: Path) -> None:
    text = station_template("line-3", "images", "part", "screws@1.2")
    assert 'bundle = "part"  # screws@1.2' in text
    offered = text[text.index("# [recipe.small]") :]
    file = tmp_path / "station.toml"
    file.write_text(text.replace(offered, re.sub("^# ", "", offered, flags=re.MULTILINE)))
    read = read_station_file(file)
    assert read.recipes == ("small", "large")
    assert read.inspections("large")["main"].bundle == str(tmp_path / "large")
    assert (read.counters is None, read.log is None, read.preview is None) == (False, False, False)
    protocol, settings = read_settings("page", read.controller["page"], tmp_path)
    protocol.check(settings)


def test_the_first_camera_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no camera in"):
        find_camera(tmp_path)
    for name in ("video10", "video2", "vcs"):
        (tmp_path / name).touch()
    assert find_camera(tmp_path) == str(tmp_path / "video2")
