"""What commands share: the options of a plan, and progress for somebody who watches."""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_ad.cli import option_groups
from edge_ad.cli.progress import progress_bar
from edge_ad.errors import OutputError
from edge_ad_calibration.cli.scoring_options import PLAN
from edge_ad_calibration.scoring import ScorePlan


@option_groups.command(plan=PLAN)
@click.option("--other", default="x")
def command(*, other: str, plan: ScorePlan) -> None:
    """Shows what arrives."""
    click.echo(f"{other} {plan}")


def test_the_options_become_one_plan(own_cache: Path, tmp_path: Path) -> None:
    chosen = ScorePlan(cache=tmp_path, cluster="tcp://host:8786", workers=3)
    asked = ["--other", "y", "--cache", str(tmp_path), "--cluster", "tcp://host:8786", "--workers", "3"]
    runner = CliRunner()
    assert runner.invoke(command, asked).output == f"y {chosen}\n"
    assert runner.invoke(command, []).output == f"x {ScorePlan(cache=own_cache)}\n"
    assert runner.invoke(command, ["--no-cache"]).output == f"x {ScorePlan()}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--cache", "/c", "--no-cache"], "--cache and --no-cache exclude each other", id="both"),
        pytest.param(["--workers", "0"], "0 is not in the range", id="no workers"),
        pytest.param(["--cache", __file__], "is a file", id="a file as the cache"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, expected in result.output) == (2, True)


def test_a_home_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    done = CliRunner().invoke(command, [])
    assert done.stdout == f"x {ScorePlan()}\n"
    assert "no scores are kept" in done.stderr
    assert "file is a file, not a folder" in done.stderr
    assert "--no-cache leaves this note out" in done.stderr


def test_a_home_that_is_read_only_is_told_from_its_permissions(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _place, needed: not needed & os.W_OK)
    done = CliRunner().invoke(command, [])
    assert done.stdout == f"x {ScorePlan()}\n"
    assert f"{own_cache.parent.parent} may not be written to" in done.stderr


def test_a_cache_that_was_asked_for_must_be_usable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(command, ["--cache", str(tmp_path / "file" / "x")], catch_exceptions=True)
    assert isinstance(done.exception, OutputError)
    assert str(done.exception).endswith("file is a file, not a folder; --no-cache does without the score cache")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, seconds = Terminal(), itertools.count(1_000.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(time, "time", lambda: next(seconds))
    with progress_bar("scoring", clock=lambda: next(seconds))(3) as advance:
        for _ in range(3):
            advance(1)
    assert re.search(r"scoring .* 2/3 +\d\d:\d\d:\d\d +0\.\d images/s", terminal.getvalue())


def test_progress_keeps_quiet_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress_bar("scoring")(3) as advance:
        advance(3)
    assert file.getvalue() == ""
