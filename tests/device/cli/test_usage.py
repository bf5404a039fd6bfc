"""A command that is called in a wrong way answers with one line that names the help to read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_ad.cli import main


def edge_ad(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="edge-ad")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["scoer"], "no such command 'scoer', did you mean score?: see edge-ad --help", id="command"),
        pytest.param(["xyz"], "no such command 'xyz': see edge-ad --help", id="no such command"),
        pytest.param(["--versoin"], "no such option --versoin, did you mean --version?: see edge-ad --help", id="flag"),
        pytest.param(
            ["export", "m.onnx", "--imges", "x"],
            "no such option --imges, did you mean --images?: see edge-ad export --help",
            id="option",
        ),
        pytest.param(
            ["score", "b", "i", "--xyzzy"], "no such option --xyzzy: see edge-ad score --help", id="no such option"
        ),
        pytest.param(
            ["export", "m.onnx", "--variants", "onnx-fp32", "--variants", "onnx-int8"],
            "--variants was given twice, and it takes one value: see edge-ad export --help",
            id="an option twice",
        ),
        pytest.param(["info"], "missing argument 'BUNDLE': see edge-ad info --help", id="argument"),
        pytest.param(
            ["bench", "b", "--runs", "1"],
            "invalid value for '--runs': 1 is not in the range x>=10: see edge-ad bench --help",
            id="value",
        ),
        pytest.param(
            ["calibrate", "b", "--method", "fixed"],
            "--method fixed needs --threshold: see edge-ad calibrate --help",
            id="options that need each other",
        ),
        pytest.param(
            ["calibrate", "b", "--normal", "csv:line=1"],
            "invalid value for '--normal': expected the name of the CSV file first, as in FILE.csv:COLUMN=VALUE, "
            "found 'csv:line=1': see edge-ad calibrate --help",
            id="rows of no table",
        ),
        *(
            pytest.param(
                ["evaluate", "b", "--data", given],
                "invalid value for '--data': expected the folder of a data set or a whole CSV file; rows of one, "
                f"FILE.csv:COLUMN=VALUE, are for --normal of edge-ad calibrate, found '{given}': "
                "see edge-ad evaluate --help",
                id=given,
            )
            for given in ("table.csv:col=value", "csv:col=value")
        ),
    ],
)
def test_one_line_and_exit_code_2(arguments: list[str], expected: str) -> None:
    done = edge_ad(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"edge-ad: {expected}\n")


def test_no_command_at_all_shows_the_help() -> None:
    done = edge_ad()
    assert done.exit_code == 2
    assert "Usage: edge-ad" in done.output


def test_swapped_arguments_are_told(tiny_bundle: Path, tmp_path: Path) -> None:
    done = edge_ad("score", tmp_path, tiny_bundle)
    assert done.exit_code == 2
    assert done.stderr == (
        f"edge-ad: {tmp_path} is not a bundle, but {tiny_bundle} is: the bundle comes first, "
        f"edge-ad score {tiny_bundle} {tmp_path}\n"
    )


def test_unpack_replaces_a_bundle_when_told_to(tiny_bundle: Path, tmp_path: Path) -> None:
    packed, folder = tmp_path / "t.zip", tmp_path / "t"
    assert edge_ad("pack", tiny_bundle, "-o", packed).exit_code == 0
    assert edge_ad("unpack", packed, "-o", folder).exit_code == 0
    (folder / "manifest.json").write_text("{}")
    refused = edge_ad("unpack", packed, "-o", folder)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "say --force to replace it" in refused.stderr
    assert (folder / "manifest.json").read_text() == "{}"
    assert edge_ad("unpack", packed, "-o", folder, "--force").exit_code == 0
    assert edge_ad("verify", folder).exit_code == 0


def test_unpack_replaces_nothing_but_a_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "t.zip"
    assert edge_ad("pack", tiny_bundle, "-o", packed).exit_code == 0
    (tmp_path / "photos").mkdir()
    for force in ([], ["--force"]):
        done = edge_ad("unpack", packed, "-o", tmp_path / "photos", *force)
        assert done.exit_code == 2
        assert re.search("is no bundle: it is not replaced", done.stderr)
