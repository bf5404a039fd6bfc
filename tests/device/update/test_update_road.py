"""``edge-ad deploy`` against a station that is made up: steps, sentences, exit codes and the audit trail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.station_files import to_toml
from support.tiny_calibration import calibrate

from edge_ad.cli import main
from edge_ad.cli.deploy import _user
from edge_ad.controllers.security import read_trail
from edge_ad.errors import BundleError
from edge_ad.link import FakeStation, UpdateChanged
from edge_ad.station import read_station_file
from edge_ad.station.updating import deploy_order
from edge_ad.update import CheckOrder, Slots, Step, deploy

TABLES: dict[str, Any] = {
    "station": {"name": "trial", "trigger": "link"},
    "camera": {"top": {"source": "link"}},
    "inspect": {"top": {"camera": "top", "bundle": "part"}},
    "link": {"socket": "s"},
    "audit": {"file": "audit.jsonl"},
    "update": {"folder": "updates"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(to_toml(TABLES))
    return path


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


@pytest.fixture
def station(tmp_path: Path) -> Iterator[FakeStation]:
    with FakeStation(tmp_path / "s") as one:
        yield one


@pytest.fixture
def _passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check finds every bundle good; it is tested elsewhere."""
    monkeypatch.setattr("edge_ad.update.road.deploy.__kwdefaults__", {"check": lambda _: ("well",), "waits": True})


def run(*argv: object) -> Result:
    return CliRunner().invoke(main, ["deploy", *map(str, argv)])


@pytest.mark.usefixtures("_passes", "station")
def test_the_steps_are_told_and_stand_in_the_audit_trail(file: Path, bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, "--to", file, "--by", "anna")
    assert done.exit_code == 0, done.output
    told = [line.split()[1] for line in done.stdout.splitlines()]
    assert told == ["STAGED", "CHECKED", "SWITCHED", "WATCHED", "KEPT"]
    trail = [(one.action, one.result, one.who, one.after, one.detail) for one in read_trail(tmp_path / "audit.jsonl")]
    assert trail == [
        ("update", "asked", "anna", "tiny@1", "asked"),
        ("update", "done", "anna", "tiny@1", "STAGED"),
        ("update", "done", "anna", "tiny@1", "CHECKED: well"),
    ]


def test_a_bundle_that_is_refused_is_exit_code_3_and_leaves_nothing(
    file: Path, bundle: Path, station: FakeStation
) -> None:
    def refuses(order: CheckOrder) -> tuple[str, ...]:
        raise BundleError(f"{order.bundle} gives other scores")

    order = deploy_order(read_station_file(file), bundle, None, None, "anna")
    with pytest.raises(BundleError) as refused:
        deploy(order, check=refuses)
    assert (str(refused.value), refused.value.exit_code) == (f"{bundle} gives other scores", 3)
    slots = Slots(Path(order.settings.folder), order.named)
    assert [(one.step, one.who) for one in slots.lines()] == [(Step.STAGED, "anna"), (Step.REFUSED, "anna")]
    assert list((slots.folder / "slots").iterdir()) == []
    assert station.requests == []


def test_a_damaged_bundle_is_refused_by_the_command(file: Path, bundle: Path, station: FakeStation) -> None:
    (bundle / "variants/onnx-fp32/model.onnx").write_bytes(b"spoilt")
    done = run(bundle, "--to", file)
    assert (done.exit_code, done.stdout) == (3, "tiny@1  REFUSED\n")
    assert "model.onnx of" in done.stderr
    assert "was changed: expected SHA-256" in done.stderr
    assert station.requests == []


@pytest.mark.usefixtures("_passes")
def test_a_station_that_gives_it_back_is_exit_code_3(
    file: Path, bundle: Path, station: FakeStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gives_back(client: int, request: Any) -> None:
        station._server.answer(client, station_done(request.id))
        told = UpdateChanged(
            bundle=request.bundle, slot=request.slot, title="tiny@1", step="RETURNED", reason="too slow"
        )
        station._publish(told)

    monkeypatch.setattr(station, "_update_asked", gives_back)
    done = run(bundle, "--to", file)
    assert done.exit_code == 3
    assert done.stderr == "edge-ad: tiny@1 was given back, the bundle before it is used again: too slow\n"


@pytest.mark.usefixtures("_passes", "usual_silence")
@pytest.mark.parametrize(
    ("steps", "code", "said"),
    [
        (("SWITCHED",), 4, "tiny@1 was not kept, and the bundle before it is used at the next start"),
        (("SWITCHED", "WATCHED", "KEPT"), 0, ""),
    ],
    ids=["watching", "kept"],
)
def test_a_station_that_is_lost_is_told_by_what_it_wrote_down(
    file: Path, bundle: Path, station: FakeStation, monkeypatch: pytest.MonkeyPatch, steps: tuple[str, ...], code: int,
    said: str,
) -> None:  # fmt: skip
    def writes_and_is_gone(client: int, request: Any) -> None:
        station._server.answer(client, station_done(request.id))
        slots = Slots(file.parent / "updates", str(file.parent / "part"))
        for step in steps:
            slots.note(Step(step), request.slot)
        station._silent = True

    monkeypatch.setattr(station, "_update_asked", writes_and_is_gone)
    done = run(bundle, "--to", file)
    assert done.exit_code == code, done.output
    assert said in done.stderr


def station_done(name: str) -> Any:
    from edge_ad.link import Done

    return Done(id=name)


@pytest.mark.usefixtures("_passes")
def test_without_a_station_it_is_exit_code_4_and_nothing_is_copied(file: Path, bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, "--to", file)
    assert done.exit_code == 4
    assert "no station listens on" in done.stderr
    assert not (tmp_path / "updates").exists()


@pytest.mark.usefixtures("_passes", "station")
def test_two_at_once_are_exit_code_4(file: Path, bundle: Path) -> None:
    order = deploy_order(read_station_file(file), bundle, None, None, None)
    with Slots(Path(order.settings.folder), order.named).staging():
        done = run(bundle, "--to", file)
    assert done.exit_code == 4
    assert "is under way: wait until it has ended" in done.stderr


@pytest.mark.parametrize(
    ("tables", "argv", "said"),
    [
        ({"update": {}}, (), "update.folder is missing"),
        (
            {"inspect": {"top": {"camera": "top", "bundle": "a"}, "low": {"camera": "top", "bundle": "b"}}},
            (),
            "default/top",
        ),
        ({}, ("--recipe", "c"), "no recipe 'c' in the station file: there are default"),
        ({}, ("--inspection", "c"), "no inspection 'c' in the station file: there are top"),
    ],
    ids=["folder", "several", "recipe", "inspection"],
)
def test_where_it_goes_has_to_be_clear(
    tmp_path: Path, bundle: Path, tables: dict[str, Any], argv: tuple[str, ...], said: str
) -> None:
    (tmp_path / "station.toml").write_text(to_toml(TABLES | tables))
    done = run(bundle, "--to", tmp_path / "station.toml", *argv)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_station_without_the_table_says_so(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "station.toml").write_text(to_toml({k: v for k, v in TABLES.items() if k != "update"}))
    done = run(bundle, "--to", tmp_path / "station.toml")
    assert (done.exit_code, "add a table [update]" in done.stderr) == (2, True)


@pytest.mark.parametrize("at", ["stage", "check"])
def test_what_is_interrupted_before_the_station_is_asked_leaves_nothing(
    file: Path, bundle: Path, station: FakeStation, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupted(*_: object) -> tuple[str, ...]:
        raise KeyboardInterrupt

    if at == "stage":
        monkeypatch.setattr(Slots, "stage", interrupted)
    order = deploy_order(read_station_file(file), bundle, None, None, "anna")
    with pytest.raises(KeyboardInterrupt):
        deploy(order, check=interrupted)
    slots = Slots(Path(order.settings.folder), order.named)
    assert (slots.lines()[-1].step, slots.lines()[-1].reason) == (Step.REFUSED, "interrupted")
    assert list((slots.folder / "slots").iterdir()) == []
    assert station.requests == []


@pytest.mark.usefixtures("_passes", "station")
def test_interrupted_later_it_says_that_the_station_goes_on(
    file: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_ad.update.road._followed", interrupted)
    done = run(bundle, "--to", file)
    assert done.exit_code == 130
    assert done.stderr.strip() == "edge-ad: interrupted: tiny@1 is with the station, which goes on by itself"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert _user() == f"uid {os.getuid()}"


def test_local_means_the_only_station_of_this_device(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edge_ad.cli.deploy._STATIONS", tmp_path)
    done = run(bundle, "--to", "local")
    assert (done.exit_code, "found none" in done.stderr) == (2, True)
