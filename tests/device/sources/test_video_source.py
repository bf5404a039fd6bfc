"""Videos are decoded in a process of their own: every frame arrives, and a crash is a result like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.videos import HEIGHT, WIDTH, children, is_gone, number, until_failure, wait_for, write_video

from edge_ad.errors import InputError, SourceError
from edge_ad.sources import open_source
from edge_ad.verdict import Reason


def test_every_frame_in_order(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi")
    before = time.time()
    with open_source(path) as source:
        frames = list(source)
    assert (source.length, source.fps, source.dropped) == (40, 25.0, 0)
    assert [number(frame) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert frames[12].source == f"{path}#12"
    assert before <= frames[0].captured_at <= frames[-1].captured_at <= time.time()
    assert {frame.image.shape for frame in frames if frame.image is not None} == {(HEIGHT, WIDTH, 3)}


def test_a_slow_consumer_loses_no_frame(tmp_path: Path) -> None:
    numbers = []
    with open_source(write_video(tmp_path / "line.avi")) as source:
        for frame in source:
            numbers.append(number(frame))
            time.sleep(0.005)
    assert numbers == list(range(40))


@pytest.mark.parametrize("name", ["a b.avi", "a:b.avi", "-i.avi", "shot%02d.avi", "größe.AVI", "video02.avi"])
def test_names_that_a_decoder_could_take_for_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_video(tmp_path / "plain.avi", frames=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_source(name) as source:
        assert [number(frame) for frame in source] == [0, 1, 2]


def cut_off(video: bytes) -> bytes:
    return video[: len(video) // 2]


def overwritten(video: bytes) -> bytes:
    half = len(video) // 2
    return video[:half] + bytes(byte ^ 0x5A for byte in video[half:-2000]) + video[-2000:]


@pytest.mark.parametrize("damage", [cut_off, overwritten])
def test_a_video_that_stops_early_ends_with_a_failed_frame_and_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    path = write_video(tmp_path / "line.avi")
    path.write_bytes(damage(path.read_bytes()))
    with open_source(path) as source:
        (*good, last), error = until_failure(iter(source))
    assert 5 < len(good) < 30
    # At the damage itself FFmpeg shows frames half or twice, and nobody can tell.
    assert [number(frame) for frame in good[:6]] == list(range(6))
    assert str(error) == f"{path}: ended after {len(good)} of 40 frames: it is cut off or damaged; copy it again"
    assert last.error is not None
    assert (last.image, last.error.reason, str(last.error)) == (None, Reason.SOURCE_FAILED, str(error))
    assert (last.index, last.source) == (len(good), f"{path}#{len(good)}")
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_is_killed_is_named_with_its_signal(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi", frames=2000)
    with open_source(path) as source:
        frames = iter(source)
        assert number(next(frames)) == 0
        (decoder,) = children(os.getpid())
        os.kill(decoder, signal.SIGABRT)
        rest, error = until_failure(frames)
    assert f"ended by SIGABRT after {len(rest)} frame" in str(error)
    assert rest[-1].error is not None


def test_leaving_early_ends_the_decoder(tmp_path: Path) -> None:
    with open_source(write_video(tmp_path / "line.avi", frames=2000)) as source:
        next(iter(source))
        assert len(children(os.getpid())) == 1
    assert children(os.getpid()) == []
    source.close()


def test_the_decoder_dies_with_its_parent(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi", frames=2000)
    script = (
        "import sys, time; from edge_ad.sources import open_source\n"
        "source = open_source(sys.argv[1]); next(iter(source)); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (decoder,) = children(parent.pid)
        parent.kill()
    assert wait_for(lambda: is_gone(decoder))


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        pytest.param("absent.avi", None, InputError, "No such file", id="missing"),
        pytest.param("empty.avi", b"", SourceError, "cannot be opened: not a video", id="empty"),
        pytest.param("text.avi", b"hello\n" * 99, SourceError, "cannot be opened: not a video", id="text"),
        pytest.param(
            "cut.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" * 2, SourceError, "cannot be opened", id="mp4-cut"
        ),
    ],
)
def test_what_is_no_video_is_refused_at_once(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    data: bytes | None,
    error: type[Exception],
    message: str,
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        open_source(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")
    assert children(os.getpid()) == []


@pytest.mark.shared
def test_a_video_that_crashes_the_decoder_does_not_crash_us(shared: Path) -> None:
    with open_source(shared / "data" / "video" / "crash.avi") as source:
        frames, error = until_failure(iter(source))
    assert "the decoder was ended by SIG" in str(error)
    assert [frame.error is None for frame in frames] == [True] * (len(frames) - 1) + [False]


@pytest.mark.shared
def test_a_real_video_whose_container_counts_wrong(shared: Path) -> None:
    with open_source(shared / "data" / "video" / "video02.avi") as source:
        frames = sum(frame.error is None for frame in source)
    assert (source.length, frames) == (750, 748)
