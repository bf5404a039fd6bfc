"""What the page is served: files under a policy, states and results, pictures, findings, and log-in by a cookie."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from support.page_served import PICTURE, PageServed, page_served

from edge_ad.controllers.security import Role, add_token, read_trail
from edge_ad.page.findings import Finding, FindingCounts, Findings, Judged
from edge_ad.verdict import State


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServed]:
    with page_served(tmp_path_factory.mktemp("page")) as one:
        yield one


@pytest.fixture
def web(page: PageServed) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=60) as client:
        yield client


@contextlib.contextmanager
def told(web: httpx.Client, after: int = 0) -> Iterator[Iterator[tuple[str, object]]]:
    """The events of the page, as names and values."""

    def pairs(lines: Iterator[str]) -> Iterator[tuple[str, object]]:
        name = ""
        for line in lines:
            key, _, value = line.partition(": ")
            name = value if key == "event" else name
            if key == "data":
                yield name, json.loads(value)

    with web.stream("GET", f"/page/events?after={after}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield pairs(answer.iter_lines())


def test_the_page_runs_only_its_own_scripts(web: httpx.Client) -> None:
    answer = web.get("/")
    policy = dict(one.strip().partition(" ")[::2] for one in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_files_are_known_by_name_and_not_sent_twice(web: httpx.Client) -> None:
    first = web.get("/page/files/main.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["content-encoding"] == "gzip"
    again = web.get("/page/files/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = web.get("/page/files/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == first.text


@pytest.mark.parametrize("name", ["assets.py", "..%2fassets.py", "%2fetc%2fpasswd", "texts"])
def test_nothing_else_is_a_file_of_the_page(web: httpx.Client, name: str) -> None:
    assert web.get(f"/page/files/{name}").status_code == 404


def test_events_begin_with_the_state_and_bring_results(page: PageServed, web: httpx.Client) -> None:
    with told(web, after=2**62) as events:
        name, state = next(events)
        assert name == "state"
        assert isinstance(state, dict)
        assert (state["station"]["connected"], state["role"], state["has_evidence"]) == (True, "engineer", True)
        page.part("E-1", State.REJECT)
        results = next(value for name, value in events if name == "results" and "E-1" in str(value))
    assert isinstance(results, list)
    found = next(one for one in results if one["part_id"] == "E-1")
    assert (found["state"], found["score"], found["threshold"]) == ("REJECT", 1.75, 1.0)
    assert web.get("/page/state").json()["drift_causes"] == ["brightness lower"]
    later = web.get(f"/page/results?after={found['number']}").json()
    assert "E-1" not in str(later)


def test_somebody_who_listens_makes_scorers_draw(page: PageServed, web: httpx.Client) -> None:
    (page.preview / "wanted").unlink(missing_ok=True)
    with told(web) as events:
        next(events)
        assert (page.preview / "wanted").exists()


def test_a_preview_is_sent_once(page: PageServed, web: httpx.Client) -> None:
    answer = web.get("/page/preview/top")
    line, _, rest = answer.content.partition(b"\n")
    head = json.loads(line)
    assert (head["part_id"], head["width"], len(rest)) == ("P-0", 160, head["picture"] + head["map"])
    assert web.get("/page/preview/top", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert web.get("/page/preview/side").status_code == 404


def test_half_a_preview_is_none(page: PageServed, web: httpx.Client) -> None:
    (page.preview / "half.preview").write_bytes((page.preview / "top.preview").read_bytes()[:-1])
    try:
        assert web.get("/page/preview/half").json()["reason"] == "no_preview"
    finally:
        (page.preview / "half.preview").unlink()


def test_kept_rejects_are_shown_small_and_large_with_their_boxes(web: httpx.Client) -> None:
    kept = web.get("/page/kept?limit=2").json()
    assert [one["part_id"] for one in kept] == ["R-3", "R-2"]
    where = f"/page/kept/top/{kept[0]['name']}"
    large = np.asarray(cv2.imdecode(np.frombuffer(web.get(f"{where}/large.jpg").content, np.uint8), cv2.IMREAD_COLOR))
    assert large.shape == PICTURE.shape
    assert large[29, 50].min() > 150  # the light line above the box; the picture itself stays below 140
    small = web.get(f"{where}/small.jpg")
    assert small.headers["content-type"] == "image/jpeg"
    assert web.get("/page/kept/top/20260101T000000.000000Z-00000000/large.jpg").status_code == 404


def test_what_people_find_is_kept_counted_and_recorded(page: PageServed, web: httpx.Client) -> None:
    newest, second = (one["name"] for one in web.get("/page/kept?limit=2").json())
    assert web.put(f"/page/kept/top/{newest}/finding", json={"judged": "good"}).status_code == 200
    assert web.put(f"/page/kept/top/{second}/finding", json={"judged": "bad"}).status_code == 200
    assert [(one["judged"], one["judged_by"]) for one in web.get("/page/kept?limit=2").json()] == [
        ("good", "local"),
        ("bad", "local"),
    ]
    found = web.get("/page/state").json()["false_rejects"]
    assert found["found"] == {"bad": 1, "good": 1}
    assert found["known"]["count"] == 1
    assert found["known"]["high"] <= found["worst"]["high"]
    assert web.put(f"/page/kept/top/{newest}/finding", json={"judged": None}).json()["judged"] is None
    assert Findings(page.evidence).counts(0.0).good == 0
    records = [one for one in read_trail(page.folder / "audit.jsonl") if one.action == "finding"]
    assert [(one.result, one.before, one.after) for one in records[-2:]] == [
        ("asked", "good (local)", None),
        ("done", "good (local)", None),
    ]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("20260101T000000.000000Z-00000000", {"judged": "bad"}, 404),
        ("../../secret", {"judged": "bad"}, 404),
        ("20260101T000000.000000Z-00000000", {"judged": "maybe"}, 422),
    ],
    ids=["unknown", "a-path", "another-word"],
)
def test_a_finding_about_nothing_is_refused(web: httpx.Client, name: str, body: dict[str, str], status: int) -> None:
    assert web.put(f"/page/kept/top/{name}/finding", json=body).status_code == status


def test_a_damaged_file_of_findings_costs_only_the_findings(
    page: PageServed, web: httpx.Client, tmp_path: Path
) -> None:
    path = page.evidence / "findings.sqlite"
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(b"no database" * 100)
    try:
        assert web.get("/page/state").json()["false_rejects"]["found"] == {"bad": 0, "good": 0}
        assert web.get("/page/kept").status_code == 422
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


def test_a_person_logs_in_by_a_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens.toml", "anna", Role.SUPERVISOR)
    with (
        page_served(tmp_path, tokens=str(tmp_path / "tokens.toml")) as one,
        httpx.Client(base_url=one.url, timeout=60) as web,
    ):
        assert web.get("/").status_code == 200
        assert web.get("/page/state").status_code == 401
        assert web.post("/page/session", json={"token": "ea_wrong"}).status_code == 401
        answer = web.post("/page/session", json={"token": token})
        assert answer.json() == {"who": "anna", "role": "supervisor"}
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (web.get("/page/state").json()["who"], web.get("/api/v1/station").status_code) == ("anna", 200)
        crossed = web.post("/api/v1/recipe", json={"name": "b"}, headers={"Origin": "http://evil.example"})
        assert crossed.json()["reason"] == "other_origin"
        assert web.delete("/page/session").status_code == 204
        assert web.get("/page/state").status_code == 401


def test_a_kiosk_may_only_look(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens.toml", "anna", Role.OPERATOR)
    with (
        page_served(tmp_path, tokens=str(tmp_path / "tokens.toml"), kiosk=True) as one,
        httpx.Client(base_url=one.url, timeout=60) as web,
    ):
        state = web.get("/page/state").json()
        assert (state["who"], state["role"], state["may_log_in"]) == ("kiosk", "viewer", True)
        name = web.get("/page/kept").json()[0]["name"]
        refused = [
            web.put(f"/page/kept/top/{name}/finding", json={"judged": "bad"}),
            web.post("/api/v1/reset"),
            web.post("/api/v1/alarms/x/acknowledge"),
            web.post("/api/v1/recipe", json={"name": "b"}),
            web.post("/api/v1/parts", json={}),
        ]
        assert [one.status_code for one in refused] == [403] * 5


def test_findings_of_one_part_count_once(tmp_path: Path) -> None:
    findings = Findings(tmp_path)
    rows: list[tuple[str, str | None, Judged]] = [
        ("a", "P1", "good"),
        ("b", "P1", "bad"),
        ("c", "P2", "good"),
        ("d", "P2", "good"),
        ("e", None, "good"),
    ]
    for place, (name, part_id, judged) in enumerate(rows):
        findings.put(
            Finding(
                inspection="top",
                name=name,
                judged=judged,
                who="anna",
                at=time.time(),
                captured_at=100.0 + place,
                part_id=part_id,
                recipe="a",
            )
        )
    assert findings.counts(0.0) == FindingCounts(bad=1, good=2)
    assert findings.counts(103.0, "a") == FindingCounts(good=2)
    assert findings.counts(0.0, "b") == FindingCounts()
