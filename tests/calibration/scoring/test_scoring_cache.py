"""Scores kept from one run to the next: the same bits, for the same bytes, measured by the same thing."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle.records import FrameSize, Geometry, Resize
from edge_ad.engines import EngineInfo, EngineOptions
from edge_ad.errors import OutputError
from edge_ad.verdict import FrameStatistics
from edge_ad_calibration.scoring import ScoredImage, ScoreJob, ScorePlan, UnscoredImage, score_images
from edge_ad_calibration.scoring.cache import FILE, ScoreCache, default_folder
from edge_ad_calibration.scoring.opened import Identity

FILE_HASH, PIXEL_HASH, KEY = "ab" * 32, "cd" * 32, b"k" * 32
IDENTITY = Identity(
    artefact_sha256="a",
    geometry_sha256="g",
    edge_ad="1",
    opencv="5",
    engine=EngineInfo("onnxruntime", "1", "CPU", "fp32", None),
    cpu="x",
    cores=2,
    min_area_px=0,
)
finite = st.floats(allow_nan=False, allow_infinity=False)


def image(score: float = 0.5, peak: float | None = 0.25) -> ScoredImage:
    return ScoredImage(
        path=Path("a.png"),
        file_sha256=FILE_HASH,
        pixel_sha256=PIXEL_HASH,
        size=FrameSize(width=64, height=48),
        score=score,
        peak=peak,
        statistics=FrameStatistics(1 / 3, 0.1, math.pi),
    )


@pytest.fixture
def images(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "images", frames[:20]).iterdir())


def run(images: list[Path], job: Path | ScoreJob, folder: Path) -> list[ScoredImage | UnscoredImage]:
    wanted = job if isinstance(job, ScoreJob) else ScoreJob(bundle=job)
    return list(score_images(images, wanted, ScorePlan(cache=folder)))


def cached(outcomes: list[ScoredImage | UnscoredImage]) -> int:
    return sum(isinstance(one, ScoredImage) and one.cached for one in outcomes)


@given(score=finite, peak=st.none() | finite | st.just(-math.inf))
def test_what_is_kept_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, score: float, peak: float | None
) -> None:
    folder, kept = tmp_path_factory.mktemp("cache"), image(score, peak)
    first = ScoreCache(folder)
    first.add(KEY, kept)
    first.close()
    second = ScoreCache(folder)
    found = second.find(KEY, kept.path, FILE_HASH)
    second.close()
    assert found == replace(kept, cached=True)
    assert math.copysign(1, found.score) == math.copysign(1, score)


def test_a_second_run_takes_everything_from_the_cache(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    first, second = (run(images, tiny_bundle, tmp_path / "cache") for _ in range(2))
    assert (cached(first), cached(second)) == (0, 20)
    assert [replace(one, cached=False) for one in second if isinstance(one, ScoredImage)] == first


def test_only_what_is_missing_is_scored(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    run(images[5:12], tiny_bundle, tmp_path / "cache")
    found = run(images, tiny_bundle, tmp_path / "cache")
    assert [isinstance(one, ScoredImage) and one.cached for one in found] == [5 <= k < 12 for k in range(20)]


def test_a_renamed_file_is_known_and_a_changed_one_is_not(
    tiny_bundle: Path, images: list[Path], tmp_path: Path
) -> None:
    run(images, tiny_bundle, tmp_path / "cache")
    renamed = images[0].rename(images[0].with_name("renamed.png"))
    images[1].write_bytes(images[2].read_bytes() + b"one byte more")
    found = run([renamed, images[1]], tiny_bundle, tmp_path / "cache")
    assert [isinstance(one, ScoredImage) and one.cached for one in found] == [True, False]
    assert found[0].path == renamed


def test_what_cannot_be_scored_is_tried_again(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    whole = images[0].read_bytes()
    images[0].write_bytes(whole[:60])
    assert isinstance(run(images[:1], tiny_bundle, tmp_path / "cache")[0], UnscoredImage)
    images[0].write_bytes(whole)
    assert isinstance(run(images[:1], tiny_bundle, tmp_path / "cache")[0], ScoredImage)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(partial(ScoreJob, variant="openvino-fp32"), id="variant"),
        pytest.param(partial(ScoreJob, engine=EngineOptions(threads=1)), id="threads"),
        pytest.param(partial(ScoreJob, min_area_px=200), id="smallest area"),
        pytest.param(partial(ScoreJob, maps=True), id="maps are not kept"),
    ],
)
def test_another_job_is_scored_anew(
    tiny_bundle: Path, images: list[Path], tmp_path: Path, other: partial[ScoreJob]
) -> None:
    run(images, tiny_bundle, tmp_path / "cache")
    assert cached(run(images, other(bundle=tiny_bundle), tmp_path / "cache")) == 0


def test_another_geometry_is_scored_anew(images: list[Path], tmp_path: Path) -> None:
    for kernel, expected in (("area", 0), ("linear", 0), ("area", 20)):
        geometry = Geometry(resize=Resize(width=32, height=32, kernel=kernel))  # type: ignore[arg-type]
        path = tmp_path / kernel
        bundle = path if path.exists() else tiny.write_bundle(path, geometry)
        assert cached(run(images, bundle, tmp_path / "cache")) == expected


@pytest.mark.parametrize("name", [*Identity.__struct_fields__])
def test_everything_that_a_score_depends_on_is_in_the_key(name: str) -> None:
    changed: object = f"{getattr(IDENTITY, name)}!"
    if name in ("cores", "min_area_px"):
        changed = getattr(IDENTITY, name) + 1
    if name == "engine":
        changed = EngineInfo("onnxruntime", "2", "CPU", "fp32", None)
    other = msgspec.structs.replace(IDENTITY, **{name: changed})
    assert other.digest != IDENTITY.digest
    assert (IDENTITY.difference(other) is None) == (name in ("cpu", "cores"))


def test_two_runs_at_once_share_a_cache(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path / "many", tiny.frames(400))
    script = (
        "import sys; from pathlib import Path; from edge_ad_calibration.scoring import *;"
        "images = sorted(Path(sys.argv[2]).iterdir())[:: int(sys.argv[4])];"
        "plan = ScorePlan(cache=Path(sys.argv[3]), workers=1);"
        "print(sum(1 for _ in score_images(images, ScoreJob(bundle=Path(sys.argv[1])), plan)))"
    )
    command = [sys.executable, "-c", script, str(tiny_bundle), str(folder), str(tmp_path / "cache")]
    both = [subprocess.Popen([*command, step], stdout=subprocess.PIPE, text=True) for step in ("1", "-1")]
    assert [one.communicate()[0].strip() for one in both] == ["400", "400"]
    assert cached(run(sorted(folder.iterdir()), tiny_bundle, tmp_path / "cache")) == 400


def test_a_write_that_was_torn_is_undone(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.add(KEY, image())
    cache.close()
    # Killed in the middle of a transaction that has reached the file: what SQLite calls a hot journal.
    script = (
        "import os, signal, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA cache_size = 1');"
        "db.execute('BEGIN IMMEDIATE');"
        "db.executemany('INSERT INTO scores VALUES (?, ?, ?)',"
        " [(b'k' * 32, i.to_bytes(32, 'big'), b'') for i in range(5000)]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(cache.path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / f"{FILE}-journal").stat().st_size > 0
    again = ScoreCache(tmp_path)
    assert again.find(KEY, Path("a.png"), FILE_HASH) == replace(image(), cached=True)
    assert again.find(KEY, Path("a.png"), (17).to_bytes(32, "big").hex()) is None
    again.close()


def test_a_damaged_cache_is_named(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(OutputError, match=r"scores-2\.sqlite: the score cache cannot be used: .*--no-cache"):
        run(images, tiny_bundle, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/cache: cannot be written: a part of its path is a file"):
        run(images, tiny_bundle, tmp_path / "file/cache")


def test_a_full_disk_is_named(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.close()
    with closing(sqlite3.connect(cache.path)) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    full = ScoreCache(tmp_path)
    full._database.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(499):  # one less than are written at once
        full.add(number.to_bytes(32, "big"), image())
    with pytest.raises(OutputError, match="database or disk is full: free some space"):
        full.close()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        pytest.param("/var/cache/x", "/var/cache/x/edge-ad", id="XDG_CACHE_HOME"),
        pytest.param("relative", "~/.cache/edge-ad", id="a relative one is ignored"),
        pytest.param("", "~/.cache/edge-ad", id="an empty one is ignored"),
    ],
)
def test_the_default_folder_follows_the_xdg_specification(
    monkeypatch: pytest.MonkeyPatch, variable: str, expected: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    assert default_folder() == Path(os.path.expanduser(expected))  # noqa: PTH111
