"""The audit trail: what was recorded stays, and what is done to it shows."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_ad.cli import main
from edge_ad.controllers.security import AuditTrail, check_trail, read_trail, syslog_line
from edge_ad.errors import OutputError
from edge_ad.station.station_log import AuditSettings


def trail(folder: Path, **given: float) -> AuditTrail:
    return AuditTrail(AuditSettings(file=str(folder / "audit.jsonl"), **given), "web", clock=lambda: 1.5)  # type: ignore[arg-type]


def filled(folder: Path, count: int = 6) -> Path:
    one = trail(folder)
    for number in range(count):
        one.record("recipe", "done", who="anna", role="supervisor", source="10.0.0.5", target="b", before=f"a{number}")
    return one.path


def append_many(path: str, name: str) -> None:
    one = AuditTrail(AuditSettings(file=path), name)
    for number in range(25):
        one.record("recipe", "done", who=str(number))


def test_records_survive_a_restart_and_are_chained(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = filled(tmp_path, 2)
    records = list(read_trail(path))
    assert [one.seq for one in records] == [1, 2, 3, 4]
    assert [one.previous for one in records[1:]] == [one.sha256 for one in records[:-1]]
    report = check_trail(path, expected=records[1].sha256)
    assert (report.records, report.problems) == (4, ())


def test_several_processes_append_to_one_trail(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(str(path), f"c{number}")) for number in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
    report = check_trail(path)
    assert (report.records, report.last, report.problems) == (75, 75, ())


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda one: [*one[:2], one[2].replace(b"anna", b"otto"), *one[3:]], "record 3 (", id="changed"),
        pytest.param(lambda one: [*one[:2], *one[3:]], "record 3 missing", id="removed"),
        pytest.param(lambda one: [*one[:2], *one[4:]], "records 3-4 missing", id="two-removed"),
        pytest.param(lambda one: one[1:], "records 1-1 are missing", id="first-removed"),
        pytest.param(lambda one: [*one[:3], one[2], *one[3:]], "record 3 (audit.jsonl line 4) stands", id="twice"),
        pytest.param(swap, "record 2 missing", id="swapped"),
        pytest.param(lambda one: [*one[:2], b"rubbish\n", *one[2:]], "line 3 (after record 2) is no", id="put-in"),
        pytest.param(lambda one: [*one[:2], b"rubbish\n", *one[3:]], "line 3 (after record 2) is no", id="overwritten"),
        pytest.param(lambda one: [*one[:5], one[5].replace(b'"b"', b'"c"')], "record 6 (", id="last-changed"),
        pytest.param(lambda one: [*one[:5], one[5].replace(b"{", b"{ ")], "record 6 (", id="last-with-a-space"),
    ],
)
def test_a_change_is_found_and_named(tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], said: str) -> None:
    path = filled(tmp_path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert said in " | ".join(check_trail(path).problems)
    done = CliRunner().invoke(main, ["audit", str(path), "--verify"])
    assert done.exit_code == 5
    assert said in done.output


def test_what_is_taken_from_the_end_shows_by_a_hash_that_was_noted(tmp_path: Path) -> None:
    path = filled(tmp_path)
    noted = check_trail(path).sha256
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert check_trail(path).problems == ()
    assert "no record has the hash" in check_trail(path, noted).problems[0]


@pytest.mark.parametrize("kept", [1, 40, -1], ids=["one-byte", "half", "all-but-the-end"])
def test_a_torn_last_line_is_cut_off_and_that_is_recorded(tmp_path: Path, kept: int) -> None:
    path = filled(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    assert check_trail(path).problems == ()
    filled(tmp_path, 1)
    records = list(read_trail(path))
    assert [(one.seq, one.action) for one in records] == [(1, "recipe"), (2, "recipe"), (3, "mended"), (4, "recipe")]
    assert check_trail(path).problems == ()


def test_rotation_keeps_the_chain_and_says_what_went(tmp_path: Path) -> None:
    one = trail(tmp_path, limit_mb=0.001, keep=2)
    for number in range(40):
        one.record("recipe", "done", who=str(number))
    report = check_trail(one.path)
    assert report.problems == ()
    assert report.first > 1
    older = sorted(tmp_path.glob("audit.jsonl.*"))
    assert len(older) == 2
    older[0].unlink()
    assert "no rotation took them away" in check_trail(one.path).problems[0]


def test_a_crash_between_the_two_steps_of_a_rotation_keeps_the_chain(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    path.rename(path.with_name("audit.jsonl.0000000003"))
    filled(tmp_path, 1)
    report = check_trail(path)
    assert (report.records, report.last, report.problems) == (4, 4, ())


def test_what_cannot_be_written_is_an_error_and_leaves_no_half_record(tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    before = path.read_bytes()
    path.with_name(".audit.jsonl.lock").unlink()
    path.with_name(".audit.jsonl.lock").mkdir()
    with pytest.raises(OutputError, match=r"audit\.jsonl"):
        trail(tmp_path).record("reset", "asked")
    assert path.read_bytes() == before


def test_a_trail_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        trail(tmp_path).record("reset", "asked")
    assert not (tmp_path / "elsewhere").exists()


def test_syslog_lines_are_escaped_and_have_the_severity_of_what_happened(tmp_path: Path) -> None:
    one = trail(tmp_path)
    done = one.record("recipe", "done", who='an"na', target="a]b\\c", source="::1")
    refused = one.record("log_in", "refused", detail="a wrong\ntoken")
    assert syslog_line(done) == (
        "<109>1 1970-01-01T00:00:01.500000Z - edge-ad - recipe "
        '[audit@32473 seq="1" controller="web" who="an\\"na" source="::1" target="a\\]b\\\\c" '
        f'sha256="{done.sha256}"] recipe done'
    )
    assert syslog_line(refused).startswith("<108>1 ")
    assert syslog_line(refused).endswith("] log_in refused: a wrong\\ntoken")
    printed = CliRunner().invoke(main, ["audit", str(one.path), "--syslog"])
    assert printed.output.splitlines() == [syslog_line(done), syslog_line(refused)]


def test_the_command_shows_records_and_says_where_there_are_none(tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    shown = CliRunner().invoke(main, ["audit", str(path)])
    assert "anna (supervisor) 10.0.0.5  recipe  done  b was a0" in shown.output
    verified = CliRunner().invoke(main, ["audit", str(path), "--verify"])
    assert verified.exit_code == 0
    assert "1 records, 1 to 1, unbroken" in verified.output
    missing = CliRunner().invoke(main, ["audit", str(tmp_path / "none"), "--verify"])
    assert missing.exit_code == 2
    assert CliRunner().invoke(main, ["audit", str(path), "--expect", "0"]).exit_code == 2


def test_a_file_that_is_no_trail_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[token.anna]\n")
    other = CliRunner().invoke(main, ["audit", str(tmp_path / "other")])
    assert (other.exit_code, "expected an audit trail, found no record in it" in other.output) == (2, True)
    path = filled(tmp_path, 2)
    path.write_bytes(path.read_bytes() + b"something else\n")
    broken = CliRunner().invoke(main, ["audit", str(path)])
    assert broken.exit_code == 0
    assert "the trail is broken" in broken.output
    assert "b was a0" in broken.output


def test_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = filled(tmp_path, 1)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o027 == 0
