"""The programs that run on the device: provisioning, the health check, the refusal of older systems, GRUB's block."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from edge_ad_deploy.image.grub import FRESH, environment_block
from edge_ad_deploy.image.root import FILES

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the device has Python 3.11, with tomllib")
PROGRAMS = FILES / "root/usr/lib/edge-ad"
STATION = '[inspect.main]\nbundle = "bundles/a"\n\n[trust]\nstore = "/store"\n\n[controller.web]\nprotocol = "http"\n'


def load(name: str) -> ModuleType:
    """A program of the device as a module."""
    spec = importlib.util.spec_from_file_location(f"edge_ad_device_{name}", PROGRAMS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class FakePrograms:
    """Answers for the programs that a device calls, by the first words of a call; what was called."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        self.called.append(line)
        code, said = next((found for part, found in self.answers.items() if part in line), (0, ""))
        return subprocess.CompletedProcess(command, code, said, said)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here may give files away."""
    monkeypatch.setattr("shutil.chown", lambda *given: None)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What a stick brings."""
    folder = tmp_path / "stick"
    (folder / "stations/line1/bundles").mkdir(parents=True)
    (folder / "stations/line1/station.toml").write_text(STATION)
    (folder / "root.json").write_text("{}")
    (folder / "hostname").write_text("line-one\n")
    (folder / "ntp").write_text("10.0.0.1\n10.0.0.2\n")
    return folder


@pytest.fixture
def device(tmp_path: Path) -> Path:
    (tmp_path / "device/stations").mkdir(parents=True)
    return tmp_path / "device"


def provisioned(place: Path, programs: FakePrograms, folder: Path) -> list[str]:
    provision = load("provision")
    made = provision.ProvisionedDevice(place / "stations", place / "settings", place / "kept", "me", programs.run)
    return list(provision.take(folder, made))


@pytest.mark.usefixtures("user")
def test_a_stick_makes_a_station_once(given: Path, device: Path) -> None:
    lines = provisioned(device, FakePrograms(), given)
    assert lines == [
        "hostname line-one: taken",
        "ntp 10.0.0.1 10.0.0.2: taken",
        "root.json: taken",
        "station line1: is copied and checked",
        "station line1: taken",
    ]
    assert (device / "stations/line1/station.toml").read_text() == STATION
    assert (device / "stations/line1/station.toml").stat().st_mode & 0o777 == 0o600
    assert (device / "settings/chrony/ntp.conf").read_text() == "server 10.0.0.1 iburst\nserver 10.0.0.2 iburst\n"
    (given / "stations/line1/station.toml").write_text("another")
    assert "station line1: taken" not in provisioned(device, FakePrograms(), given)
    assert (device / "stations/line1/station.toml").read_text() == STATION


@pytest.mark.usefixtures("user")
def test_a_station_that_does_not_pass_its_check_leaves_nothing(given: Path, device: Path) -> None:
    programs = FakePrograms({"run --check": (3, "edge-ad: inspect.main.bundle: it is not signed\n")})
    assert "station line1: refused: inspect.main.bundle: it is not signed" in provisioned(device, programs, given)
    assert sorted(path.name for path in (device / "stations").iterdir()) == []


@pytest.mark.usefixtures("user")
def test_a_file_that_cannot_be_read_from_the_stick_is_named(given: Path, device: Path) -> None:
    (given / "stations/line1/bundles/a").symlink_to(given / "gone")
    (line,) = [line for line in provisioned(device, FakePrograms(), given) if "refused" in line]
    assert line.startswith("station line1: refused: bundles/a could not be copied: ")
    assert "No such file or directory" in line
    assert sorted(path.name for path in (device / "stations").iterdir()) == []


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("name", ["trust", "a b", "-x"])
def test_a_station_needs_a_name_of_its_own(given: Path, device: Path, name: str) -> None:
    (given / "stations/line1").rename(given / "stations" / name)
    (line,) = [line for line in provisioned(device, FakePrograms(), given) if line.startswith("stations/")]
    assert line == f"stations/{name}: refused: expected a name of letters, digits, _ and -"


def test_nothing_is_taken_where_nothing_is(device: Path, tmp_path: Path) -> None:
    assert provisioned(device, FakePrograms(), tmp_path / "none") == []


def test_stations_start_with_their_controllers(device: Path) -> None:
    provision, programs = load("provision"), FakePrograms()
    made = provision.ProvisionedDevice(stations=device / "stations", run=programs.run)
    assert provision.start(made)[0].startswith("no station: put the folder edge-ad/stations")
    (device / "stations/line1").mkdir()
    (device / "stations/line1/station.toml").write_text(STATION)
    assert provision.start(made) == ["station line1 starts"]
    assert programs.called == ["systemctl --no-block start edge-ad@line1.service edge-ad-connect@line1.service"]


SAID = "bundles/a: 9 files intact\n  fp32: 2 golden frames replayed, all equal\n"
GOOD = {"StatusText": (0, "READY\n"), "verify": (0, SAID)}
OTHER_IS_GOOD = (0, "ORDER=B A\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=1\n")
OTHER_IS_BAD = (0, "ORDER=B A\nA_OK=0\nA_TRY=0\nB_OK=1\nB_TRY=1\n")


def decided(device: Path, programs: FakePrograms, *, proven: str = "") -> tuple[str, list[str]]:
    """A boot of version 2 in slot B."""
    health = load("health")
    clock = iter(range(0, 100000, 100))
    (device / "stations/line1").mkdir(exist_ok=True)
    (device / "stations/line1/station.toml").write_text(STATION)
    (device / "version").write_text("2\n")
    (device / "cmdline").write_text("root=x rauc.slot=B panic=10\n")
    (device / "kept").mkdir(exist_ok=True)
    if proven:
        (device / "kept/proven-B").write_text(proven)
    made = health.WatchedDevice(
        stations=device / "stations",
        kept=device / "kept",
        version_file=device / "version",
        command_line=device / "cmdline",
        run=programs.run,
        now=lambda: float(next(clock)),
        sleep=lambda seconds: None,
        up=lambda: 33.0,
    )
    verdict: tuple[str, list[str]] = health.decide(made)
    return verdict


MARKED_GOOD = "rauc status mark-good"
WENT_BACK = ["rauc status mark-bad", "systemctl reboot"]


def test_a_station_that_is_ready_with_equal_golden_frames_makes_a_good_system(device: Path) -> None:
    programs = FakePrograms(dict(GOOD))
    verdict, lines = decided(device, programs)
    assert verdict == "good"
    assert lines == [
        "station line1: READY, 33 s after the kernel",
        "station line1: bundles/a: 9 files intact",
        "station line1: fp32: 2 golden frames replayed, all equal",
    ]
    assert programs.called[-1] == MARKED_GOOD
    assert any("runuser -u edge-ad -- /opt/edge-ad/bin/edge-ad verify station.toml" in call for call in programs.called)
    assert (device / "kept/proven-B").read_text() == "2\n"
    assert (device / "kept/good-version").read_text() == "2\n"


@pytest.mark.parametrize(
    "answers",
    [
        {"StatusText": (0, "FAULT: camera main: lost\n")},
        {"StatusText": (0, "STARTING\n")},
        {"StatusText": (0, "\n")},
        {"verify": (3, "edge-ad: golden frame 0 scores 0.5 instead of 0.4\n")},
        {"verify": (-11, "")},
    ],
    ids=["fault", "hangs", "not running", "golden frames differ", "the engine crashes"],
)
def test_a_new_system_that_is_not_good_goes_back(device: Path, answers: dict[str, tuple[int, str]]) -> None:
    programs = FakePrograms({**GOOD, **answers, "grub-editenv": OTHER_IS_GOOD})
    assert decided(device, programs)[0] == "bad"
    assert programs.called[-2:] == WENT_BACK
    assert not (device / "kept/proven-B").exists()


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"StatusText": (0, "FAULT: camera main: lost\n")}, "good"),
        ({"verify": (3, "edge-ad: the signature has expired\n")}, "good"),
        ({"verify": (2, "edge-ad: station.toml: no such key\n")}, "good"),
        ({"verify": (-11, "")}, "bad"),
        ({"StatusText": (0, "\n")}, "bad"),
    ],
    ids=["no camera", "a bundle is refused", "its file is wrong", "the engine crashes", "no station runs"],
)
def test_a_system_that_was_good_before_goes_back_only_for_its_own_faults(
    device: Path, answers: dict[str, tuple[int, str]], verdict: str
) -> None:
    programs = FakePrograms({**GOOD, **answers, "grub-editenv": OTHER_IS_GOOD})
    assert decided(device, programs, proven="2")[0] == verdict


def test_a_version_that_was_good_in_this_slot_proves_nothing_for_another(device: Path) -> None:
    programs = FakePrograms({**GOOD, "StatusText": (0, "FAULT: camera\n"), "grub-editenv": OTHER_IS_GOOD})
    assert decided(device, programs, proven="1")[0] == "bad"


def test_without_another_system_the_device_stays_reachable(device: Path) -> None:
    programs = FakePrograms({**GOOD, "verify": (1, "edge-ad: broken\n"), "grub-editenv": OTHER_IS_BAD})
    verdict, lines = decided(device, programs)
    assert verdict == "kept"
    assert lines[-1] == "there is no other system to go back to"
    assert not set(WENT_BACK) & set(programs.called)


def test_the_newest_good_version_is_kept(device: Path) -> None:
    (device / "kept").mkdir()
    (device / "kept/good-version").write_text("3\n")
    decided(device, FakePrograms({**GOOD, "compare-versions": (1, "")}))
    assert (device / "kept/good-version").read_text() == "3\n"


@pytest.mark.parametrize(
    ("new", "here", "good", "replaces", "refusal"),
    [
        ("2", "1", None, None, ""),
        ("2", "2", "2", None, ""),
        ("1.10", "1.9", "1.9", None, ""),
        ("1", "2", None, None, "version 1 is older than 2"),
        ("2", "1", "3", None, "version 2 is older than 3"),
        ("1~rc1", "1", None, None, "version 1~rc1 is older than 1"),
        ("1", "2", "3", "3", ""),
        ("1", "2", "3", "2", "version 1 is older than 3, and may replace versions up to 2 only"),
        ("x; reboot", "1", None, None, "the update does not say its version"),
        (None, "1", None, None, "the update does not say its version"),
    ],
)
def test_older_systems_are_refused(
    tmp_path: Path, new: str | None, here: str, good: str | None, replaces: str | None, refusal: str
) -> None:
    files = {"bundle/version": new, "here": here, "good": good, "bundle/replaces": replaces}
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/root.img").write_bytes(b"root")
    for name, text in files.items():
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "RAUC_BUNDLE_MOUNT_POINT": str(tmp_path / "bundle"),
        "EDGE_AD_VERSION_FILE": str(tmp_path / "here"),
        "EDGE_AD_GOOD_FILE": str(tmp_path / "good"),
    }
    script = ["sh", str(PROGRAMS / "refuse-older")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == (f"refused: {refusal}\n" if refusal else "")
    assert done.returncode == bool(refusal)


def test_a_damaged_update_is_refused_before_the_other_slot_is_touched(tmp_path: Path) -> None:
    (tmp_path / "bundle/root.img").mkdir(parents=True)  # It is there and cannot be read, as a damaged block.
    for name in ("bundle/version", "here"):
        (tmp_path / name).write_text("1\n")
    environment = {
        "PATH": os.environ["PATH"],
        "RAUC_BUNDLE_MOUNT_POINT": str(tmp_path / "bundle"),
        "EDGE_AD_VERSION_FILE": str(tmp_path / "here"),
        "EDGE_AD_GOOD_FILE": str(tmp_path / "good"),
    }
    script = ["sh", str(PROGRAMS / "refuse-older")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "refused: the update is damaged\n")


def test_an_older_system_is_refused_before_all_of_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "bundle/root.img").mkdir(parents=True)  # Reading it would say that it is damaged.
    (tmp_path / "bundle/version").write_text("1\n")
    (tmp_path / "here").write_text("2\n")
    environment = {
        "PATH": os.environ["PATH"],
        "RAUC_BUNDLE_MOUNT_POINT": str(tmp_path / "bundle"),
        "EDGE_AD_VERSION_FILE": str(tmp_path / "here"),
        "EDGE_AD_GOOD_FILE": str(tmp_path / "good"),
    }
    script = ["sh", str(PROGRAMS / "refuse-older")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "refused: version 1 is older than 2\n"


def test_the_environment_of_grub_is_never_empty(tmp_path: Path) -> None:
    block, real = tmp_path / "grubenv", tmp_path / "real"
    block.write_bytes(environment_block(FRESH))
    real.write_text('#!/bin/sh\n[ "$2" = set ] && sed -i "s/B_OK=0/$3/" "$1"\n')
    real.chmod(0o755)
    before = block.stat().st_ino
    environment = {"PATH": os.environ["PATH"], "REAL_GRUB_EDITENV": str(real), "RUNTIME_FOLDER": str(tmp_path)}
    script = ["sh", str(PROGRAMS / "bin/grub-editenv"), str(block), "set", "B_OK=1"]
    subprocess.run(script, env=environment, check=True)
    assert block.read_bytes() == environment_block({**FRESH, "B_OK": "1"})
    assert block.stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grubenv", "real"]
