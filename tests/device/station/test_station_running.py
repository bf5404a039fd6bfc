"""A station with real processes: cameras, scorers, the link, and the signals that end them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support import tiny
from support.station_files import station_file
from support.tiny_calibration import calibrate

from edge_ad.bundle import DEFAULT_STATION, Bundle, write_calibration
from edge_ad.cli import main
from edge_ad.errors import LinkError
from edge_ad.link import Client, StationState
from edge_ad.station.loop import StationLoop
from edge_ad.station.running import check_station, run_station
from edge_ad.verdict import State

WAIT_S = 60.0


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    """Accepts dim frames, and rejects those with a bright spot."""
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six dim pictures, the fourth with a bright spot."""
    pictures = tiny.frames(6)
    pictures[3] = tiny.spotted(pictures[3], 20, 20)
    return tiny.write_images(tmp_path / "images", pictures)


def on_a_folder(bundle: Path, images: Path, **station: Any) -> dict[str, Any]:
    return {
        "station": {"name": "trial", "deadline_ms": 60_000, **station},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True, "stale_after_s": 60.0}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
    }


def by_link(bundle: Path, socket: Path, images: Path | None = None, **station: Any) -> dict[str, Any]:
    """Triggered by the link; the frames are handed in, or come from a folder."""
    camera: dict[str, Any] = {"source": "link"}
    if images is not None:
        given = {"trigger": "software", "loop": True, "allow_repeats": True, "stale_after_s": 60.0}
        camera = {"source": str(images), **given}
    tables = on_a_folder(bundle, socket, trigger="link", **station)
    return {**tables, "camera": {"top": camera}, "link": {"socket": str(socket)}}


@contextmanager
def running(tables: dict[str, Any]) -> Iterator[tuple[StationLoop, Callable[[], None]]]:
    """A station in a thread; it ends with the block at the latest."""
    from edge_ad.link import LinkServer

    file = station_file(**tables)
    link = LinkServer(Path(file.link.socket or ""), station="trial") if file.link else None
    loop = StationLoop(file, link=link)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop, thread.join
    finally:
        loop.stop()
        thread.join(WAIT_S)
        if link is not None:
            link.close()
        assert not thread.is_alive()


def eventually(what: Callable[[], bool]) -> None:
    """Waits until it is so; the test fails where that takes a minute."""
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def connected(socket: Path) -> Client:
    client = Client(socket, timeout_s=WAIT_S)
    eventually(lambda: client.snapshot().state == StationState.READY)
    return client


def open_files() -> set[str]:
    return {one.name for one in Path("/proc/self/fd").iterdir()}


def test_every_picture_of_a_folder_has_its_result(bundle: Path, images: Path) -> None:
    told: list[Any] = []
    file = station_file(**on_a_folder(bundle, images))
    check_station(file)
    loop = run_station(file, told.append)
    parts = [one for one in told if hasattr(one, "frames")]
    assert [one.state for one in parts] == [State.REJECT if n == 3 else State.ACCEPT for n in range(6)]
    assert loop.core.counters.parts == {"ACCEPT": 5, "REJECT": 1, "INVALID": 0}


def test_a_calibration_without_limits_of_frames_is_said(bundle: Path, images: Path) -> None:
    file = station_file(**on_a_folder(bundle, images))
    assert check_station(file) == ()
    made = Bundle.open(bundle).calibration(Bundle.open(bundle).variant(None))
    assert made is not None
    bare = msgspec.structs.replace(made.stations[DEFAULT_STATION], frame_limits=None)
    write_calibration(Bundle.open(bundle), Bundle.open(bundle).variant(None), DEFAULT_STATION, bare)
    (warning,) = check_station(file)
    assert "inspect.top: this calibration" in warning
    assert "black or white frame may be accepted" in warning


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"bundle": "gone"}, "{file}: inspect.top.bundle: ", id="bundle"),
        pytest.param({"variant": "onnx-int4"}, "{file}: inspect.top.variant: the bundle ", id="variant"),
        pytest.param({"calibration": "b"}, "{file}: inspect.top.calibration: no calibration 'b' in ", id="calibration"),
        pytest.param({}, "{file}: camera.top.source: no file or folder ", id="camera"),
    ],
)
def test_what_is_wrong_names_the_file_and_the_entry(
    bundle: Path, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    entries = {"camera": "top", "bundle": str(bundle), **change}
    table = "".join(f'{key} = "{value}"\n' for key, value in entries.items())
    file = tmp_path / "line.toml"
    file.write_text(f'[station]\nname = "s"\n[camera.top]\nsource = "none/"\n[inspect.top]\n{table}')
    done = CliRunner().invoke(main, ["run", "--check", str(file)])
    assert done.exit_code == 2
    assert said.format(file=file) in done.output
    assert done.output.count(str(file)) == 1


def test_results_are_appended_as_json_lines(bundle: Path, images: Path, tmp_path: Path) -> None:
    output = {"kind": "jsonl", "path": str(tmp_path / "results.jsonl")}
    run_station(station_file(**on_a_folder(bundle, images), output={"results": output}))
    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(one)["part_id"] for one in lines] == [path.name for path in sorted(images.iterdir())]


def test_a_picture_that_is_handed_in_has_the_score_of_the_detector(bundle: Path, tmp_path: Path) -> None:
    from edge_ad import Detector

    frame = tiny.spotted(tiny.frames(1)[0], 20, 20)
    with Detector.open(bundle) as detector:
        expected = detector.score(frame)
    socket = tmp_path / "s"
    with running(by_link(bundle, socket)), connected(socket) as client:
        result = client.result(client.hand_in(frame, part_id="A-17"), timeout_s=WAIT_S)
    assert (result.part_id, result.state, result.verdicts[0].score) == ("A-17", State.REJECT, expected.score)
    assert result.verdicts[0].regions == expected.regions


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda frame: frame, "frozen", id="the-same-pixels"),
        pytest.param(lambda frame: frame[..., 0].copy(), "wrong_shape", id="gray-after-colour"),
    ],
)
def test_pictures_that_are_handed_in_are_checked_like_those_of_a_camera(
    bundle: Path, tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    frame, socket = tiny.frames(1)[0], tmp_path / "s"
    with running(by_link(bundle, socket)), connected(socket) as client:
        assert client.result(client.hand_in(frame), timeout_s=WAIT_S).accepted
        second = client.result(client.hand_in(change(frame)), timeout_s=WAIT_S)
    assert (second.state, second.reason) == (State.INVALID, reason)


def test_a_trigger_takes_a_picture(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    with running(by_link(bundle, socket, images)), connected(socket) as client:
        states = [client.result(client.trigger(f"P{n}"), timeout_s=WAIT_S).state for n in range(4)]
    assert states == [State.ACCEPT, State.ACCEPT, State.ACCEPT, State.REJECT]


def test_a_scorer_that_is_killed_is_started_again(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    with running(by_link(bundle, socket, images)) as (loop, _), connected(socket) as client:
        pid = loop.scorer_pids()[0]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: client.snapshot().counters["scorer_restarts"] == 1)
        eventually(lambda: client.snapshot().state == StationState.READY)
        assert client.result(client.trigger("after"), timeout_s=WAIT_S).accepted
        assert loop.scorer_pids() != [pid]


def test_a_scorer_that_hangs_costs_one_part(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    tables = by_link(bundle, socket, images)
    tables["inspect"]["top"]["hang_ms"] = 5_000  # longer than any other part takes
    with running(tables) as (loop, _), connected(socket) as client:
        os.kill(loop.scorer_pids()[0], signal.SIGSTOP)
        result = client.result(client.trigger("held"), timeout_s=WAIT_S)
        assert (result.state, result.reason) == (State.INVALID, "scorer_lost")
        eventually(lambda: client.snapshot().state == StationState.READY)
        assert client.result(client.trigger("after"), timeout_s=WAIT_S).accepted


def test_a_scorer_that_takes_too_much_memory_is_a_fault(bundle: Path, images: Path) -> None:
    tables = on_a_folder(bundle, images)
    tables["inspect"]["top"]["memory_mb"] = 64
    tables["camera"]["top"] |= {"loop": True, "pace": "real", "fps": 20}
    with running(tables) as (loop, _):
        eventually(lambda: loop.core.condition.state == StationState.FAULT)
        assert "more than memory_mb = 64" in (loop.core.condition.cause or "")
        assert loop.core.counters.parts["ACCEPT"] == 0 or loop.core.counters.scorer_restarts >= 3


def test_a_bundle_that_breaks_is_a_fault_until_it_is_mended(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    manifest = bundle / "manifest.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b"tiny", b"tinx"))
    with running(by_link(bundle, socket, images)), Client(socket, timeout_s=WAIT_S) as client:
        eventually(lambda: client.snapshot().state == StationState.FAULT)
        with pytest.raises(LinkError, match="not_ready"):
            client.trigger("A")
        manifest.write_bytes(good)
        eventually(lambda: client.snapshot().state == StationState.READY)
        assert client.result(client.trigger("B"), timeout_s=WAIT_S).accepted


def test_a_recipe_is_changed_and_one_that_does_not_verify_is_not(bundle: Path, images: Path, tmp_path: Path) -> None:
    import shutil

    socket = tmp_path / "s"
    strict = Path(shutil.copytree(bundle, tmp_path / "strict"))
    calibrate(strict, 0.0001)
    bare = tiny.write_bundle(tmp_path / "bare")
    recipes = {name: {"inspect": {"top": {"bundle": str(one)}}} for name, one in (("strict", strict), ("bare", bare))}
    tables = by_link(bundle, socket, images, recipe="first") | {"recipe": {"first": {}, **recipes}}
    with running(tables), connected(socket) as client:
        client.recipe("strict")
        eventually(lambda: client.snapshot().recipe == "strict")
        assert client.result(client.trigger("A"), timeout_s=WAIT_S).state is State.REJECT
        client.recipe("bare")
        eventually(lambda: client.snapshot().requested_recipe is None)
        assert client.snapshot().recipe == "strict"


def test_a_snapshot_has_recipes_and_the_counts_of_the_shift(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    tables = by_link(bundle, socket, images, recipe="b") | {"recipe": {"a": {}, "b": {}}}
    with running(tables), connected(socket) as client:
        assert client.snapshot().recipes == ("a", "b")
        client.result(client.trigger("A"), timeout_s=WAIT_S)
        before = client.snapshot().counts
        client.reset_counters(by="anna")
        after = client.snapshot().counts
    assert before is not None
    assert after is not None
    assert (before.recipe, sum(before.parts.values()), before.latency_mean_ms) == ("b", 1, before.latency_max_ms)
    assert (sum(after.parts.values()), after.latency_mean_ms) == (0, None)


def test_the_end_leaves_nothing_behind(bundle: Path, images: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    before = open_files()
    with running(by_link(bundle, socket, images)) as (loop, _), connected(socket) as client:
        client.result(client.trigger(), timeout_s=WAIT_S)
        children = loop.child_pids()
        assert len(children) == 2
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not socket.exists()
    assert open_files() == before
