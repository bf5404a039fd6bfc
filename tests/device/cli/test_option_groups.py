"""Options in groups: each default is written once, and the help of every command shows it under a heading."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge_ad.bundle import DEFAULT_STATION
from edge_ad.cli import main
from edge_ad.cli.option_groups import GroupedCommand, GroupOption, OptionGroup, Parsed, argument, command, option
from edge_ad.drift import DriftSettings, KeepLimits
from edge_ad.engines import EngineOptions
from edge_ad_calibration.evaluation.evaluate import EvaluationRequest
from edge_ad_calibration.evaluation.output import EvaluationFiles
from edge_ad_calibration.normals.exclusions import Selection
from edge_ad_calibration.request import CalibrationOutputs, CalibrationRequest
from edge_ad_calibration.thresholds.methods import ByRank
from edge_ad_export.fidelity.gate import Gate
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions
from edge_ad_export.model.imported import ImportOptions
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.request import CompareRequest, ExportRequest
from edge_ad_export.samples.geometry import GeometryOptions

COMMANDS = sorted(main.list_commands(click.Context(main)))


def load(name: str) -> GroupedCommand:
    found = main.get_command(click.Context(main), name)
    assert isinstance(found, GroupedCommand)
    return found


def read(name: str, *arguments: str) -> dict[str, Any]:
    """What the command would be called with."""
    found = load(name)
    context = found.make_context(name, list(arguments))
    with context:
        return found.read_groups(context)


EXPORT = ("export", "m.onnx", "--images", "i", "-o", "b")


@pytest.mark.parametrize(
    ("arguments", "group", "expected"),
    [
        pytest.param(EXPORT, "request", ExportRequest(Path("m.onnx"), "i", Path("b")), id="export"),
        pytest.param(EXPORT, "importing", ImportOptions(), id="import"),
        pytest.param(EXPORT, "head", HeadOptions(), id="head"),
        pytest.param(EXPORT, "clip", ClipOptions(), id="clip"),
        pytest.param(EXPORT, "extractor", None, id="extractor"),
        pytest.param(EXPORT, "geometry", GeometryOptions(), id="geometry"),
        pytest.param(EXPORT, "gate", Gate(), id="gate"),
        pytest.param(EXPORT, "shrink", Shrink(), id="shrink"),
        pytest.param(("compare", "a", "b", "--images", "i"), "request", CompareRequest("a", "b", "i"), id="compare"),
        pytest.param(("calibrate", "b"), "request", CalibrationRequest(station=DEFAULT_STATION), id="calibrate"),
        pytest.param(("calibrate", "b"), "method", ByRank(), id="method"),
        pytest.param(("calibrate", "b"), "outputs", CalibrationOutputs(), id="calibration files"),
        pytest.param(("evaluate", "b", "--data", "d"), "request", EvaluationRequest(data=Path("d")), id="evaluation"),
        pytest.param(("evaluate", "b", "--data", "d"), "outputs", EvaluationFiles(), id="evaluation files"),
        *(
            pytest.param((name, *rest), "engine", EngineOptions(), id=f"engine of {name}")
            for name, *rest in (["score", "b", "i"], ["verify", "b"], ["bench", "b"], ["calibrate", "b"])
        ),
    ],
)
def test_what_nobody_says_is_the_default_of_the_library(
    arguments: tuple[str, ...], group: str, expected: object
) -> None:
    assert read(*arguments)[group] == expected


def test_defaults_that_other_classes_hand_on() -> None:
    scoring = read("score", "b", "i")
    watching, keeping = scoring["watching"], scoring["keeping"]
    assert DriftSettings(run_length=watching.run_length, defect_rate=watching.defect_rate) == DriftSettings()
    assert KeepLimits(frames=keeping.frames, megabytes=keeping.megabytes, gap_s=keeping.gap_s) == KeepLimits()
    assert read("calibrate", "b")["selecting"].selection() == Selection()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_has_a_default_of_its_own(name: str) -> None:
    nothing = click.Option(["--nothing"]).default
    options = [one for one in load(name).params if isinstance(one, click.Option)]
    assert [one.opts for one in options if one.default not in (nothing, None, False)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_default_is_shown(name: str) -> None:
    found = load(name)
    context = click.Context(found)
    shown = {one.name: one.get_help_record(context) for one in found.params if isinstance(one, GroupOption)}
    written = {
        one.name: str(one.written_default())
        for one in found.params
        if isinstance(one, GroupOption) and isinstance(one.written_default(), int | float | str | Path)
        if not one.is_flag
    }
    assert {key for key, value in written.items() if f"default: {value}" not in str(shown[key])} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_in_whole_sentences(name: str) -> None:
    options = [one for one in load(name).params if isinstance(one, click.Option)]
    assert [one.opts for one in options if not (one.help or "").endswith(".")] == []


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_the_terminal_and_lists_every_option(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = load(name)
    shown = found.get_help(click.Context(found, **found.context_settings))
    assert max(map(len, shown.splitlines())) <= min(columns, 100)
    names = {opt for one in found.params if isinstance(one, click.Option) for opt in one.opts}
    assert {opt for opt in names if opt not in {word.rstrip(",") for word in shown.split()}} == set()


def test_the_most_used_options_of_export_come_first() -> None:
    shown = CliRunner().invoke(main, ["export", "--help"]).output
    first = shown.partition("Options that most users need:")[2].partition("The bundle:")[0]
    words = {word.rstrip(",") for word in first.split() if word.startswith("-")}
    assert {"--images", "-o", "--family", "--size", "--variants", "--effort", "--report"} <= words
    assert "--fit" not in words


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_no_extra(name: str) -> None:
    absent = ["jinja2", "matplotlib", "scipy", "sklearn", "nncf", "onnx", "onnx_ir", "onnxscript", "openvino"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}));"
        f"sys.argv = ['edge-ad', {name!r}, '--help']; from edge_ad.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plate:
    name: str
    count: int = 3
    tags: tuple[str, ...] = ()
    size: tuple[int, ...] | None = None


PLATE = OptionGroup(
    "The plate",
    Plate,
    (
        argument("name"),
        option("--count", type=int, help="How many."),
        option("--tag", into="tags", multiple=True, help="A tag."),
        option("--size", type=Parsed("N", lambda text: (int(text),)), help="The size."),
    ),
)


@command(plate=PLATE)
@click.option("--loud", is_flag=True, help="Shout.")
def show(plate: Plate, loud: bool) -> None:
    """Shows what arrives."""
    click.echo(f"{plate} {loud}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["a"], "Plate(name='a', count=3, tags=(), size=None) False\n", id="defaults"),
        pytest.param(
            ["a", "--count", "5", "--tag", "x", "--tag", "y", "--size", "7", "--loud"],
            "Plate(name='a', count=5, tags=('x', 'y'), size=(7,)) True\n",
            id="all",
        ),
    ],
)
def test_a_command_gets_one_object_for_each_group(arguments: list[str], expected: str) -> None:
    assert CliRunner().invoke(show, arguments).output == expected


def test_what_cannot_be_read_is_told() -> None:
    done = CliRunner().invoke(show, ["a", "--size", "x"])
    assert (done.exit_code, "found 'x'" in done.output) == (2, True)


def test_a_group_imports_nothing() -> None:
    lazy = OptionGroup("Later", "edge_ad_no_such_package:Thing", (option("--thing", help="A thing."),))
    built = command(later=lazy)(lambda later: None)
    assert [one.opts for one in built.params] == [["--thing"]]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("edge_ad_no_such_package")
    assert "--thing" in CliRunner().invoke(built, ["--help"]).output
