"""Station files: what is wrong in them is named, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_ad.errors import InputError
from edge_ad.station.station_file import read_station_file, station_schema

BAD_RULE = '[stop.a]\nstate = "REJECT"\ncount = 3\nof = 2\n[station]'
SPARE_CAMERA = '[camera.side]\nsource = "0"\n[station]'
GOOD = """
[station]
name = "line-3"

[camera.top]
source = "images"

[inspect.top]
camera = "top"
bundle = "part"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "station.toml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = read_station_file(written(tmp_path, GOOD + '[output.r]\nkind = "jsonl"\npath = "out.jsonl"\n'))
    assert file.camera["top"].source == str(tmp_path / "images")
    assert file.inspect["top"].bundle == str(tmp_path / "part")
    assert file.output["r"].path == str(tmp_path / "out.jsonl")


def test_recipes_change_what_they_name_alone(tmp_path: Path) -> None:
    recipes = '[recipe.red]\n[recipe.blue.inspect.top]\nbundle = "blue"\n'
    file = read_station_file(written(tmp_path, GOOD.replace('"part"', '"part"\nvariant = "onnx-int8"') + recipes))
    assert file.recipes == ("red", "blue")
    assert file.first_recipe == "red"
    assert file.inspections("red")["top"].variant == "onnx-int8"
    assert file.inspections("blue")["top"].bundle == str(tmp_path / "blue")
    assert file.inspections("blue")["top"].variant is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("source =", "sorce =", "camera.top.sorce is unknown, did you mean source?", id="misspelt-key"),
        pytest.param("[camera.top]", "[kamera.top]", "kamera is unknown, did you mean camera?", id="misspelt-table"),
        pytest.param('name = "line-3"', "", "station.name is missing", id="missing"),
        pytest.param('"line-3"', "3", 'station.name: expected text in quotes, such as "a", found 3', id="wrong-type"),
        pytest.param(
            '"line-3"', '"line-3"\ndeadline_ms = "a"', 'deadline_ms: expected a whole number, found "a"', id="text"
        ),
        pytest.param('"line-3"', '"line-3"\nreject_from = true', "expected a whole number, found true", id="yes-or-no"),
        pytest.param('"images"', '"images"\nfps = "5"', 'camera.top.fps: expected a number, found "5"', id="optional"),
        pytest.param('"line-3"', '"a b"', "station.name: expected text in quotes, such as", id="wrong-name"),
        pytest.param('camera = "top"', 'camera = "tip"', "inspect.top.camera: no 'tip' in this file", id="no-camera"),
        pytest.param(
            '"line-3"', '"line-3"\ntrigger = "link"', 'station.trigger = "link" needs a table [link]', id="no-link"
        ),
        pytest.param('"line-3"', '"l"\ntrigger = "timer"', "timer_ms and trigger", id="no-interval"),
        pytest.param('"line-3"', '"l"\nrecipe = "x"', "station.recipe: no 'x' in this file", id="no-recipe"),
        pytest.param('"images"', '"images"\ntrigger = "hardware"', "camera.top: source", id="trigger-of-a-folder"),
        pytest.param(
            '"images"', '"images"\nslots = 1', "camera.top.slots: expected a whole number >= 2, found 1", id="range"
        ),
        pytest.param("[station]", "[station", ": [station: expected ']'", id="no-toml"),
        pytest.param(
            '"images"', "/dev/video0", "source = /dev/video0: no value of TOML; text stands in quotes", id="bare"
        ),
        pytest.param(
            "[station]",
            '[stop.a]\nstate = "REJECT"\ncount = 3\nof = 2\n[station]',
            "stop.a: expected of >= count",
            id="rule",
        ),
        pytest.param(
            "[station]", '[camera.side]\nsource = "0"\n[station]', "camera.side is inspected by nothing", id="unused"
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, expected: str) -> None:
    file = written(tmp_path, GOOD.replace(before, after, 1))
    with pytest.raises(InputError) as caught:
        read_station_file(file)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_station_file(tmp_path / "none.toml")


def test_the_schema_knows_every_table() -> None:
    schema = station_schema()
    assert set(schema["$defs"]["StationFile"]["properties"]) == {  # type: ignore[index]
        "station",
        "cache",
        "counters",
        "metrics",
        "log",
        "camera",
        "inspect",
        "recipe",
        "stop",
        "output",
        "link",
        "evidence",
        "update",
        "preview",
        "drift",
        "input",
        "controller",
        "trust",
        "audit",
        "proof",
        "teaching",
    }
