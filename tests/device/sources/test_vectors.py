"""Feature vectors from a file: scored as the frames of a video are, and never taken for pictures."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny, tiny_clips

from edge_ad import Detector
from edge_ad.bundle.records import Clip
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad.sources import open_source

LENGTH, K = 3, 7


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_clips.write_bundle(tmp_path / "vectors", "features", Clip(length=LENGTH, input="features"))


def vectors(count: int = 12, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, tiny_clips.VECTOR), np.float32)


def saved(path: Path, array: NDArray[np.generic]) -> Path:
    np.save(path, array)
    return path


def score(bundle: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["score", str(bundle), *map(str, arguments)])


def text_of(done: Result) -> str:
    return done.output + str(done.exception)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rows_of_a_file_are_frames(tmp_path: Path, dtype: type) -> None:
    rows: NDArray[np.floating] = vectors().astype(dtype)
    with open_source(saved(tmp_path / "audio.npy", rows)) as source:
        frames = list(source)
        assert (source.length, source.fps) == (12, None)
    assert [frame.source for frame in frames[:2]] == [f"{tmp_path / 'audio.npy'}#{i}" for i in (0, 1)]
    assert [frame.image for frame in frames] == [None] * 12
    found = [frame.features for frame in frames if frame.features is not None]
    assert {vector.dtype for vector in found} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.stack(found), rows.astype(np.float32))


def test_score_prints_a_line_a_row(bundle: Path, tmp_path: Path) -> None:
    rows = vectors()
    rows[K] += 5
    done = score(bundle, saved(tmp_path / "a.npy", rows), saved(tmp_path / "b.npy", rows), "--json")
    assert done.exit_code == 0, done.output
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    scores = [line["score"] for line in lines]
    # A file is a scene of its own: the second one warms up anew.
    assert scores[: LENGTH - 1] == scores[12 : 12 + LENGTH - 1] == [None] * (LENGTH - 1)
    # The model is the mean of the newest vector.
    assert scores[LENGTH - 1 : 12] == pytest.approx(rows.mean(axis=1)[LENGTH - 1 :].tolist(), rel=1e-5)
    assert lines[K]["source"].endswith("a.npy#7")
    assert lines[K]["covers"] == {"first": K - 2, "last": K}


def test_a_row_that_is_no_number_breaks_its_clips_only(bundle: Path, tmp_path: Path) -> None:
    rows = vectors().astype(np.float64)
    rows[4, 2], rows[8, 0] = np.nan, 1e300
    done = score(bundle, saved(tmp_path / "a.npy", rows), "--json")
    details = [msgspec.json.decode(line)["detail"] or "" for line in done.stdout.splitlines()]
    assert [i for i, detail in enumerate(details) if "not finite numbers" in detail] == [4, 8]
    assert [i for i, detail in enumerate(details) if "missing or damaged" in detail] == [5, 6, 9, 10]


def archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=vectors())
    return buffer.getvalue()


def cut_off() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, vectors())
    return buffer.getvalue()[:-40]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be opened: No such file", id="missing"),
        pytest.param(b"", "is no NumPy file of vectors, or cut off", id="empty"),
        pytest.param(b"frame,score\n1,2\n", "is no NumPy file of vectors, or cut off", id="text"),
        pytest.param(cut_off(), "is no NumPy file of vectors, or cut off", id="cut off"),
        pytest.param(archive(), "is no NumPy file of vectors, or cut off", id="archive"),
        pytest.param(np.zeros((4, 6), np.uint8), r"found uint8 \[4, 6\]", id="bytes"),
        pytest.param(
            np.zeros(6, np.float32), r"\(frames, n\), one row per frame, found float32 \[6\]", id="one vector"
        ),
        pytest.param(np.zeros((0, 6), np.float32), r"found float32 \[0, 6\]", id="no rows"),
        pytest.param(np.array([[None]], object), "is no NumPy file of vectors", id="objects"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes | NDArray[np.generic] | None, message: str) -> None:
    path = tmp_path / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=message) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def test_a_vector_is_no_picture_and_a_picture_no_vector(bundle: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    rows = saved(tmp_path / "a.npy", vectors())
    images = tiny.write_images(tmp_path / "images", tiny_clips.calm(2))
    mixed = score(tiny_bundle, rows)
    assert mixed.exit_code == 2
    assert "a.npy#0 is a vector, and this bundle scores pictures: give images or videos" in text_of(mixed)
    mixed = score(bundle, images)
    assert mixed.exit_code == 2
    assert "is a picture, and this bundle scores vectors: give an .npy file of them" in text_of(mixed)
    with pytest.raises(InputError, match="no image in this folder, but 1 files of vectors: name them one by one"):
        open_source(rows.parent)
    with Detector.open(bundle) as detector, pytest.raises(InputError, match="takes features=vector"):
        detector.score(tiny_clips.calm(1)[0])
    with Detector.open(tiny_bundle) as detector, pytest.raises(InputError, match="takes a frame"):
        detector.score(features=vectors()[0])


@pytest.mark.parametrize("arguments", [("--annotate", "out"), ("--keep", "kept")], ids=["annotate", "keep"])
def test_there_is_no_picture_to_draw_on_or_to_keep(bundle: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    option, name = arguments
    done = score(bundle, saved(tmp_path / "a.npy", vectors()), option, tmp_path / name)
    assert done.exit_code == 2
    assert "--annotate and --keep take pictures, and this bundle takes vectors" in text_of(done)
    assert not (tmp_path / name).exists()


def test_info_and_bench_know_vectors(bundle: Path) -> None:
    assert "input     vectors of 6 features" in CliRunner().invoke(main, ["info", str(bundle)]).stdout
    done = CliRunner().invoke(main, ["bench", str(bundle), "--runs", "10"])
    assert done.exit_code == 0, done.output
    assert "frame vector of 6, 10 runs" in done.stdout
    scaled = CliRunner().invoke(main, ["bench", str(bundle), "--runs", "10", "--frame-size", "8x8"])
    assert "--frame-size scales pictures, and this bundle takes vectors" in text_of(scaled)
