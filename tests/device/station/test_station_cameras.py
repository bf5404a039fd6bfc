"""Every kind of camera in a station: one result for each trigger, with the id of its part."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import tiny, videos
from support.loopback import gige_wire, rtsp_stream
from support.station_files import station_file
from support.tiny_calibration import calibrate

from edge_ad.link import Client, LinkServer, PartResult, StationState
from edge_ad.station.loop import StationLoop

WAIT_S = 60.0
PARTS = [f"part-{number}" for number in range(8)]


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


def results(bundle: Path, socket: Path, camera: dict[str, Any]) -> list[PartResult]:
    """What a station says of the parts, triggered one after the other through the link."""
    given = {"trigger": "software", "allow_repeats": True, "stale_after_s": 30.0, **camera}
    file = station_file(
        station={"name": "trial", "trigger": "link", "deadline_ms": 60_000},
        camera={"top": given},
        inspect={"top": {"camera": "top", "bundle": str(bundle)}},
        link={"socket": str(socket)},
    )
    link = LinkServer(socket, station="trial")
    loop = StationLoop(file, link=link)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        with Client(socket, timeout_s=WAIT_S) as client:
            end = time.monotonic() + WAIT_S
            while client.snapshot().state != StationState.READY:
                assert time.monotonic() < end, f"never ready: {client.snapshot()}"
                time.sleep(0.01)
            return [client.result(client.trigger(part), timeout_s=WAIT_S) for part in PARTS]
    finally:
        loop.stop()
        thread.join(WAIT_S)
        link.close()


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    return {"source": str(tiny.write_images(tmp_path / "images", tiny.frames(len(PARTS))))}


@pytest.fixture
def video(tmp_path: Path) -> dict[str, Any]:
    return {"source": str(videos.write_video(tmp_path / "clip.avi", len(PARTS)))}


@pytest.fixture
def basler(monkeypatch: pytest.MonkeyPatch, shared: Path) -> dict[str, Any]:
    pytest.importorskip("pypylon", reason="needs the extra basler")
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    pictures = str(shared / "data" / "cookies" / "train" / "good")
    features = {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": pictures}
    return {"source": "basler:", "pixel_format": "BGR8", "width": 576, "height": 768, "features": features}


@pytest.fixture
def genicam() -> dict[str, Any]:
    pytest.importorskip("harvesters", reason="needs the extra genicam")
    found = importlib.util.find_spec("genicam")
    folders = list(found.submodule_search_locations or []) if found else []
    return {"source": f"genicam:{folders[0]}/viky.cti#1"}


@pytest.fixture
def gige() -> Iterator[dict[str, Any]]:
    with gige_wire() as wire:
        wire.plug()
        yield {"source": "gige:127.0.0.1", "width": 128, "height": 96, "pixel_format": "RGB8"}


@pytest.fixture
def rtsp() -> Iterator[dict[str, Any]]:
    with rtsp_stream("h264") as address:
        yield {"source": f"{address}/live"}


@pytest.mark.parametrize(
    "kind",
    ["folder", "video", pytest.param("basler", marks=pytest.mark.shared), "genicam", "gige", "rtsp"],
)
def test_one_result_for_each_trigger_with_the_id_of_its_part(
    kind: str, request: pytest.FixtureRequest, bundle: Path, tmp_path: Path
) -> None:
    found = results(bundle, tmp_path / "s", request.getfixturevalue(kind))
    assert [result.part_id for result in found] == PARTS
    assert [len(result.verdicts) for result in found] == [1] * len(PARTS)
    assert [result.verdicts[0].detail for result in found if result.verdicts[0].score is None] == []
