"""docs/scale.md says what is so."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad_calibration.cli.scoring_options import PLAN
from edge_ad_calibration.scoring import MapJournal
from edge_ad_calibration.scoring.cache import FILE
from edge_ad_calibration.scoring.journal import KEPT_DAYS

TEXT = (DOCS_FOLDER / "scale.md").read_text()


def test_every_option_is_there() -> None:
    options = [name for row in PLAN.rows for name in row.names]
    assert len(options) == 4
    assert [name for name in options if f"`{name}" not in TEXT] == []


def test_the_file_of_the_cache_is_named() -> None:
    assert f"`{FILE}`" in TEXT


def test_what_becomes_of_maps_is_so(tmp_path: Path) -> None:
    assert f"for {KEPT_DAYS} days is deleted" in " ".join(TEXT.split())
    with suppress(KeyboardInterrupt), MapJournal(tmp_path) as journal:
        journal.begin(b"")
        raise KeyboardInterrupt
    (file,) = tmp_path.iterdir()
    assert file.match("maps-1-*.bin")
    assert "`maps-1-<job>.bin`" in TEXT


def test_the_examples_run(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted(tiny.write_images(tmp_path / "images", tiny.frames(3)).iterdir())
    images[1].write_bytes(b"")
    scores, maps = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(scores, {"bundle": tiny_bundle, "images": images})  # noqa: S102
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [str(image) for image in images]
    assert lines[1].endswith("found an empty file")
    names: dict[str, Any] = {"bundle": tiny_bundle, "images": images}
    monkeypatch.chdir(tmp_path)
    exec(maps, names)  # noqa: S102
    assert names["largest"] == max(float(line.split()[1]) for line in lines if "empty" not in line)
    assert list((tmp_path / "cache").iterdir()) == []
