"""Counts per recipe and shift, and the metrics made of them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.paths import DOCS

from edge_ad.errors import InputError, OutputError
from edge_ad.link import StationState
from edge_ad.station.counting import StationCounters
from edge_ad.station.kept_counts import CountsFile, KeptCounts, LatestWriter, read_counts, shift_of
from edge_ad.station.metrics import MetricsView, render_metrics
from edge_ad.station.parts import InspectedPart
from edge_ad.verdict import DriftState, State

DAY = ("06:00", "14:00", "22:00")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def a_part(state: State, when: str = "2026-03-04T07:00", recipe: str = "a", latency_ms: float = 10.0) -> InspectedPart:
    reason = "late" if state is State.INVALID else None
    return InspectedPart(
        trigger=1,
        part_id="1",
        recipe=recipe,
        state=state,
        reason=reason,
        triggered_at=at(when),
        latency_ms=latency_ms,
    )


def counting(counts: CountsFile | None = None) -> KeptCounts:
    return KeptCounts(counts or CountsFile(station="s"), DAY, zone=timezone.utc)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        pytest.param("2026-03-04T06:00", "2026-03-04T06:00", id="its-first-moment"),
        pytest.param("2026-03-04T13:59:59", "2026-03-04T06:00", id="its-last-second"),
        pytest.param("2026-03-04T23:59", "2026-03-04T22:00", id="night"),
        pytest.param("2026-03-05T05:59", "2026-03-04T22:00", id="after-midnight"),
        pytest.param("2026-03-01T00:00", "2026-02-28T22:00", id="another-month"),
    ],
)
def test_every_moment_has_a_shift(when: str, expected: str) -> None:
    assert shift_of(at(when), DAY, timezone.utc) == expected
    assert shift_of(at(when), DAY[::-1], timezone.utc) == expected


def test_parts_are_counted_in_their_recipe_and_shift() -> None:
    kept = counting()
    for one in (
        a_part(State.ACCEPT, latency_ms=4.0),
        a_part(State.REJECT, latency_ms=16.0),
        a_part(State.INVALID),
        a_part(State.ACCEPT, "2026-03-04T15:00"),
        a_part(State.ACCEPT, recipe="b"),
    ):
        kept.count(one)
    early = kept.shift(at("2026-03-04T06:30")).recipes["a"]
    assert early.parts == {"ACCEPT": 1, "REJECT": 1, "INVALID": 1}
    assert early.reasons == {"late": 1}
    assert (early.scored, early.latency_sum_ms, early.latency_min_ms, early.latency_max_ms) == (2, 20.0, 4.0, 16.0)
    assert kept.counts.total["a"].parts["ACCEPT"] == 2
    assert kept.counts.total["b"].parts["ACCEPT"] == 1


def test_what_is_not_a_part_is_counted_once_for_the_recipe_of_its_time() -> None:
    kept, station = counting(), StationCounters()
    station.lost_frames = 3
    station.refuse("not_ready")
    kept.follow(station, "a", at("2026-03-04T07:00"))
    kept.follow(station, "a", at("2026-03-04T07:00"))
    station.refuse("not_ready")
    station.scorer_restarts = 1
    kept.follow(station, "b", at("2026-03-04T07:00"))
    total = kept.counts.total
    assert (total["a"].lost_frames, total["a"].refused, total["a"].scorer_restarts) == (3, {"not_ready": 1}, 0)
    assert (total["b"].lost_frames, total["b"].refused, total["b"].scorer_restarts) == (0, {"not_ready": 1}, 1)


def test_counts_go_on_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "counters.json"
    first = counting(read_counts(file, "s")[0])
    first.count(a_part(State.REJECT))
    file.write_bytes(first.encoded())
    second = counting(read_counts(file, "s")[0])
    second.count(a_part(State.REJECT))
    assert second.counts.total["a"].parts["REJECT"] == 2
    assert [one.shift for one in second.counts.shifts] == ["2026-03-04T06:00"]


def test_a_reset_closes_the_count_and_the_total_goes_on(tmp_path: Path) -> None:
    now, file = at("2026-03-04T08:15:30"), tmp_path / "counters.json"
    kept = counting()
    kept.count(a_part(State.REJECT))
    kept.reset(now)
    kept.count(a_part(State.ACCEPT))  # triggered before the reset, judged after it
    file.write_bytes(kept.encoded())
    again = counting(read_counts(file, "s")[0])
    present = again.present("a", now)
    assert (present.since, present.parts) == ("2026-03-04T08:15:30", {"ACCEPT": 1, "REJECT": 0, "INVALID": 0})
    closed, current = again.counts.shifts
    assert (closed.shift, closed.since, closed.recipes["a"].parts["REJECT"]) == ("2026-03-04T06:00", None, 1)
    assert (current.shift, current.since) == ("2026-03-04T06:00", "2026-03-04T08:15:30")
    assert again.counts.total["a"].parts == {"ACCEPT": 1, "REJECT": 1, "INVALID": 0}
    assert again.present("a", at("2026-03-04T15:00")).since == "2026-03-04T14:00"


def test_resets_without_parts_in_between_push_no_shift_out() -> None:
    kept = counting()
    kept.count(a_part(State.REJECT))
    for second in range(10, 60):
        kept.reset(at(f"2026-03-04T08:15:{second}"))
    assert [one.since for one in kept.counts.shifts] == [None, "2026-03-04T08:15:59"]


def test_a_bounded_number_of_shifts_is_kept() -> None:
    kept = counting()
    for day in range(60):
        for hour in (7, 15):
            kept.shift(at(f"2026-0{1 + day // 28}-{1 + day % 28:02}T{hour:02}:00"))
    assert len(kept.counts.shifts) == 100
    assert kept.counts.shifts[-1].shift == "2026-03-04T14:00"


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "counters.json"
    file.write_bytes(b'{"format": 1, "stat')
    counts, damage = read_counts(file, "s")
    assert counts == CountsFile(station="s")
    assert "counters.json.damaged" in str(damage)
    assert (tmp_path / "counters.json.damaged").read_bytes() == b'{"format": 1, "stat'
    assert not file.exists()


def test_the_file_of_another_station_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "counters.json"
    file.write_bytes(msgspec.json.encode(CountsFile(station="left")))
    with pytest.raises(InputError, match="counts for station 'left': give 'right' one of its own"):
        read_counts(file, "right")


def test_the_newest_is_written_and_a_failure_shows_until_it_is_over(tmp_path: Path) -> None:
    written: list[bytes] = []
    errors = [OutputError("disk full")]

    def write(data: bytes) -> None:
        written.append(data)
        if errors:
            raise errors.pop()

    writer = LatestWriter("counters", write)
    writer.put(b"1")
    writer.close()
    assert writer.state == "failing: disk full"
    again = LatestWriter("counters", write)
    again.put(b"2")
    again.close()
    assert (again.state, written) == ("ok", [b"1", b"2"])


def a_view() -> MetricsView:
    kept = counting()
    for one in (a_part(State.ACCEPT), a_part(State.REJECT, latency_ms=30.0), a_part(State.INVALID)):
        kept.count(one)
    station = StationCounters()
    station.refuse("not_ready")
    kept.follow(station, "a", at("2026-03-04T07:00"))
    return MetricsView(
        station="s",
        at=1000.0,
        state=StationState.FAULT,
        recipe="a",
        total=kept.counts.total,
        shift=kept.shift(at("2026-03-04T07:00")).recipes,
        cameras={"top": "STREAMING", "side": "LOST"},
        outputs={"results": "ok, 3 dropped", "evidence top": "failing: disk full, 3 kept"},
        drift={"top": DriftState.WATCH},
        alarms=2,
    )


def test_prometheus_reads_the_metrics() -> None:
    text = render_metrics(a_view()).decode()
    samples = {
        (sample.name, *sorted(value for key, value in sample.labels.items() if key != "station")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["edge_ad_parts_total", "REJECT", "a"] == 1
    assert samples["edge_ad_not_scored_total", "a", "late"] == 1
    assert samples["edge_ad_refused_triggers_total", "a", "not_ready"] == 1
    assert samples["edge_ad_part_seconds_count", "a"] == 2
    assert samples["edge_ad_part_seconds_sum", "a"] == pytest.approx(0.04)
    assert samples["edge_ad_shift_part_seconds_max", "a"] == pytest.approx(0.03)
    assert samples["edge_ad_state", "FAULT"] == 1
    assert samples["edge_ad_state", "READY"] == 0
    assert samples["edge_ad_camera_streaming", "side"] == 0
    assert samples["edge_ad_output_ok", "results"] == 1
    assert samples["edge_ad_output_ok", "evidence top"] == 0
    assert samples["edge_ad_drift", "WATCH", "top"] == 1
    assert samples["edge_ad_alarms",] == 2
    assert samples["edge_ad_written_timestamp_seconds",] == 1000


def test_the_docs_name_every_metric() -> None:
    names = set(re.findall(r"^(edge_ad_\w+?)(?:\{| )", render_metrics(a_view()).decode(), re.MULTILINE))
    page = (DOCS / "station.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []
