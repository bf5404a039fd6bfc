"""MQTT when something fails: broker, station, adapter, certificates; against a real mosquitto."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.adapters import serving
from support.certificates import Authority
from support.mosquitto import Mosquitto, Subscriber, mosquitto, subscribed, write_user
from support.station_files import to_toml
from support.videos import wait_for

from edge_ad.controllers.mqtt import PROTOCOL, MqttSettings
from edge_ad.errors import DeviceError
from edge_ad.link import Client, FakeStation, RecordedRequest, TriggerRequest

TRIGGER = "edge-ad/fake/command/trigger"
STALE_MS = 2_000  # a command is that old on no machine that has work to do


def settings(folder: Path, port: int, **more: Any) -> MqttSettings:
    given = {"window_ms": 60_000, "stale_ms": 60_000, "keepalive_s": 2, **more}
    return MqttSettings(protocol="mqtt", port=port, outbox=str(folder / "outbox.sqlite"), **given)


def tell(path: Path, numbers: range) -> None:
    """Lets the station inspect parts that another client brings."""
    with Client(path, client="line") as line:
        assert all(line.passes(f"P{number}") for number in numbers)


def once(results: list[Any]) -> list[str]:
    """Part ids in order, each result once by its id, as a consumer has to take them."""
    return list({one["id"]: one["part_id"] for one in results}.values())


def heard_once(heard: Subscriber, count: int) -> list[str]:
    """The same, as soon as there are so many: what was told again after a connection was lost is no further one."""
    assert wait_for(lambda: len(once(heard.of("result"))) >= count, 60)
    return once(heard.of("result"))


def parts(numbers: range) -> list[str]:
    return [f"P{number}" for number in numbers]


def triggers(station: FakeStation) -> list[RecordedRequest]:
    return [one for one in station.requests if isinstance(one.request, TriggerRequest)]


@contextmanager
def connected(folder: Path, broker: Mosquitto, path: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The adapter in a process of its own, by ``edge-ad connect``."""
    table = {"protocol": "mqtt", "port": broker.port, "window_ms": 60_000, "keepalive_s": 2, **more}
    tables = {
        "station": {"name": "fake"},
        "camera": {"top": {"source": "0"}},
        "inspect": {"top": {"camera": "top", "bundle": "bundle"}},
        "link": {"socket": str(path)},
        "controller": {"broker": table},
    }
    file = folder / "station.toml"
    file.write_text(to_toml(tables), encoding="utf-8")
    command = [sys.executable, "-m", "edge_ad", "connect", str(file), "broker"]
    with (folder / "adapter.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_broker_is_killed_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        stack.enter_context(FakeStation(path))
        gateway = stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        with subscribed(broker, "edge-ad/#") as before:
            before.wait_until_connected()
            tell(path, range(1, 51))
            before.wait("result", 50)
            tell(path, range(51, 101))
            broker.kill()
            first = before.of("result")
        tell(path, range(101, 201))
        assert wait_for(lambda: gateway.view.counts.ok == 200, 60)
        broker.start()
        with subscribed(broker, "edge-ad/#") as after:
            after.wait("result", 100)
            tell(path, range(201, 211))
            assert wait_for(lambda: once(after.of("result"))[-1:] == ["P210"], 60)
            second = after.of("result")
    # What the broker had taken before it was killed, and had not passed on, is the broker's to keep or lose.
    heard = once(first + second)
    assert heard[:50] == parts(range(1, 51))
    assert heard[-110:] == parts(range(101, 211))
    assert heard == sorted(heard, key=lambda name: int(name[1:]))


def test_a_broker_that_stands_still_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        stack.enter_context(FakeStation(path))
        stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        heard.wait_until_connected()
        broker.stop()
        tell(path, range(1, 101))
        broker.go_on()
        assert heard_once(heard, 100) == parts(range(1, 101))


def test_results_survive_the_end_of_the_adapter(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        station = stack.enter_context(FakeStation(path))
        broker.kill()
        with connected(tmp_path, broker, path) as process:
            assert wait_for(lambda: bool(station.clients), 60)
            assert wait_for(lambda: bool(station.requests), 60)
            tell(path, range(1, 31))
            assert wait_for(lambda: _kept(tmp_path) == 30, 60)
            process.send_signal(signal.SIGKILL)
            process.wait()
        broker.start()
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        stack.enter_context(connected(tmp_path, broker, path))
        assert heard_once(heard, 30) == parts(range(1, 31))
        numbers = {one["id"]: one["sequence"] for one in heard.of("result")}
        assert list(numbers.values()) == list(range(1, 31))


def test_the_broker_tells_that_the_adapter_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        stack.enter_context(FakeStation(path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        process = stack.enter_context(connected(tmp_path, broker, path))
        assert heard.wait("online", 1) == [{"online": True}]
        process.send_signal(signal.SIGKILL)
        assert heard.wait("online", 2)[-1] == {"online": False}


def test_what_came_while_the_adapter_was_stopped_is_not_carried_out(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        station = stack.enter_context(FakeStation(path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        process = stack.enter_context(connected(tmp_path, broker, path, stale_ms=STALE_MS, keepalive_s=60))
        assert wait_for(lambda: any(one["connected"] for one in heard.of("state")), 60)
        process.send_signal(signal.SIGSTOP)
        for part_id in ("old-1", "old-2"):
            broker.publish(TRIGGER, {"part_id": part_id})
        with subscribed(broker, "clock") as clock:  # the time that passes is that of another client's wait
            clock.process.send_signal(signal.SIGSTOP)
            with pytest.raises(subprocess.TimeoutExpired):
                clock.process.wait(1.2 * STALE_MS / 1000)
        process.send_signal(signal.SIGCONT)
        assert len(heard.wait("online", 3)) >= 3  # gone, and here again
        assert wait_for(lambda: heard.of("state")[-1]["connected"], 60)
        broker.publish(TRIGGER, {"part_id": "new"})
        assert [one["part_id"] for one in heard.wait("result", 1)] == ["new"]
        assert len(triggers(station)) == 1


def test_the_station_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        heard.wait("online", 1)
        broker.publish(TRIGGER, {"part_id": "P1"})
        assert heard.wait("answer", 1)[0]["reason"] == "station_away"
        for part_id in ("P1", "P2"):
            with FakeStation(path) as station:
                assert wait_for(lambda: heard.of("state")[-1]["connected"], 60)
                station.hold()
                broker.publish(TRIGGER, {"part_id": part_id})
                assert wait_for(lambda: bool(station.open), 60)
            assert wait_for(lambda: not heard.of("state")[-1]["connected"], 60)
        results = heard.wait("result", 2)
        assert [(one["part_id"], one["reason"]) for one in results] == [("P1", "station_away"), ("P2", "station_away")]
        assert len({one["id"] for one in results}) == 2


def test_a_late_result_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        station = stack.enter_context(FakeStation(path))
        stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port, window_ms=50), path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        assert wait_for(lambda: any(one["connected"] for one in heard.of("state")), 60)
        station.hold()
        broker.publish(TRIGGER, {"part_id": "late"})
        assert heard.wait("result", 1)[0]["reason"] == "no_result"
        station.release()
        tell(path, range(100, 101))
        assert [one["part_id"] for one in heard.wait("result", 2)] == ["late", "P100"]


def test_ten_subscribers_hear_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        stack.enter_context(FakeStation(path))
        stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        all_of_them = [stack.enter_context(subscribed(broker, "edge-ad/#")) for _ in range(10)]
        all_of_them[0].wait_until_connected()
        tell(path, range(1, 21))
        heard = [heard_once(one, 20) for one in all_of_them]
        assert heard == [parts(range(1, 21))] * 10


def test_a_gap_shows_what_the_queue_of_the_broker_did_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, "max_queued_messages 5", "max_inflight_messages 1"))
        stack.enter_context(FakeStation(path))
        gateway = stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        witness = stack.enter_context(subscribed(broker, "edge-ad/#"))
        witness.wait_until_connected()
        with subscribed(broker, "edge-ad/fake/result", "-c", "-i", "mes"):
            pass
        for number in range(1, 31):
            tell(path, range(number, number + 1))
            witness.wait("result", number)
        with subscribed(broker, "edge-ad/fake/result", "-c", "-i", "mes") as back:
            back.wait("result", 1)
            tell(path, range(31, 32))
            assert wait_for(lambda: once(back.of("result"))[-1:] == ["P31"], 60)
            numbers = [one["sequence"] for one in back.of("result")]
        assert gateway.view.counts.ok == 31
        assert numbers[-1] == 31
        assert len(set(numbers)) < 31


def test_the_disk_of_the_broker_is_full(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    kept = ["persistence true", f"persistence_location {tmp_path}/", "autosave_on_changes true", "autosave_interval 1"]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, *kept))
        broker.restart_on_a_full_disk()
        stack.enter_context(FakeStation(path))
        stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        heard.wait_until_connected()
        tell(path, range(1, 101))
        assert heard_once(heard, 100) == parts(range(1, 101))
        broker.kill()  # while it runs, it makes and removes files
        assert sum(one.stat().st_size for one in tmp_path.glob("mosquitto.db*")) == 0


def test_a_broker_that_refuses_a_topic_gets_it_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.sock"
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite edge-ad/fake/online\ntopic read edge-ad/#\n")
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, f"acl_file {rules}"))
        stack.enter_context(FakeStation(path))
        gateway = stack.enter_context(serving(PROTOCOL, settings(tmp_path, broker.port), path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#"))
        heard.wait("online", 1)
        assert wait_for(lambda: gateway.view.is_connected, 60)
        tell(path, range(1, 4))
        assert wait_for(lambda: "does not take edge-ad/fake/result" in caplog.text, 60)
        rules.write_text("topic readwrite edge-ad/#\n")
        assert broker.process is not None
        broker.process.send_signal(signal.SIGHUP)
        assert heard_once(heard, 3) == parts(range(1, 4))


def test_two_adapters_with_one_outbox(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with mosquitto(tmp_path) as broker, FakeStation(path):
        one = settings(tmp_path, broker.port)
        with (
            serving(PROTOCOL, one, path),
            subscribed(broker, "edge-ad/#") as heard,
        ):
            heard.wait("online", 1)
            with pytest.raises(DeviceError, match="used by another process"), serving(PROTOCOL, one, path):
                pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_tls_with_certificates_on_both_sides_and_a_password(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "s.sock"
    server, client = authority.issue("127.0.0.1"), authority.issue("client")
    users = tmp_path / "users"
    write_user(users, "line1", "secret")
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    tls = [f"cafile {authority.certificate}", f"certfile {server.certificate}", f"keyfile {server.key}"]
    options = [*tls, "require_certificate true", f"password_file {users}", "allow_anonymous false"]
    given = {
        "ca": str(authority.certificate),
        "certificate": str(client.certificate),
        "key": str(client.key),
        "username": "line1",
        "password_file": str(password),
    }
    given_to_clients = ["--cafile", str(authority.certificate), "--cert", str(client.certificate)]
    given_to_clients += ["--key", str(client.key), "-u", "line1", "-P", "secret"]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, *options))
        stack.enter_context(FakeStation(path))
        heard = stack.enter_context(subscribed(broker, "edge-ad/#", *given_to_clients))
        chosen = settings(tmp_path, broker.port, **given)
        PROTOCOL.check(chosen)
        stack.enter_context(serving(PROTOCOL, chosen, path))
        assert wait_for(lambda: any(one["connected"] for one in heard.of("state")), 60)
        broker.publish(TRIGGER, {"part_id": "A-1"}, *given_to_clients)
        assert heard.wait("result", 1)[0]["passes"] is True


@pytest.mark.parametrize(
    ("name", "days", "said"),
    [
        pytest.param("127.0.0.1", -1, "certificate has expired", id="expired"),
        pytest.param("elsewhere", 30, "not valid for '127.0.0.1'", id="of-another-host"),
    ],
)
def test_a_broker_with_a_wrong_certificate_is_not_spoken_to(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture, name: str, days: int, said: str
) -> None:
    path = tmp_path / "s.sock"
    server = authority.issue(name, days=days)
    tls = [f"cafile {authority.certificate}", f"certfile {server.certificate}", f"keyfile {server.key}"]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, *tls))
        stack.enter_context(FakeStation(path))
        chosen = settings(tmp_path, broker.port, ca=str(authority.certificate))
        stack.enter_context(serving(PROTOCOL, chosen, path))
        assert wait_for(lambda: said in caplog.text, 60)
        log = (tmp_path / "broker.log").read_text()
        assert "edge-ad-fake" not in log


def test_a_wrong_password_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.sock"
    users, password = tmp_path / "users", tmp_path / "password"
    write_user(users, "line1", "secret")
    password.write_text("other-secret")
    password.chmod(0o600)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, f"password_file {users}", "allow_anonymous false"))
        stack.enter_context(FakeStation(path))
        chosen = settings(tmp_path, broker.port, username="line1", password_file=str(password))
        stack.enter_context(serving(PROTOCOL, chosen, path))
        assert wait_for(lambda: "it refuses us: Not authorized" in caplog.text, 60)
        assert "other-secret" not in caplog.text


def _kept(folder: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{folder / 'mqtt-outbox.sqlite'}?mode=ro", uri=True)) as file:
        return int(file.execute("SELECT count(*) FROM messages").fetchone()[0])
