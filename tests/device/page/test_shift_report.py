"""The report of a shift: counts, rates with their limits, reasons, places, findings, changes; as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from support.page_served import PageServed, page_served
from support.videos import wait_for

from edge_ad.controllers.security import AuditTrail
from edge_ad.page import observed_rate
from edge_ad.page.shift_report import list_shifts
from edge_ad.station.counting import StationCounters
from edge_ad.station.kept_counts import CountsFile, ShiftCounts
from edge_ad.station.station_log import AuditSettings
from edge_ad.verdict import State

FORMULA = "=HYPERLINK(1)"


def counts(accept: int, reject: int, invalid: int = 0) -> StationCounters:
    return StationCounters(
        parts={"ACCEPT": accept, "REJECT": reject, "INVALID": invalid},
        reasons={"late": 1, "dropped": 4} if invalid else {},
        refused={"not_ready": 2},
        scored=accept + reject,
        latency_sum_ms=10.0 * (accept + reject),
        latency_max_ms=44.0,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServed]:
    folder = tmp_path_factory.mktemp("report")
    with page_served(folder, counters=str(folder / "counts.json")) as one:
        yield one


@pytest.fixture
def web(page: PageServed) -> Iterator[httpx.Client]:
    shifts = [
        ShiftCounts(shift="2001-01-01T06:00", recipes={"a": counts(90, 10)}),
        ShiftCounts(shift="2001-01-01T14:00", recipes={"a": counts(180, 20, 5), FORMULA: counts(1, 0)}),
    ]
    path = page.folder / "counts.json"
    path.write_bytes(msgspec.json.encode(CountsFile(station="fake", shifts=shifts)))
    with httpx.Client(base_url=page.url, timeout=60) as client:
        yield client


def test_each_count_ends_where_the_next_begins(web: httpx.Client) -> None:
    names = web.get("/page/shifts").json()
    assert [one["since"] for one in names] == ["2001-01-01T06:00", "2001-01-01T14:00"]
    assert (names[0]["end"], names[1]["end"]) == (names[1]["begin"], None)
    assert names[1]["begin"] - names[0]["begin"] == 8 * 3600


def test_a_count_that_was_begun_anew_has_its_own_time() -> None:
    first, second = list_shifts(
        [ShiftCounts(shift="2001-01-01T06:00"), ShiftCounts(shift="2001-01-01T06:00", since="2001-01-01T07:30:10")]
    )
    assert (second.since, first.end) == ("2001-01-01T07:30:10", first.begin + 5410)


def test_a_report_has_counts_rates_reasons_and_places(page: PageServed, web: httpx.Client) -> None:
    report = web.get("/page/shifts/report.json?number=1").json()
    one = next(one for one in report["recipes"] if one["recipe"] == "a")
    assert one["rejected"] == msgspec.to_builtins(observed_rate(20, 200))
    assert list(one["reasons"].items()) == [("dropped", 4), ("late", 1)]
    assert (one["latency_mean_ms"], one["latency_max_ms"]) == (10.0, 44.0)
    # three kept rejects of today; their highest peak is at (50, 35) of 160 x 120 pixels
    assert report["frames"] == 3
    assert report["places"] == [{"inspection": "top", "row": 0, "column": 0, "count": 3}]
    assert web.get("/page/shifts/report.json?number=0").json()["frames"] == 0
    assert web.get("/page/shifts/report.json?number=2").status_code == 404


def test_findings_and_changes_of_the_time_are_in_it(page: PageServed, web: httpx.Client) -> None:
    name = web.get("/page/kept").json()[0]["name"]
    web.put(f"/page/kept/top/{name}/finding", json={"judged": "good"})
    report = web.get("/page/shifts/report.json?number=1").json()
    one = next(one for one in report["recipes"] if one["recipe"] == "a")
    assert one["found"] == {"bad": 0, "good": 1}
    assert one["false_rejects"]["count"] == 1
    assert one["false_rejects"]["of"] == 180 + 1 + 19  # accepted, found good, and not looked at
    assert report["changes"][-1]["action"] == "finding"
    assert (report["changes"][-1]["who"], report["changes"][-1]["after"]) == ("local", "good")
    assert web.get("/page/shifts/report.json?number=0").json()["changes"] == []


def test_of_a_bundle_only_the_steps_that_change_the_line_are_told(page: PageServed, web: httpx.Client) -> None:
    path = page.served.gateway.audit_path
    assert path is not None
    trail = AuditTrail(AuditSettings(file=str(path)), "deploy")
    for step in ("STAGED", "CHECKED: 4 golden frames", "SWITCHED", "WATCHED: 20 parts", "KEPT"):
        trail.record("update", "done", target="part", after="tiny@2", detail=step)
    told = web.get("/page/shifts/report.json?number=1").json()["changes"]
    assert [one["step"] for one in told if one["action"] == "update"] == ["SWITCHED", "KEPT"]


def test_a_table_says_the_same_and_holds_no_formula(web: httpx.Client) -> None:
    answer = web.get("/page/shifts/report.csv?number=1")
    assert answer.headers["content-disposition"] == 'attachment; filename="shift-2001-01-01T1400.csv"'
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["section", "recipe", "name", "value"]
    assert ["parts", "a", "REJECT", "20"] in rows
    assert ["invalid", "a", "dropped", "4"] in rows
    assert ["place", "top", "row 1 column 1", "3"] in rows
    assert ["parts", f"'{FORMULA}", "ACCEPT", "1"] in rows


def test_a_damaged_file_is_named_and_left_alone(page: PageServed, web: httpx.Client) -> None:
    path = page.folder / "counts.json"
    path.write_bytes(b"{")
    answer = web.get("/page/shifts")
    assert (answer.status_code, answer.json()["reason"]) == (503, "counters")
    assert path.read_bytes() == b"{"


def test_without_a_file_the_present_count_is_reported(page: PageServed, web: httpx.Client) -> None:
    (page.folder / "counts.json").unlink()
    page.part("S-1", State.REJECT)
    assert wait_for(lambda: page.counted("REJECT") == 1, 60)
    names = web.get("/page/shifts").json()
    assert [one["since"] for one in names] == ["2026-01-01T06:00"]
    (one,) = web.get("/page/shifts/report.json?number=0").json()["recipes"]
    assert (one["recipe"], one["rejected"]["count"]) == ("a", 1)
