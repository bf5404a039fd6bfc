"""docs/scale.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from support import tiny

from edge_ad_calibration.scoring.cache import FILE
from edge_ad_calibration.scoring.options import plan_options

TEXT = (Path(__file__).parents[2] / "docs/scale.md").read_text()


def test_every_option_is_there() -> None:
    command = click.command()(plan_options(lambda *, plan: plan))
    options = [name for option in command.params for name in option.opts]
    assert len(options) == 4
    assert [name for name in options if f"`{name}" not in TEXT] == []


def test_the_file_of_the_cache_is_named() -> None:
    assert f"`{FILE}`" in TEXT


def test_the_example_runs(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted(tiny.write_images(tmp_path / "images", tiny.frames(3)).iterdir())
    images[1].write_bytes(b"")
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    exec(found[1], {"bundle": tiny_bundle, "images": images})  # noqa: S102
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [str(image) for image in images]
    assert lines[1].endswith("found an empty file")
