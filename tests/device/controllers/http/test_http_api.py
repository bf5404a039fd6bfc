"""The API on a real server before a fake station, asked by plain HTTP clients."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from support.http_served import Served, http_served

from edge_ad.link import FakeStation, FrameRequest


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with http_served(tmp_path_factory.mktemp("http")) as one:
        yield one


@pytest.fixture
def web(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


def png(shape: tuple[int, ...] = (32, 40, 3), seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_a_trigger_gives_the_result_of_its_part(web: httpx.Client) -> None:
    answer = web.post("/api/v1/parts", json={"part_id": "T-1", "number": 7})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["part_id"], said["number"], said["passes"], said["state"]) == ("T-1", 7, True, "ACCEPT")


def test_a_trigger_that_is_not_waited_for_has_its_result_by_id(served: Served, web: httpx.Client) -> None:
    served.station.hold()
    answer = web.post("/api/v1/parts?wait=false", json={"part_id": "T-2"})
    assert answer.status_code == 202
    where = answer.headers["location"]
    assert web.get(where).status_code == 202
    served.station.release()
    done = _until_200(web, where)
    assert (done["part_id"], done["passes"]) == ("T-2", True)


def test_a_refused_part_is_a_problem_with_its_reason_and_code(served: Served, web: httpx.Client) -> None:
    assert web.post("/api/v1/parts", json={"part_id": "T-3"}).status_code == 200
    answer = web.post("/api/v1/parts", json={"part_id": "T-3"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["reason"], said["code"], said["status"]) == ("duplicate", 4, 409)


def test_a_picture_is_decoded_here_and_handed_to_the_station(served: Served, web: httpx.Client) -> None:
    data = png(seed=1)
    answer = web.post("/api/v1/frames?part_id=F-1&camera=top", content=data, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200
    (asked,) = [one for one in served.station.requests if getattr(one.request, "part_id", None) == "F-1"]
    assert isinstance(asked.request, FrameRequest)
    assert asked.request.camera == "top"
    sent = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(np.asarray(asked.pixels), sent)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        pytest.param(b"", 422, "unreadable", id="empty"),
        pytest.param(b"nothing but text", 422, "unreadable", id="no-picture"),
        pytest.param(png()[:200], 422, "unreadable", id="cut-off"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0", 413,
            "too_many_pixels", id="declares-gigabytes",
        ),
        pytest.param(cv2.imencode(".png", np.zeros((8, 8), np.uint16))[1].tobytes(), 422, "wrong_type", id="16-bit"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(web: httpx.Client, data: bytes, status: int, reason: str) -> None:
    answer = web.post("/api/v1/frames", content=data, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("body", "content", "status", "reason"),
    [
        pytest.param(b"{", "application/json", 422, "bad_json", id="cut-off"),
        pytest.param(b"[1]", "application/json", 422, "bad_json", id="no-object"),
        pytest.param(b'{"part":"A"}', "application/json", 422, "bad_json", id="unknown-field"),
        pytest.param(b'{"part_id":5}', "application/json", 422, "bad_json", id="wrong-kind"),
        pytest.param(b'{"number":-1}', "application/json", 422, "bad_json", id="negative"),
        pytest.param(b"[" * 60_000, "application/json", 422, "bad_json", id="deep"),
        pytest.param(b'{"part_id":"\xff"}', "application/json", 422, "bad_json", id="no-utf-8"),
        pytest.param(b"{}", "text/plain", 415, "content_type", id="content-type"),
        pytest.param(b" " * 70_000, "application/json", 413, "too_large", id="large"),
    ],
)
def test_malformed_json_is_refused(web: httpx.Client, body: bytes, content: str, status: int, reason: str) -> None:
    answer = web.post("/api/v1/parts", content=body, headers={"Content-Type": content})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_the_station_and_what_people_ask_of_it(served: Served, web: httpx.Client) -> None:
    station = web.get("/api/v1/station").json()
    assert (station["connected"], station["recipes"], station["state"]) == (True, ["a", "b"], "READY")
    assert web.post("/api/v1/recipe", json={"name": "b"}).status_code == 202
    assert _until(web, lambda said: said["recipe"] == "b")
    assert web.post("/api/v1/recipe", json={"name": "c"}).json()["reason"] == "unknown_recipe"
    assert web.post("/api/v1/counters/reset").json()["counts"]["total"] == 0
    served.station.alarm("disk", "nearly full")
    assert _until(web, lambda said: "disk" in said["alarms"])
    assert web.post("/api/v1/alarms/disk/acknowledge").status_code == 200
    assert web.post("/api/v1/alarms/disk/acknowledge").status_code == 404
    served.station.fault("camera top")
    assert _until(web, lambda said: said["state"] == "FAULT")
    assert web.post("/api/v1/parts", json={"part_id": "T-9"}).status_code == 409
    assert web.post("/api/v1/reset").status_code == 200
    assert _until(web, lambda said: said["state"] == "READY")
    names = {getattr(one.request, "by", None) for one in served.station.requests}
    assert "web:local@127.0.0.1" in names


def test_all_events_come_as_server_sent_events(served: Served, web: httpx.Client) -> None:
    with web.stream("GET", "/api/v1/events") as events:
        lines = events.iter_lines()
        assert next(lines) == "event: station"
        served.station.drift("top", "OK")
        httpx.post(f"{served.url}/api/v1/parts", json={"part_id": "E-1"}, timeout=60)
        told = {}
        name = ""
        while "result" not in told:
            line = next(lines)
            name = line.removeprefix("event: ") if line.startswith("event: ") else name
            if line.startswith("data: "):
                told[name] = json.loads(line.removeprefix("data: "))
    assert (told["result"]["part_id"], told["result"]["state"]) == ("E-1", "ACCEPT")


def test_results_of_late_are_found_by_part_and_trigger(web: httpx.Client) -> None:
    for number in range(3):
        web.post("/api/v1/parts", json={"part_id": f"R-{number}"})
    newest = web.get("/api/v1/results?limit=2").json()
    assert [one["part_id"] for one in newest] == ["R-2", "R-1"]
    trigger = newest[1]["trigger"]
    assert [one["part_id"] for one in web.get(f"/api/v1/results?trigger={trigger}").json()] == ["R-1"]
    assert [one["trigger"] for one in web.get("/api/v1/results?part_id=R-1").json()] == [trigger]


def test_unknown_places_and_methods_are_problems(web: httpx.Client) -> None:
    for answer, status in (
        (web.get("/api/v1/nothing"), 404),
        (web.get("/api/v1/parts/0123"), 404),
        (web.delete("/api/v1/station"), 405),
        (web.get("/api/v1/results?limit=x"), 422),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_pages_of_other_sites_and_other_names_may_not_ask(web: httpx.Client) -> None:
    origin = web.post("/api/v1/reset", headers={"Origin": "http://evil.example"})
    assert (origin.status_code, origin.json()["reason"]) == (403, "other_origin")
    rebound = web.get("/api/v1/station", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["reason"]) == (403, "other_host")


def test_ten_clients_at_once_get_a_result_for_each_of_their_own_parts(served: Served) -> None:
    def client(number: int) -> list[tuple[str, str, bool]]:
        with httpx.Client(base_url=served.url, timeout=60) as one:
            names = [f"C-{number}-{count}" for count in range(20)]
            said = [one.post("/api/v1/parts", json={"part_id": name}).json() for name in names]
            return [(name, answer["part_id"], answer["passes"]) for name, answer in zip(names, said, strict=True)]

    with ThreadPoolExecutor(10) as pool:
        answers = [one for client_answers in pool.map(client, range(10)) for one in client_answers]
    assert len(answers) == 200
    assert all(name == part_id and passes for name, part_id, passes in answers)


def test_curl_as_in_the_page(served: Served, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    (tmp_path / "part.png").write_bytes(png())
    url = served.url
    json_type = ("-H", "Content-Type: application/json")
    trigger = _curl(curl, *json_type, "-d", '{"part_id": "K-1"}', f"{url}/api/v1/parts")
    assert trigger["passes"] is True
    upload = _curl(curl, "-H", "Content-Type: image/png", "--data-binary", f"@{tmp_path}/part.png",
                   f"{url}/api/v1/frames?part_id=K-2")  # fmt: skip
    assert upload["part_id"] == "K-2"


def test_the_station_goes_and_comes_back(tmp_path: Path) -> None:
    with http_served(tmp_path) as served, httpx.Client(base_url=served.url, timeout=60) as web:
        served.station.hold()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(web.post, "/api/v1/parts", json={"part_id": "A"})
            served.station.wait_for(2)
            _until_open(served.station)
            served.station.close()
            outcome = waiting.result(60).json()
        assert (outcome["passes"], outcome["reason"]) == (False, "station_away")
        refused = web.post("/api/v1/parts", json={"part_id": "B"})
        assert (refused.status_code, refused.json()["reason"]) == (503, "station_away")
        assert web.get("/api/v1/health").status_code == 503
        with FakeStation(tmp_path / "s.sock"):
            assert _until(web, lambda said: said["connected"])
            assert web.post("/api/v1/parts", json={"part_id": "B"}).json()["passes"] is True


def _curl(curl: str, *arguments: str) -> Any:
    done = subprocess.run([curl, "-sS", "--max-time", "60", *arguments], capture_output=True, check=True)
    return json.loads(done.stdout)


def _until_200(web: httpx.Client, where: str) -> Any:
    while (answer := web.get(where)).status_code == 202:
        threading.Event().wait(0.01)
    return answer.json()


def _until(web: httpx.Client, true: Any) -> bool:
    for _ in range(3_000):
        if true(web.get("/api/v1/station").json()):
            return True
        threading.Event().wait(0.01)
    return False


def _until_open(station: FakeStation) -> None:
    while not station.open:
        threading.Event().wait(0.01)
