"""MQTT against a real mosquitto: what is published, and commands by mosquitto_pub."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.adapters import serving
from support.mosquitto import Mosquitto, Subscriber, mosquitto, subscribed
from support.paths import ROOT

from edge_ad.controllers.mqtt import PROTOCOL, MqttSettings
from edge_ad.link import FakeStation, Judgement, PartResult, RecordedRequest, TriggerRequest
from edge_ad.verdict import State


@dataclass(frozen=True)
class Scene:
    """A station, a broker, an adapter between them, and somebody who hears all topics."""

    station: FakeStation
    broker: Mosquitto
    heard: Subscriber

    def command(self, name: str, payload: str | bytes | dict[str, Any], *options: str) -> None:
        self.broker.publish(f"edge-ad/fake/command/{name}", payload, *options)


def settings(folder: Path, port: int, **more: Any) -> MqttSettings:
    given = {"window_ms": 60_000, "stale_ms": 60_000, **more}
    return MqttSettings(protocol="mqtt", port=port, outbox=str(folder / "outbox.sqlite"), **given)


def judge(asked: RecordedRequest) -> Judgement:
    assert isinstance(asked.request, TriggerRequest)
    bad = (asked.request.part_id or "").startswith("bad")
    return Judgement(state=State.REJECT if bad else State.ACCEPT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    path = tmp_path / "s.sock"
    with (
        mosquitto(tmp_path) as broker,
        FakeStation(path, judge=judge, recipes=("one", "two")) as station,
        serving(PROTOCOL, settings(tmp_path, broker.port), path),
        subscribed(broker, "edge-ad/#") as heard,
    ):
        heard.wait_until_connected()
        yield Scene(station, broker, heard)


def test_a_trigger_has_one_result_and_one_answer(scene: Scene) -> None:
    for part_id in ("A-1", "bad-2", "Ä 3"):
        scene.command("trigger", {"part_id": part_id})
    results = scene.heard.wait("result", 3)
    # Parts that are done at the same moment may be told in either order.
    assert {(one["part_id"], one["state"], one["passes"]) for one in results} == {
        ("A-1", "ACCEPT", True),
        ("bad-2", "REJECT", False),
        ("Ä 3", "ACCEPT", True),
    }
    assert len({one["id"] for one in results}) == 3
    assert [one["sequence"] for one in results] == [1, 2, 3]
    answers = scene.heard.wait("answer", 3)
    assert [(one["command"], one["done"]) for one in answers] == [("trigger", True)] * 3
    assert sorted((one["result"] for one in answers), key=lambda one: one["sequence"]) == results


def test_the_same_part_again_is_answered_and_not_inspected(scene: Scene) -> None:
    for count in (1, 2, 3):
        scene.command("trigger", {"part_id": "A-1"})
        scene.heard.wait("answer", count)
    answers = scene.heard.of("answer")
    scene.command("trigger", {"part_id": "A-2"})
    results = scene.heard.wait("result", 2)
    assert [one["part_id"] for one in results] == ["A-1", "A-2"]
    assert [one.get("repeated", False) for one in answers] == [False, True, True]
    assert [one["result"]["id"] for one in answers] == [results[0]["id"]] * 3


def test_the_same_part_while_it_is_open_waits_for_its_result(scene: Scene) -> None:
    scene.station.hold()
    scene.command("trigger", {"part_id": "A-1"})
    scene.command("trigger", {"part_id": "A-1"})
    scene.command("reset_counters", {})
    scene.heard.wait("answer", 1)
    scene.station.release()
    answers = [one for one in scene.heard.wait("answer", 3) if one["command"] == "trigger"]
    assert len(scene.heard.of("result")) == 1
    assert [one["result"]["part_id"] for one in answers] == ["A-1", "A-1"]


def test_request_and_response_of_mqtt_5(scene: Scene) -> None:
    command = ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(scene.broker.port), "-W", "30", "-q", "1"]
    command += ["-t", "edge-ad/fake/command/trigger", "-e", "plc/7/answer", "-m", '{"part_id":"A-1"}']
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["result"]["passes"] is True
    assert scene.heard.of("answer") == []


def test_parts_that_others_trigger_are_published(scene: Scene) -> None:
    scene.station.publish(PartResult(trigger=7, part_id="camera", state=State.REJECT, recipe="one", latency_ms=3.5))
    (result,) = scene.heard.wait("result", 1)
    assert (result["part_id"], result["trigger"], result["state"], result["latency_ms"]) == ("camera", 7, "REJECT", 3.5)


def test_recipe_alarm_and_counters(scene: Scene) -> None:
    scene.command("recipe", {"name": "two", "by": "anna"})
    told = scene.heard.wait("recipe", 2)
    assert [(one["active"], one["acknowledged"]) for one in told] == [("one", False), ("two", True)]
    scene.station.alarm("drift", "look at it")
    scene.heard.wait("alarm", 1)
    scene.command("acknowledge", {"alarm": "drift"})
    assert [one["acknowledged"] for one in scene.heard.wait("alarm", 2)] == [False, True]
    scene.command("acknowledge", {"alarm": "drift"})
    answers = scene.heard.wait("answer", 3)
    assert [(one["command"], one["done"], one.get("reason")) for one in answers] == [
        ("recipe", True, None),
        ("acknowledge", True, None),
        ("acknowledge", False, "unknown_alarm"),
    ]
    assert [getattr(one.request, "by", None) for one in scene.station.requests].count("test: anna") == 1
    scene.command("trigger", {"part_id": "A-1"})
    scene.heard.wait("result", 1)
    with subscribed(scene.broker, "edge-ad/fake/counters") as late:
        late.wait("counters", 1)
        scene.heard.wait("counters", 1)
    assert scene.heard.of("counters")[-1]["recipe"] in {"one", "two"}


def test_a_fault_rejects_the_open_part_and_is_reset(scene: Scene) -> None:
    scene.station.hold()
    scene.command("trigger", {"part_id": "A-1"})
    scene.heard.wait("exposure", 1)
    scene.station.fault("camera top")
    (fault,) = scene.heard.wait("fault", 1)
    (result,) = scene.heard.wait("result", 1)
    assert (fault["cause"], fault["triggers"]) == ("camera top", [result["trigger"]])
    assert (result["state"], result["reason"], result["passes"]) == ("INVALID", "fault", False)
    scene.command("trigger", {"part_id": "A-2"})
    assert scene.heard.wait("answer", 2)[-1]["reason"] == "not_ready"
    scene.command("reset", {})
    assert scene.heard.wait("answer", 3)[-1]["done"] is True
    assert scene.heard.of("state")[-1].get("state") in {"READY", "FAULT"}


def test_retained_commands_are_not_carried_out(scene: Scene) -> None:
    scene.command("trigger", {"part_id": "A-1"}, "-r")
    (answer,) = scene.heard.wait("answer", 1)
    assert (answer["done"], answer["reason"]) == (False, "retained")
    assert scene.station.requests == [one for one in scene.station.requests if not _is_trigger(one)]


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        pytest.param("trigger", b"\xff\xfe", "", id="no-text"),
        pytest.param("trigger", b"{", "", id="no-json"),
        pytest.param("trigger", b"[]", "object", id="no-object"),
        pytest.param("trigger", b"{}", "part_id", id="no-part"),
        pytest.param("trigger", b'{"part_id":""}', "part_id", id="empty-part"),
        pytest.param("trigger", b'{"part_id":"a\\nb"}', "part_id", id="line-break"),
        pytest.param("trigger", b'{"part_id":"A","speed":1}', "speed", id="unknown-field"),
        pytest.param("trigger", b'{"part_id":"' + b"A" * 129 + b'"}', "128", id="long-part"),
        pytest.param("trigger", b" " * 66_000, "65536", id="large"),
        pytest.param("sing", b"{}", "no such command", id="unknown-command"),
        pytest.param("recipe", b'{"name":7}', "str", id="wrong-type"),
    ],
)
def test_what_is_not_understood_is_answered(scene: Scene, name: str, payload: bytes, said: str) -> None:
    scene.command(name, payload)
    (answer,) = scene.heard.wait("answer", 1)
    assert (answer["command"], answer["done"], answer["reason"]) == (name, False, "bad_request")
    assert said in answer["detail"]


def test_the_commands_of_the_page_do_what_it_says(scene: Scene) -> None:
    page = (ROOT / "firmware_notes/controllers/mqtt.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (mosquitto_(?:pub|rr) .*)$", page, re.MULTILINE)
    said = []
    for line in lines:
        program, *rest = shlex.split(line.replace("edge-ad/line1", "edge-ad/fake").replace("lid", "two"))
        command = [program, "-p", str(scene.broker.port), *rest]
        said.append(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    assert [bool(one) for one in said] == [False, True, False, False]
    assert json.loads(said[1])["result"]["part_id"] == "A-18"
    answers = sorted((one["command"], one.get("reason", "")) for one in scene.heard.wait("answer", 3))
    assert answers == [("recipe", ""), ("reset", "not_in_fault"), ("trigger", "")]


def test_the_same_over_mqtt_3_1_1(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with (
        mosquitto(tmp_path) as broker,
        FakeStation(path) as station,
        subscribed(broker, "edge-ad/#", "-V", "mqttv311") as heard,
    ):
        broker.publish("edge-ad/fake/command/trigger", {"part_id": "old"}, "-r")
        with serving(PROTOCOL, settings(tmp_path, broker.port, version="3.1.1"), path):
            assert heard.wait("answer", 1)[0]["reason"] == "retained"
            broker.publish("edge-ad/fake/command/trigger", {"part_id": "A-1"})
            assert heard.wait("result", 1)[0]["passes"] is True
        assert heard.wait("online", 2)[-1] == {"online": False}
        assert [one for one in station.requests if _is_trigger(one)] != []


def _is_trigger(asked: RecordedRequest) -> bool:
    return isinstance(asked.request, TriggerRequest)
