"""Results as daily CSV: days, restarts, rows that were cut, a full disk."""

from __future__ import annotations

import asyncio
import csv
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.adapters import serving
from support.full_disk import disk_of
from support.videos import wait_for

from edge_ad.controllers.conversation import Outcome, outcome_of
from edge_ad.controllers.files import PROTOCOL, FilesSettings
from edge_ad.controllers.files.daily_csv import COLUMNS, DailyCsv
from edge_ad.controllers.gateway import Gateway
from edge_ad.errors import DeviceError
from edge_ad.link import Client, FakeStation, Judgement, PartResult, RecordedRequest
from edge_ad.verdict import State, Verdict

EAST = timezone(timedelta(hours=2))
EVENING = datetime(2026, 3, 1, 23, 59, 59, tzinfo=EAST).timestamp()


def result(part_id: str, state: State = State.ACCEPT, reason: str | None = None) -> Outcome:
    verdict = Verdict(state=state, score=1.5, threshold=2.0, captured_at=0.0, bundle="b@1", variant="v")
    told = PartResult(
        trigger=1, part_id=part_id, state=state, reason=reason, recipe="one", latency_ms=12.5, verdicts=(verdict,)
    )
    return outcome_of(told)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_says_what_the_result_says(tmp_path: Path) -> None:
    under = DailyCsv(tmp_path / "new", "line1", EAST)
    under.add(result('A "1", x'), EVENING)
    under.add(result("A-2", State.INVALID, "stale"), EVENING)
    assert under.write()
    first, second = rows(tmp_path / "new/results-line1-2026-03-01.csv")
    assert tuple(first) == COLUMNS
    assert first == {
        "format": "edge-ad-results/1",
        "at": "2026-03-01T23:59:59.000+02:00",
        "station": "line1",
        "part_id": 'A "1", x',
        "trigger": "1",
        "state": "ACCEPT",
        "code": "1",
        "reason": "",
        "detail": "",
        "recipe": "one",
        "latency_ms": "12.5",
        "score": "1.5",
        "threshold": "2.0",
        "frames": "1",
    }
    assert (second["state"], second["code"], second["reason"]) == ("INVALID", "114", "stale")


def test_midnight_of_the_station_begins_another_file(tmp_path: Path) -> None:
    under = DailyCsv(tmp_path, "line1", EAST)
    for number, at in enumerate((EVENING, EVENING + 2, EVENING - 1)):
        under.add(result(f"P{number}"), at)
    assert under.write()
    days = [[row["part_id"] for row in rows(path)] for path in sorted(tmp_path.iterdir())]
    assert days == [["P0", "P2"], ["P1"]]


def test_a_restart_goes_on_in_the_same_file_behind_the_last_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "results-line1-2026-03-01.csv"
    for part_id in ("P0", "P1", "P2"):
        under = DailyCsv(tmp_path, "line1", EAST)
        under.add(result(part_id), EVENING)
        assert under.write()
        with path.open("ab") as file:
            file.write(b"edge-ad-results/1,2026-03-01T2")  # the power went
    DailyCsv(tmp_path, "line1", EAST).write()
    last = DailyCsv(tmp_path, "line1", EAST)
    last.add(result("P3"), EVENING)
    assert last.write()
    assert [row["part_id"] for row in rows(path)] == ["P0", "P1", "P2", "P3"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x"])
def test_a_part_id_is_no_formula(tmp_path: Path, text: str) -> None:
    under = DailyCsv(tmp_path, "line1", EAST)
    under.add(result(text), EVENING)
    under.write()
    assert rows(tmp_path / "results-line1-2026-03-01.csv")[0]["part_id"] == f"'{text}"


def test_a_full_disk_is_said_once_and_rows_come_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    under = DailyCsv(tmp_path, "line1", EAST)
    under.add(result("P0"), EVENING)
    assert under.write()
    path = tmp_path / "results-line1-2026-03-01.csv"
    before = path.read_bytes()
    with disk_of(len(before) + 20):
        for number in range(1, 4):
            under.add(result(f"P{number}"), EVENING)
            assert not under.write()
        assert path.read_bytes() == before
    assert under.waiting == 3
    assert under.write()
    assert [row["part_id"] for row in rows(path)] == ["P0", "P1", "P2", "P3"]
    assert caplog.text.count("rows wait in memory") == 1
    assert "is written again; 0 rows were lost" in caplog.text


def test_the_oldest_rows_are_lost_and_counted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    under = DailyCsv(tmp_path / "file", "line1", EAST)
    for number in range(10_005):
        under.add(result(f"P{number}"), EVENING)
    assert not under.write()
    assert (under.waiting, under.lost) == (10_000, 5)


def test_every_part_of_a_station_has_a_row(tmp_path: Path) -> None:
    path, folder = tmp_path / "s.sock", tmp_path / "csv"
    settings = FilesSettings(protocol="files", csv=str(folder))
    PROTOCOL.check(settings)

    def judge(asked: RecordedRequest) -> Judgement:
        is_last = getattr(asked.request, "part_id", None) == "last"
        return Judgement(state=State.REJECT if is_last else State.ACCEPT)

    def written() -> list[dict[str, str]]:
        return [row for one in sorted(folder.glob("results-fake-*.csv")) for row in rows(one)]

    with (
        FakeStation(path, judge=judge),
        serving(PROTOCOL, settings, path) as gateway,
        Client(path) as line,
    ):
        assert wait_for(lambda: gateway.view.is_connected, 60)
        assert all(line.passes(f"P{number}") for number in range(1, 101))
        assert wait_for(lambda: len(written()) == 100, 60)
        assert not line.passes("last")
        assert wait_for(lambda: gateway.view.counts.ng == 1, 60)
    found = written()
    assert [row["part_id"] for row in found] == [*(f"P{number}" for number in range(1, 101)), "last"]
    assert found[-1]["state"] == "REJECT"


def test_two_controllers_do_not_write_the_same_files(tmp_path: Path) -> None:
    settings = FilesSettings(protocol="files", csv=str(tmp_path / "csv"))

    async def run_two() -> None:
        first, second = (Gateway(tmp_path / "s.sock", name, station="line1") for name in ("first", "second"))
        serving_first = asyncio.ensure_future(PROTOCOL.run(settings, first, "first"))
        await asyncio.sleep(0)
        with pytest.raises(
            DeviceError, match=r"results-line1 is used by another process: give each controller a folder"
        ):
            await PROTOCOL.run(settings, second, "second")
        serving_first.cancel()
        await asyncio.gather(serving_first, return_exceptions=True)
        second_again = asyncio.ensure_future(PROTOCOL.run(settings, second, "second"))
        await asyncio.sleep(0)
        assert not second_again.done()
        second_again.cancel()

    asyncio.run(run_two())
