"""The journal says which bundle is in force, wherever the power is cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.paths import TESTS
from support.station_files import station_file, to_toml

from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.errors import BundleError, DeviceError, InputError, OutputError
from edge_ad.station import StationFile
from edge_ad.station.running import check_station
from edge_ad.station.updating import StationUpdates, in_force
from edge_ad.update import Slots, SlotState, Step

CUT = """
import os, sys
from pathlib import Path
from edge_ad.bundle import Bundle
from edge_ad.update import Slots, Step

folder, named, bundle = (Path(one) for one in sys.argv[1:4])
slots, stride, ends = Slots(folder, str(named)), int(sys.argv[4]), sys.argv[5:]

def update():
    with slots.staging() as slot:
        opened = slots.stage(Bundle.open(bundle), slot)
        slots.note(Step.STAGED, slot, opened)
        for step in ends:
            slots.note(Step(step), slot)
    slots.clear_away()

def cut_at(number):
    '''The power goes at this call that changes the disk; a line of the journal is torn in its middle.'''
    done = 0
    def counted(name):
        real = getattr(os, name)
        def call(*given, **named):
            nonlocal done
            done += 1
            if done == number:
                if name == "write":
                    real(given[0], given[1][: len(given[1]) // 2])
                os._exit(9)
            return real(*given, **named)
        return call
    for name in ("fsync", "write", "rename", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(name))

print(slots.path(0).parent, flush=True)
number = 1 - stride
while True:
    number += stride
    if not sys.stdin.readline():
        break
    child = os.fork()
    if child == 0:
        cut_at(number)
        update()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
KEPT = ("CHECKED", "SWITCHED", "WATCHED", "KEPT")
RETURNED = ("CHECKED", "SWITCHED", "RETURNED")


@pytest.fixture
def slots(tiny_bundle: Path, tmp_path: Path) -> Slots:
    """Those of a station whose first deployed bundle is in slot 1."""
    made = Slots(tmp_path / "updates", str(tiny_bundle))
    put(made, tiny_bundle, *KEPT)
    return made


def put(slots: Slots, bundle: Path, *steps: str) -> int:
    """Deploys a bundle without a station."""
    with slots.staging() as slot:
        slots.note(Step.STAGED, slot, slots.stage(Bundle.open(bundle), slot))
        for step in steps:
            slots.note(Step(step), slot)
    slots.clear_away(slot)
    return slot


def started(slots: Slots) -> list[str]:
    """What the start of a station says of its updates."""
    updates = StationUpdates(a_station(slots))
    try:
        return updates.begin()
    finally:
        updates.close()


def a_station(slots: Slots) -> StationFile:
    inspect = {"top": {"camera": "top", "bundle": slots.named}}
    return station_file(inspect=inspect, update={"folder": str(slots.folder.parent)})


def test_verify_of_a_station_file_checks_the_deployed_bundle(slots: Slots, tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    inspect = {"top": {"camera": "top", "bundle": slots.named}}
    tables = {"station": {"name": "trial"}, "camera": {"top": {"source": "/dev/video0"}}, "inspect": inspect}
    file.write_text(to_toml({**tables, "update": {"folder": "updates"}}))
    done = CliRunner().invoke(main, ["verify", str(file)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"{slots.path(1)}: ")
    assert "golden frames replayed, all equal" in done.output


def test_verify_of_a_station_file_takes_no_options_for_a_bundle(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["verify", str(tmp_path / "station.toml"), "--threads", "1"])
    assert done.exit_code == 2
    assert "leave out the options" in done.output


@pytest.mark.parametrize(
    ("ends", "stride"),
    [
        pytest.param(KEPT, 12, id="some-calls"),
        pytest.param(KEPT, 1, id="every-call", marks=pytest.mark.slow),
        pytest.param(RETURNED, 1, id="every-call-of-a-return", marks=pytest.mark.slow),
    ],
)
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_bundle(
    slots: Slots, tiny_bundle: Path, tmp_path: Path, ends: tuple[str, ...], stride: int
) -> None:
    saved = tmp_path / "saved"
    shutil.copytree(slots.folder, saved)
    command = [sys.executable, "-c", CUT, str(slots.folder.parent), slots.named, str(tiny_bundle), str(stride), *ends]
    in_force_after: list[int] = []
    statuses: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS) as cutting:
        assert cutting.stdin is not None
        assert cutting.stdout is not None
        cutting.stdout.readline()
        while 0 not in statuses:
            shutil.rmtree(slots.folder)
            shutil.copytree(saved, slots.folder)
            cutting.stdin.write("\n")
            cutting.stdin.flush()
            statuses.append(int(cutting.stdout.readline()))
            started(slots)
            state, (path, wrong) = slots.state(), slots.in_force()
            in_force_after.append(state.active or 0)
            assert (path, wrong, state.trial) == (str(slots.path(state.active or 0)), (), None)
            there = {int(one.name) for one in (slots.folder / "slots").iterdir()}
            assert there == {one for one in (state.active, state.previous) if one is not None}
        cutting.stdin.close()
    assert set(statuses[:-1]) == {9}
    assert len(statuses) > 40 / stride
    assert sorted(set(in_force_after)) == ([1, 2] if ends is KEPT else [1])
    assert in_force_after == sorted(in_force_after)
    assert put(slots, tiny_bundle, *KEPT) == 3


def test_two_bundles_are_kept(slots: Slots, tiny_bundle: Path) -> None:
    assert slots.state() == SlotState(1, None, None, slots.lines()[-1])
    put(slots, tiny_bundle, *KEPT)
    put(slots, tiny_bundle, *KEPT)
    assert (slots.state().active, slots.state().previous) == (3, 2)
    assert sorted(one.name for one in (slots.folder / "slots").iterdir()) == ["2", "3"]


def test_what_was_on_trial_when_the_station_ended_is_given_back(slots: Slots, tiny_bundle: Path) -> None:
    put(slots, tiny_bundle, "CHECKED", "SWITCHED", "WATCHED")
    assert slots.state().trial == 2
    assert started(slots) == ["tiny@1 was given back: the station ended before it was kept"]
    assert (slots.state().active, slots.state().trial, slots.path(2).exists()) == (1, None, False)


def test_damaged_files_of_the_active_bundle_send_it_back_at_a_start(slots: Slots, tiny_bundle: Path) -> None:
    put(slots, tiny_bundle, *KEPT)
    (slots.path(2) / "variants/onnx-fp32/model.onnx").write_bytes(b"spoilt")
    (said,) = started(slots)
    assert "model.onnx" in said
    assert slots.in_force() == (str(slots.path(1)), ())
    shutil.rmtree(slots.path(1))
    started(slots)
    assert slots.in_force() == (slots.named, ())


def test_where_both_deployed_bundles_are_damaged_both_are_given_back(slots: Slots, tiny_bundle: Path) -> None:
    put(slots, tiny_bundle, *KEPT)
    for one in (1, 2):
        shutil.rmtree(slots.path(one))
    assert [said.partition(":")[0] for said in started(slots)] == ["tiny@1 was given back"] * 2
    assert slots.state().active is None


def test_where_the_named_bundle_is_refused_too_the_check_says_why_it_is_used(slots: Slots) -> None:
    (slots.path(1) / "variants/onnx-fp32/model.onnx").write_bytes(b"spoilt")
    with pytest.raises(
        InputError, match=r"tiny is not calibrated: .*; the deployed bundle .*/slots/1 cannot be used: "
    ):
        check_station(a_station(slots))


@pytest.mark.parametrize(("steps", "end"), [((), Step.REFUSED), (("CHECKED",), Step.RETURNED)])
def test_what_was_never_handed_to_the_station_is_ended_at_a_start(
    slots: Slots, tiny_bundle: Path, steps: tuple[str, ...], end: Step
) -> None:
    slot = put(slots, tiny_bundle, *steps)
    (said,) = started(slots)
    assert "its deployment ended before the station used it" in said
    assert (slots.lines()[-1].slot, slots.lines()[-1].step, slots.path(slot).exists()) == (slot, end, False)
    assert started(slots) == []


def test_what_somebody_deploys_just_now_is_left_alone_at_a_start(slots: Slots, tiny_bundle: Path) -> None:
    with slots.staging() as slot:
        slots.note(Step.STAGED, slot, slots.stage(Bundle.open(tiny_bundle), slot))
        assert started(slots) == []
        assert slots.lines()[-1].step is Step.STAGED
        assert slots.path(slot).is_dir()


def _without_the_line_that_keeps_it(journal: Path) -> None:
    journal.write_bytes(b"".join(one for one in journal.read_bytes().splitlines(True) if b"KEPT" not in one))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="missing"),
        pytest.param(lambda journal: journal.write_bytes(b""), id="empty"),
        pytest.param(lambda journal: journal.write_bytes(bytes(journal.stat().st_size)), id="zeros"),
    ],
)
def test_a_journal_that_was_lost_is_told_and_no_bundle_is_removed(
    slots: Slots, damage: Callable[[Path], object]
) -> None:
    damage(slots.folder / "journal.jsonl")
    (said,) = started(slots)
    assert "has lost lines: it does not say what became of the bundles in slots 1;" in said
    assert slots.path(1).is_dir()


def test_a_lost_line_is_told(slots: Slots, tiny_bundle: Path) -> None:
    put(slots, tiny_bundle, *KEPT)
    _without_the_line_that_keeps_it(slots.folder / "journal.jsonl")
    assert "has lost lines: it does not say what became of the bundles in slots 1;" in started(slots)[0]


def test_a_copy_that_was_ended_before_its_first_line_is_no_lost_line(slots: Slots, tiny_bundle: Path) -> None:
    with slots.staging() as slot:
        slots.stage(Bundle.open(tiny_bundle), slot)
    assert started(slots) == []
    assert not slots.path(slot).exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_journal_that_is_no_file_is_one_line(slots: Slots, make: Callable[[Path], None]) -> None:
    journal = slots.folder / "journal.jsonl"
    journal.unlink()
    make(journal)
    with pytest.raises(OutputError, match="cannot be read"):
        slots.lines()


def test_what_is_wrong_with_the_folder_is_told_at_a_start(slots: Slots) -> None:
    shutil.rmtree(slots.folder / "slots")
    (slots.folder / "slots").write_text("in the way")
    assert "slots: cannot be read: Not a directory" in started(slots)[0]


def test_the_station_file_is_read_with_the_deployed_bundle(slots: Slots) -> None:
    file = a_station(slots)
    assert in_force(file).inspect["top"].bundle == str(slots.path(1))
    assert in_force(station_file()).inspect["top"].bundle == "bundle"


def test_a_bundle_that_was_changed_is_not_staged_and_leaves_nothing(slots: Slots, tiny_bundle: Path) -> None:
    (tiny_bundle / "variants/onnx-fp32/model.onnx").write_bytes(b"spoilt")
    with slots.staging() as slot, pytest.raises(BundleError, match=r"model\.onnx of .* was changed"):
        slots.stage(Bundle.open(tiny_bundle), slot)
    assert [one.name for one in (slots.folder / "slots").iterdir()] == ["1"]


def test_a_full_disk_at_stage_leaves_nothing(slots: Slots, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with slots.staging() as slot, pytest.raises(OutputError, match="the disk is full"):
        slots.stage(Bundle.open(tiny_bundle), slot)
    with pytest.raises(OutputError, match="the disk is full"):
        slots.note(Step.STAGED, slot, Bundle.open(tiny_bundle))
    assert [one.name for one in (slots.folder / "slots").iterdir()] == ["1"]
    assert len(slots.lines()) == 5


def test_two_at_once_and_steps_out_of_their_order_are_refused(slots: Slots) -> None:
    with slots.staging(), pytest.raises(DeviceError, match="is under way: wait until it has ended"), slots.staging():
        pass
    with pytest.raises(DeviceError, match="slot 1 cannot be CHECKED: it is KEPT"):
        slots.note(Step.CHECKED, 1)
    with pytest.raises(DeviceError, match="slot 9 cannot be SWITCHED: it is unknown"):
        slots.note(Step.SWITCHED, 9)
