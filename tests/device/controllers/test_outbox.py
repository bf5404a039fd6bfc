"""The outbox: order, bounds, the end of the process, a damaged file, a full disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.full_disk import disk_of

from edge_ad.controllers import outbox as module
from edge_ad.controllers.outbox import Outbox, OutboxLimits
from edge_ad.errors import DeviceError

LIMITS = OutboxLimits()


def numbers(outbox: Outbox) -> list[int]:
    return [one.sequence for one in outbox.after(0, 1_000_000)]


def test_messages_come_out_in_order_until_they_are_done(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "o", LIMITS)) as outbox:
        for number in range(1, 6):
            assert outbox.add("result", b"%d" % number).sequence == number
        outbox.done(2)
        outbox.done(1)
        assert [(one.sequence, one.kind, one.payload) for one in outbox.after(3, 1)] == [(4, "result", b"4")]
        assert (numbers(outbox), outbox.waiting) == ([3, 4, 5], 3)


def test_numbers_go_on_after_all_was_sent(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        with closing(Outbox(tmp_path / "o", LIMITS)) as outbox:
            assert outbox.next_sequence() == expected
            outbox.done(outbox.add("result", b"").sequence)
            assert outbox.waiting == 0


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        pytest.param(OutboxLimits(messages=10), list(range(91, 101)), id="count"),
        pytest.param(OutboxLimits(size_bytes=5 * 1_064), list(range(96, 101)), id="bytes"),
    ],
)
def test_the_oldest_are_lost_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, limits: OutboxLimits, left: list[int]
) -> None:
    with closing(Outbox(tmp_path / "o", limits)) as outbox:
        for _ in range(100):
            outbox.add("result", b"x" * 1_000)
        assert numbers(outbox) == left
        assert outbox.dropped == 100 - len(left)
    assert caplog.text.count("the oldest are lost") == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from edge_ad.controllers.outbox import Outbox, OutboxLimits
outbox = Outbox(Path(sys.argv[1]), OutboxLimits())
for number in range(500):
    outbox.add("result", b"x" * 100)
    if number < 100:
        outbox.done(number + 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_waits_survives_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "o"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == -9
    with closing(Outbox(path, LIMITS)) as outbox:
        assert numbers(outbox) == list(range(101, 501))
        assert outbox.next_sequence() == 501


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is no file of SQLite" * 100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5_000])


def scratch(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096:8_192] = b"\xaa" * 4_096
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [overwrite, cut, scratch])
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "o"
    with closing(Outbox(path, LIMITS)) as outbox:
        for _ in range(100):
            outbox.add("result", b"x" * 1_000)
    damage(path)
    with closing(Outbox(path, LIMITS)) as outbox:
        outbox.add("result", b"after")
        assert [one.payload for one in outbox.after(0, 10)] == [b"after"]
    assert path.with_name("o.damaged").exists()
    assert "is damaged and is now called o.damaged" in caplog.text


def test_a_full_disk_keeps_messages_in_memory_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    with closing(Outbox(tmp_path / "o", OutboxLimits(memory=20))) as outbox:
        outbox.add("result", b"1")
        with disk_of(0):
            for _ in range(30):
                outbox.add("result", b"x" * 5_000)
            assert outbox.unwritten == 20
            assert outbox.dropped == 10
            assert numbers(outbox) == [1, *range(12, 32)]
            outbox.done(1)
            outbox.done(12)
            assert numbers(outbox) == list(range(13, 32))
        outbox.add("result", b"last")
        assert (outbox.unwritten, outbox.waiting) == (0, 20)
    with closing(Outbox(tmp_path / "o", LIMITS)) as outbox:
        assert numbers(outbox) == list(range(13, 33))
    assert "wait in memory until it can be written" in caplog.text


def test_one_file_has_one_process(tmp_path: Path) -> None:
    with (
        closing(Outbox(tmp_path / "o", LIMITS)),
        pytest.raises(DeviceError, match="is used by another process"),
    ):
        Outbox(tmp_path / "o", LIMITS)


def test_the_disk_is_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    with disk_of(0):
        outbox = Outbox(tmp_path / "o", LIMITS)
        outbox.add("result", b"1")
        assert (outbox.unwritten, numbers(outbox)) == (1, [1])
    with closing(outbox):
        outbox.add("result", b"2")
        assert (outbox.unwritten, numbers(outbox)) == (0, [1, 2])
